import { Effect } from "effect"
import { type ProgressKind, withProgress } from "../telemetry/Progress.ts"
import { fromDisk } from "./disk/DiskFault.ts"
import { bytesBehind, journalFiles } from "./JournalSize.ts"
import type { StorageEngine } from "./StorageEngine.ts"

const beginning = { epoch: 0, segment: 0, position: 0 }

const names: Readonly<Record<Extract<ProgressKind, "recovery" | "takeover">, string>> = {
  recovery: "Reading what storage holds",
  takeover: "Taking over: reading the journal to its end"
}

/** `work` reads the journal, and says how far it is where that takes long. */
export const withJournalProgress = <A, E, R>(
  kind: keyof typeof names,
  engine: Pick<StorageEngine, "paths" | "readingAt">,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  withProgress(
    { kind, name: names[kind], unit: "bytes", total: undefined },
    () => work,
    (task) =>
      Effect.ignore(
        fromDisk(async () => {
          const files = await journalFiles(engine.paths)
          task.total = bytesBehind(files, beginning)
          task.done = task.total - bytesBehind(files, engine.readingAt)
        })
      )
  )
