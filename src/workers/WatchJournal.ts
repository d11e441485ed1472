import { type FSWatcher, watch } from "node:fs"
import { duties } from "../health/Duties.ts"
import { startDuty } from "../shared/Duty.ts"
import { Effect, type Scope } from "effect"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { currentTimers } from "../shared/Timers.ts"
import { watchRetryMillis, watchedPollMillis, unwatchedPollMillis, collectMillis } from "./WorkerTimings.ts"

/**
 * Lets a follower look at the journal as soon as this machine writes to it, for as long as the scope is open. Where
 * the system does not tell (a network file system that another machine writes to, no watches left), the follower's own
 * rounds find what is new. `writerIsLocal`: whether the journal is written on this machine now.
 */
export const watchJournal = (
  engine: StorageEngine,
  writerIsLocal: () => boolean
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    let watcher: FSWatcher | undefined
    let soon: (() => void) | undefined
    const timers = yield* currentTimers
    const close = () => {
      watcher?.close()
      watcher = undefined
      soon?.()
      soon = undefined
    }
    const grown = () => {
      soon?.()
      soon = undefined
      engine.lookNow()
    }
    yield* Effect.addFinalizer(() => Effect.sync(close))
    const open = () => {
      try {
        watcher = watch(engine.paths.journal, { persistent: false }, () => {
          if (engine.waiters.count > 0) grown()
          else soon ??= timers.after(collectMillis, grown)
        })
        watcher.on("error", close)
      } catch {
        // Not there before the first takeover, or not to be had.
        close()
      }
    }
    yield* startDuty(
      duties.journalWatch,
      Effect.gen(function* () {
        while (true) {
          if (watcher === undefined) open()
          engine.eagerPollMillis =
            watcher !== undefined && writerIsLocal() ? watchedPollMillis : unwatchedPollMillis
          yield* Effect.sleep(watchRetryMillis)
        }
      })
    )
  })
