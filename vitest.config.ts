import { join } from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { patient } from "./testing/Load.ts"

// Each file has a process of its own, and what these load is mostly the same: compiled once for all of them, and kept for
// the next run where the command keeps what it compiles (src/main.ts). A second of processor time for each file.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules", ".cache", "baton")

/** The folders whose files take longest: they start services, and wait for them. */
const longest = ["e2e", "faults", "package", "oracle", "workers", "instance", "dev"].map((folder) =>
  join(import.meta.dirname, "test", folder, "/")
)

const isLong = (file: TestSpecification) => longest.some((folder) => file.moduleId.startsWith(folder))

/** Those that take longest go first, so that no worker has one of them left when the others have nothing more to do. */
class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    // oxlint-disable-next-line unicorn/no-array-sort -- not that of an array
    const sorted = await super.sort(files)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["testing/postgres/PostgresForTests.ts"],
    // Processes rather than threads: tests send signals, measure memory and start the real service.
    pool: "forks",
    // For two cores: about a quarter of the time of two workers is spent waiting for what a test brought about.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    setupFiles: ["testing/Deadlines.ts"],
    teardownTimeout: patient(60_000)
  }
})
