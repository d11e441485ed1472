import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/pg.global.ts"],
    // Processes rather than threads: tests send signals, measure memory and start the real service.
    pool: "forks",
    maxWorkers: 2,
    // Tests of processes and time share two cores with whatever else the machine of an automatic run does. A test that
    // fails there is run once more, and counts if it fails again; by hand the first failure counts.
    retry: process.env["CI"] === undefined ? 0 : 1,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000
  }
})
