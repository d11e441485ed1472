import { join } from "node:path"
import { crc32 } from "node:zlib"
import { frameHeaderBytes, scanFrame } from "../disk/Frame.ts"
import { decodeNotice, type JournalEnd, recordKind } from "../records/Records.ts"
import { DiskFault, isGone } from "../disk/DiskFault.ts"
import { readWhole, writeWhole } from "../disk/Files.ts"
import { firstReservedEpoch } from "../levels/Gate.ts"
import { epochFile, parseSegmentFile, type StoragePaths } from "../disk/StorageDir.ts"

/**
 * Epochs fence instances off that have lost the lock without noticing (frozen, partitioned). Each takeover goes
 *
 * 1. claim: `epochs/<n>.claim` is created exclusively, with n above every number seen
 * 2. read the journal to its end
 * 3. `epochs/<n>`: says where the journal of the epoch before ended; from now on that is where readers leave it
 * 4. all that is made durable, before anything counts that the new epoch writes
 *
 * A file written by an older epoch is never one that the newer epoch writes, but for the same bytes once more. A writer that is about to make something count
 * that replay could not reproduce (a new shape, a removed file, an acknowledgement to Postgres) makes its record durable
 * first and then looks for a claim above its own epoch: no claim means that the successor, whose claim comes before its
 * reading, will see the record.
 */
export interface EpochRecord {
  readonly epoch: number
  readonly previous: JournalEnd | null
  /** That has opened it, and the highest level that it knows; the first release says neither. */
  readonly release?: string
  readonly newest?: number
  /** Those before it that nobody had made durable when it was published: a power cut may leave this file, and nothing of theirs. */
  readonly before?: ReadonlyArray<Pick<EpochRecord, "epoch" | "previous">>
}

const fileName = /^([0-9a-f]{8})(\.claim)?$/

/** The number of an epoch that a file belongs to; `undefined` for what is no epoch's. */
const epochOf = (name: string): number | undefined => {
  const epoch = parseInt(fileName.exec(name)?.[1] ?? "", 16)
  return epoch < firstReservedEpoch ? epoch : undefined
}

export const claimFile = (paths: StoragePaths, epoch: number): string => `${epochFile(paths, epoch)}.claim`

/** The highest number claimed so far, 0 when there is none. */
export const highestClaim = async (paths: StoragePaths): Promise<number> => {
  let highest = 0
  for (const name of await paths.disk.list(paths.epochs)) highest = Math.max(highest, epochOf(name) ?? 0)
  return highest
}

/** Takes the next epoch number, above every one seen and above `known`, for this process alone. */
export const claimEpoch = async (paths: StoragePaths, known = 0): Promise<number> => {
  // After a crash of the system the journal may be there of an epoch whose own files were lost.
  let written = known
  for (const name of await paths.disk.list(paths.journal))
    written = Math.max(written, parseSegmentFile(name)?.epoch ?? 0)
  for (let taken = written; ;) {
    const epoch = Math.max(taken, await highestClaim(paths)) + 1
    try {
      const claim = await paths.disk.openToWrite(claimFile(paths, epoch), "new")
      await claim.close()
      return epoch
    } catch (error) {
      // Somebody else was faster, whether their claim can be seen yet or not.
      if (!(error instanceof DiskFault) || error.code !== "EEXIST") throw error
      taken = epoch
    }
  }
}

/** Takes back a claim that was not followed by `publishEpoch`: a holder that has stepped back because of it may go on. */
export const withdrawClaim = (paths: StoragePaths, epoch: number): Promise<void> =>
  paths.disk.remove(claimFile(paths, epoch)).catch(() => {})

/** Makes the claimed epoch the current one for everybody who looks; whether it survives a crash, `SecureEpoch.ts` says. */
export const publishEpoch = async (paths: StoragePaths, record: EpochRecord): Promise<void> => {
  const text = JSON.stringify(record)
  await writeWhole(paths.disk, epochFile(paths, record.epoch), `${text} ${crc32(text)}`)
}

