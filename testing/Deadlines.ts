import { vi } from "vitest"
import { patient } from "./Load.ts"

// Set for each file when it begins, because the load of the machine has changed since the run began. What a test waits for
// has a deadline of its own; these end what hangs.
vi.setConfig({ testTimeout: patient(120_000), hookTimeout: patient(120_000) })
