import { readToEnd, type JournalReader } from "./journal/JournalReader.ts"
import type { SegmentFiles } from "./segments/SegmentFiles.ts"
import { longestLateMillis } from "./disk/Disk.ts"
import type { ShapeStore } from "./state/ShapeStore.ts"
import type { StoragePaths } from "./disk/StorageDir.ts"
import { pause, type Timers } from "../shared/Timers.ts"
import { lockMillis, lookMillis, sayAfterMillis } from "./StorageTimings.ts"

/** The engine, as far as its takeover has to read. */
interface Reading {
  readonly paths: Pick<StoragePaths, "disk">
  readonly timers: Timers
  readonly reader: JournalReader | undefined
  readonly store: ShapeStore
  readonly segments: SegmentFiles
  readonly load: () => Promise<void>
  readonly warn: (message: string) => void
}

export interface Certainty {
  readonly holdsLock: () => Promise<boolean>
  /**
   * LSN up to which Postgres was told that changes are in the journal that stands here; `undefined` where that cannot be
   * compared. It is asked for with the lock held, so it stays what it is.
   */
  readonly confirmedLsn: () => Promise<bigint | undefined>
}

/**
 * Reads the journal to its end, all that its writer had made durable when it lost the lock. Where files may be seen late
 * that is not what this machine sees first: as long as Postgres was told of more, it looks again, for as long as a file
 * system may remember what was before. Only then is storage older than the slot. False when the lock is lost meanwhile.
 */
export const readEverything = async (reading: Reading, certainty: Certainty): Promise<boolean> => {
  const { timers } = reading
  const began = timers.nowMillis()
  let askedAt = began
  let said = false
  for (;;) {
    const { reader, segments } = reading
    if (reader === undefined) throw new Error("no journal to continue")
    const result = await readToEnd(reader)
    const isRead = result === "idle" && (await segments.proveAll())
    const waited = timers.nowMillis() - began
    if (isRead && (!(await isMissing(reading, certainty)) || waited >= longestLateMillis)) return true
    if (!isRead && result !== "behind") {
      await reading.load()
      continue
    }
    if (!said && reading.paths.disk.mayBeLate && waited >= sayAfterMillis) {
      said = true
      reading.warn(
        `The end of the journal cannot be seen from here yet: this file system shows late what another machine has written. It is looked for again, for ${longestLateMillis / 1000} s at most, before it is taken for lost. Shapes are served meanwhile.`
      )
    }
    if (timers.nowMillis() - askedAt >= lockMillis) {
      if (!(await certainty.holdsLock())) return false
      askedAt = timers.nowMillis()
    }
    await pause(timers, lookMillis)
  }
}

const isMissing = async ({ paths, reader, store }: Reading, certainty: Certainty): Promise<boolean> => {
  // Where there is no journal, none is seen late: its directory has been opened anew.
  if (!paths.disk.mayBeLate || (reader?.epoch ?? 0) === 0) return false
  return ((await certainty.confirmedLsn()) ?? 0n) > store.positionLsn
}