/** With those of which only later ones tell. */
const withUntold = (records: ReadonlyArray<EpochRecord>, from: number): ReadonlyArray<EpochRecord> => {
  const known = new Map(records.map((record) => [record.epoch, record]))
  for (const { before = [] } of records)
    for (const one of before) if (one.epoch >= from && !known.has(one.epoch)) known.set(one.epoch, one)
  return known.size === records.length ? records : [...known.values()].toSorted((a, b) => a.epoch - b.epoch)
}

/**
 * The published epochs from `epoch` on, oldest first; none if there is none above it. One look at a directory, mostly. One
 * whose file is damaged is taken from its journal, or from the file of a later one, or left out.
 */
export const readEpochs = async (paths: StoragePaths, epoch: number): Promise<ReadonlyArray<EpochRecord>> => {
  const numbers: Array<string> = []
  let newer = false
  for (const name of await paths.disk.list(paths.epochs)) {
    const number = epochOf(name)
    if (number === undefined || name.endsWith(".claim")) continue
    if (number > epoch) newer = true
    if (number >= epoch) numbers.push(name)
  }
  if (!newer) return []
  const records: Array<EpochRecord> = []
  for (const name of numbers.toSorted()) {
    try {
      const content = await readWhole(paths.disk, join(paths.epochs, name))
      // Removed by the active instance between listing and reading: too old to matter.
      if (content === undefined) continue
      const record = soundRecord(content.toString()) ?? (await recordInJournal(paths, parseInt(name, 16)))
      if (record !== undefined) records.push(record)
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }
  return withUntold(records, epoch)
}

const soundRecord = (text: string): EpochRecord | undefined => {
  const end = text.lastIndexOf(" ")
  const json = text.slice(0, end)
  return end > 0 && String(crc32(json)) === text.slice(end + 1)
    ? (JSON.parse(json) as EpochRecord)
    : undefined
}

/** Where the file of an epoch is damaged: its journal begins with a record that says the same. */
const recordInJournal = async (paths: StoragePaths, epoch: number): Promise<EpochRecord | undefined> => {
  const [first] = (await paths.disk.list(paths.journal))
    .toSorted()
    .filter((name) => parseSegmentFile(name)?.epoch === epoch)
  if (first === undefined) return undefined
  const file = await paths.disk.open(join(paths.journal, first))
  if (file === undefined) return undefined
  try {
    const start = Buffer.alloc(4096)
    const bytesRead = await file.read(start, 0, start.length, 0)
    const frame = scanFrame(start, 0, bytesRead)
    if (frame._tag !== "Frame" || frame.kind !== recordKind.notice) return undefined
    const notice = decodeNotice(start.subarray(frameHeaderBytes, frame.end))
    if (notice.t !== "epoch" || notice.epoch !== epoch) return undefined
    const { t: _, ...record } = notice
    return record
  } finally {
    await file.close()
  }
}

/**
 * The epoch that follows `epoch` on the way to the newest one. `undefined`: `epoch` is the newest. `lost`: the chain
 * does not lead there (too old, or fenced off before it was published).
 */
export const successor = (
  epochs: ReadonlyArray<EpochRecord>,
  epoch: number
): EpochRecord | "lost" | undefined => {
  let record = epochs.at(-1)
  if (record === undefined || record.epoch <= epoch) return undefined
  for (;;) {
    const previous: JournalEnd | null = record.previous
    if (previous === null) return epoch === 0 ? record : "lost"
    if (previous.epoch === epoch) return record
    const before: EpochRecord | undefined = epochs.find((candidate) => candidate.epoch === previous.epoch)
    if (before === undefined) return "lost"
    record = before
  }
}

/** Removes what is older than `epoch`; only for the holder of the newest epoch. */
export const removeEpochsBefore = async (paths: StoragePaths, epoch: number): Promise<void> => {
  for (const name of await paths.disk.list(paths.epochs)) {
    if ((epochOf(name) ?? Infinity) < epoch) await paths.disk.remove(join(paths.epochs, name)).catch(() => {})
  }
}
