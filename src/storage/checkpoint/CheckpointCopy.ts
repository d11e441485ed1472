import { mkdtemp, rm } from "node:fs/promises"
import { createWriteStream } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { pipeline } from "node:stream/promises"
import { Effect } from "effect"
import type { Sight } from "../disk/Sight.ts"

const pauseMillis = 50
/** A checkpoint that changes for so long while it is copied is read as it stands. */
const patienceMillis = 10_000
/** SQLite counts in its header how often the file has been written ("The SQLite Database File Format", 1.3). */
const headerBytes = 100

/** Identity, size, time and header of a file as it is now; `undefined` when it is not there. */
const stampOf = async (sight: Sight, path: string): Promise<string | undefined> => {
  const file = await sight.open(path)
  if (file === undefined) return undefined
  try {
    const { ino, mtimeMs, size } = await file.stat()
    const header = Buffer.alloc(headerBytes)
    const { bytesRead } = await file.read(header, 0, headerBytes, 0)
    return `${ino} ${mtimeMs} ${size} ${header.toString("hex", 0, bytesRead)}`
  } finally {
    await file.close()
  }
}

const stampsOf = async (sight: Sight, path: string): Promise<readonly [string, string | undefined]> => {
  const journal = `${path}-journal`
  const hasJournal = (await sight.list(dirname(path))).includes(basename(journal))
  return [(await stampOf(sight, path)) ?? "", hasJournal ? await stampOf(sight, journal) : undefined]
}

const copyFile = async (sight: Sight, from: string, to: string): Promise<void> => {
  const file = await sight.open(from)
  // A stream from a handle closes it, whichever way it ends.
  if (file !== undefined) await pipeline(file.createReadStream(), createWriteStream(to, { mode: 0o600 }))
}

/**
 * Copies a checkpoint, and its rollback journal if there is one, into a directory of its own, and gives the path of the
 * copy to `use`. Its writer may be at work, and be on another machine whose locks mean nothing here: so what is copied is
 * looked at before and after, and copied again if it has changed meanwhile. What stood there at one moment SQLite can
 * read, because a crash might have left the same. Only the copy is written to.
 */
export const withCopy = <A, E>(
  sight: Sight,
  path: string,
  use: (copy: string) => Effect.Effect<A, E>
): Effect.Effect<A, unknown> =>
  Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => mkdtemp(join(tmpdir(), "baton-checkpoint-")), catch: (cause) => cause }),
    (directory) =>
      Effect.gen(function* () {
        const copy = join(directory, "checkpoint.sqlite")
        const copied = Effect.tryPromise({
          try: async () => {
            const [before, journalBefore] = await stampsOf(sight, path)
            await rm(`${copy}-journal`, { force: true })
            await copyFile(sight, path, copy)
            if (journalBefore !== undefined) await copyFile(sight, `${path}-journal`, `${copy}-journal`)
            const [after, journalAfter] = await stampsOf(sight, path)
            return before === after && journalBefore === journalAfter
          },
          catch: (cause) => cause
        })
        for (let waited = 0; !(yield* copied) && waited < patienceMillis; waited += pauseMillis)
          yield* Effect.sleep(pauseMillis)
        return yield* use(copy)
      }),
    (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
  )
