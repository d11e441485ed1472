import { join } from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { patient } from "./testing/Load.ts"

// What the processes of the tests load is mostly the same: compiled once for all of them, and kept for the next run where
// the command keeps what it compiles (src/main.ts). A second of processor time for each process.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules", ".cache", "baton")

/** Folders whose files start services, processes or clusters of their own, or measure the process that they run in. */
const apart = [
  "e2e",
  "faults",
  "package",
  "oracle",
  "workers",
  "instance",
  "dev",
  "telemetry",
  "command",
  "storage/chain"
]

/** Those that take longest go first, so that no worker has one of them left when the others have nothing more to do. */
const longest = [
  "e2e/handover",
  "faults/crash",
  "e2e/releases",
  "package/pack",
  "instance/model",
  "faults/roles",
  "e2e/official-client",
  "e2e/same-answers",
  "faults/unpublished-meanwhile",
  "faults/slow-clients",
  "oracle/evaluation-errors"
].map((name) => join(import.meta.dirname, "test", `${name}.test.ts`))

const rank = ({ moduleId, project }: TestSpecification): number => {
  const place = longest.indexOf(moduleId)
  if (place >= 0) return place
  return project.name === "apart" ? longest.length : longest.length + 1
}

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    // oxlint-disable-next-line unicorn/no-array-sort -- not that of an array
    const sorted = await super.sort(files)
    return sorted.toSorted((a, b) => rank(a) - rank(b))
  }
}

/** For two cores: about a quarter of the time of two workers is spent waiting for what a test brought about. */
const maxWorkers = 3

const everyProject = {
  // Processes rather than threads: tests send signals, measure memory and start the real service.
  pool: "forks" as const,
  maxWorkers,
  setupFiles: ["testing/Deadlines.ts"]
}

const filesOf = (folders: ReadonlyArray<string>) => folders.map((folder) => `test/${folder}/**/*.test.ts`)

export default defineConfig({
  test: {
    globalSetup: ["testing/postgres/PostgresForTests.ts"],
    sequence: { sequencer: LongestFirst },
    maxWorkers,
    teardownTimeout: patient(60_000),
    projects: [
      { test: { ...everyProject, name: "apart", include: filesOf(apart) } },
      // One process for one file after the other: loading what they all use takes longer than most of them.
      {
        test: {
          ...everyProject,
          name: "together",
          include: ["test/**/*.test.ts"],
          exclude: ["**/node_modules/**", ...filesOf(apart)],
          isolate: false
        }
      }
    ]
  }
})
