import { defineConfig } from "vitest/config"
import { patient } from "./scripts/support/Load.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/pg.global.ts"],
    // Processes rather than threads: tests send signals, measure memory and start the real service.
    pool: "forks",
    maxWorkers: 2,
    // What a test waits for has a deadline of its own, which grows with the load of the machine; these end what hangs.
    testTimeout: patient(60_000),
    hookTimeout: patient(120_000),
    teardownTimeout: patient(60_000)
  }
})
