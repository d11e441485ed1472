import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { StorageUnusable } from "../storage/StorageUnusable.ts"
import { unreadableMillis } from "./WorkerTimings.ts"

/**
 * Loads storage, again and again until it can be read, and says each time why not. To end would only have the main process
 * start another worker: what is mended in the directory is noticed here as well.
 */
export const loadPatiently = (load: Effect.Effect<void, StorageUnusable>): Effect.Effect<void> =>
  Effect.catch(load, ({ message }) =>
    reportFault(
      "BATON-WORKER-STORAGE",
      `${message} This HTTP worker answers nothing until then, and the other processes do; it tries again every ${unreadableMillis / 1000} s.`
    ).pipe(
      Effect.andThen(Effect.sleep(unreadableMillis)),
      Effect.andThen(Effect.suspend(() => loadPatiently(load)))
    )
  )
