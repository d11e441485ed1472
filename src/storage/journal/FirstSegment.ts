import { parseSegmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import type { JournalEnd } from "../records/Records.ts"
import { type EpochRecord, readEpochs } from "./Epochs.ts"

type Segment = Pick<JournalEnd, "epoch" | "segment">

/**
 * The first of the segments from which a way leads to the newest epoch: not one whose epoch is no part of what that stands on, nor one
 * that its writer began after its epoch was over. Without any epoch, or where nothing is left of them, the oldest there is.
 */
export const firstThatCounts = (
  segments: ReadonlyArray<Segment>,
  epochs: ReadonlyArray<EpochRecord>
): Segment | undefined => {
  const sorted = segments.toSorted((a, b) => a.epoch - b.epoch || a.segment - b.segment)
  const records = new Map(epochs.map((record) => [record.epoch, record]))
  /** The last segment that counts of each epoch on the way; of the oldest its own record need not be there. */
  const lasts = new Map<number, number>()
  let record = epochs.at(-1)
  if (record !== undefined) lasts.set(record.epoch, Infinity)
  while (record !== undefined && record.previous !== null) {
    const { epoch, segment }: JournalEnd = record.previous
    lasts.set(epoch, segment)
    record = records.get(epoch)
  }
  return sorted.find(({ epoch, segment }) => segment <= (lasts.get(epoch) ?? 0)) ?? sorted[0]
}

/** Where to begin without a checkpoint; zeros where there is nothing. */
export const firstOnDisk = async (paths: StoragePaths): Promise<JournalEnd> => {
  const names = await paths.disk.list(paths.journal)
  const segments = names.map(parseSegmentFile).filter((segment) => segment !== undefined)
  const first = firstThatCounts(segments, await readEpochs(paths, 0))
  return { epoch: 0, segment: 0, ...first, position: 0 }
}
