import { open, readFile, unlink } from "node:fs/promises"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { frameHeaderBytes, scanFrame } from "./Frame.ts"
import { decodeNotice, type JournalEnd, recordKind } from "./Records.ts"
import {
  epochFile,
  listDirectory,
  parseSegmentFile,
  type StoragePaths,
  syncDirectory,
  writeWhole
} from "./StorageDir.ts"

/**
 * Epochs fence instances off that have lost the lock without noticing (frozen, partitioned). Each takeover goes
 *
 * 1. claim: `epochs/<n>.claim` is created exclusively, with n above every number seen
 * 2. read the journal to its end
 * 3. `epochs/<n>`: says where the journal of the epoch before ended; from now on that is where readers leave it
 *
 * A file written by an older epoch is never one that the newer epoch writes. Whoever is about to make something count
 * that replay could not reproduce (a new shape, a removed file, an acknowledgement to Postgres) makes its record durable
 * first and then looks for a claim above its own epoch: no claim means that the successor, whose claim comes before its
 * reading, will see the record.
 */
export interface EpochRecord {
  readonly epoch: number
  readonly previous: JournalEnd | null
}

const fileName = /^([0-9a-f]{8})(\.claim)?$/

/** The highest number claimed so far, 0 when there is none. */
export const highestClaim = async (paths: StoragePaths): Promise<number> => {
  let highest = 0
  for (const name of await listDirectory(paths.epochs)) {
    const match = fileName.exec(name)
    if (match !== null) highest = Math.max(highest, parseInt(match[1] ?? "0", 16))
  }
  return highest
}

/** Takes the next epoch number for this process alone. */
export const claimEpoch = async (paths: StoragePaths): Promise<number> => {
  for (;;) {
    const epoch = (await highestClaim(paths)) + 1
    try {
      const handle = await open(`${epochFile(paths, epoch)}.claim`, "wx")
      await handle.close()
      return epoch
    } catch (error) {
      // Somebody else was faster: their claim is seen in the next round.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    }
  }
}

/** Takes back a claim that was not followed by `publishEpoch`: whoever has stepped back because of it may go on. */
export const withdrawClaim = (paths: StoragePaths, epoch: number): Promise<void> =>
  unlink(`${epochFile(paths, epoch)}.claim`).catch(() => {})

/** Makes the claimed epoch the current one. */
export const publishEpoch = async (
  paths: StoragePaths,
  record: EpochRecord,
  durable: boolean
): Promise<void> => {
  const text = JSON.stringify(record)
  await writeWhole(epochFile(paths, record.epoch), `${text} ${crc32(text)}`)
  if (durable) await syncDirectory(paths.epochs)
}

/**
 * The published epochs from `epoch` on, oldest first; none if there is none above it. One look at a directory, mostly. One
 * whose file is damaged is taken from its journal, or left out.
 */
export const readEpochs = async (paths: StoragePaths, epoch: number): Promise<ReadonlyArray<EpochRecord>> => {
  const numbers: Array<string> = []
  let newer = false
  for (const name of await listDirectory(paths.epochs)) {
    if (!/^[0-9a-f]{8}$/.test(name)) continue
    const number = parseInt(name, 16)
    if (number > epoch) newer = true
    if (number >= epoch) numbers.push(name)
  }
  if (!newer) return []
  const records: Array<EpochRecord> = []
  for (const name of numbers.toSorted()) {
    try {
      const text = await readFile(join(paths.epochs, name), "utf8")
      const record = soundRecord(text) ?? (await recordInJournal(paths, parseInt(name, 16)))
      if (record !== undefined) records.push(record)
    } catch (error) {
      // Removed by the active instance between listing and reading: too old to matter.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    }
  }
  return records
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
  const [first] = (await listDirectory(paths.journal))
    .toSorted()
    .filter((name) => parseSegmentFile(name)?.epoch === epoch)
  if (first === undefined) return undefined
  const file = await open(join(paths.journal, first), "r")
  try {
    const start = Buffer.alloc(4096)
    const { bytesRead } = await file.read(start, 0, start.length, 0)
    const frame = scanFrame(start, 0, bytesRead)
    if (frame._tag !== "Frame" || frame.kind !== recordKind.notice) return undefined
    const notice = decodeNotice(start.subarray(frameHeaderBytes, frame.end))
    return notice.t === "epoch" && notice.epoch === epoch ? { epoch, previous: notice.previous } : undefined
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
  for (const name of await listDirectory(paths.epochs)) {
    const match = fileName.exec(name)
    if (match !== null && parseInt(match[1] ?? "0", 16) < epoch)
      await unlink(join(paths.epochs, name)).catch(() => {})
  }
}
