import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { Effect } from "effect"
import type { Disk } from "../disk/Disk.ts"
import { fromDisk } from "../disk/DiskFault.ts"
import { writeFully } from "../disk/Files.ts"
import { RealDisk } from "../disk/RealDisk.ts"
import { checkpointPatienceMillis, checkpointPauseMillis } from "../StorageTimings.ts"

/** SQLite counts in its header how often the file has been written ("The SQLite Database File Format", 1.3). */
const headerBytes = 100
const pieceBytes = 256 * 1024
/** SQLite opens the copy, so it stands where SQLite finds it. */
const local = new RealDisk()

/** Identity, size, time and header of a file as it is now; `undefined` when it is not there. */
const stampOf = async (disk: Disk, path: string): Promise<string | undefined> => {
  const file = await disk.open(path)
  if (file === undefined) return undefined
  try {
    const { ino, mtimeMs, size } = await file.stat()
    const header = Buffer.alloc(headerBytes)
    const bytesRead = await file.read(header, 0, headerBytes, 0)
    return `${ino} ${mtimeMs} ${size} ${header.toString("hex", 0, bytesRead)}`
  } finally {
    await file.close()
  }
}

const stampsOf = async (disk: Disk, path: string): Promise<readonly [string, string | undefined]> => {
  const journal = `${path}-journal`
  const hasJournal = (await disk.list(dirname(path))).includes(basename(journal))
  return [(await stampOf(disk, path)) ?? "", hasJournal ? await stampOf(disk, journal) : undefined]
}

const copyFile = async (disk: Disk, from: string, to: string): Promise<void> => {
  const file = await disk.open(from)
  if (file === undefined) return
  try {
    const copy = await local.openToWrite(to, "empty")
    try {
      const piece = Buffer.allocUnsafe(pieceBytes)
      for (let at = 0; ;) {
        const bytes = await file.read(piece, 0, piece.length, at)
        if (bytes === 0) return
        await writeFully(copy, piece.subarray(0, bytes), at)
        at += bytes
      }
    } finally {
      await copy.close()
    }
  } finally {
    await file.close()
  }
}

/**
 * Copies a checkpoint, and its rollback journal if there is one, into a directory of its own, and gives the path of the
 * copy to `use`. Its writer may be at work, and be on another machine whose locks mean nothing here: so what is copied is
 * looked at before and after, and copied again if it has changed meanwhile. What stood there at one moment SQLite can
 * read, because a crash might have left the same. Only the copy is written to.
 */
export const withCopy = <A, E>(
  disk: Disk,
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
            const [before, journalBefore] = await stampsOf(disk, path)
            await local.remove(`${copy}-journal`)
            await copyFile(disk, path, copy)
            if (journalBefore !== undefined) await copyFile(disk, `${path}-journal`, `${copy}-journal`)
            const [after, journalAfter] = await stampsOf(disk, path)
            return before === after && journalBefore === journalAfter
          },
          catch: (cause) => cause
        })
        for (
          let waited = 0;
          !(yield* copied) && waited < checkpointPatienceMillis;
          waited += checkpointPauseMillis
        )
          yield* Effect.sleep(checkpointPauseMillis)
        return yield* use(copy)
      }),
    (directory) => Effect.ignore(fromDisk(() => local.removeTree(directory)))
  )
