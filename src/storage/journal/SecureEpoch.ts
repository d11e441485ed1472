import { crc32 } from "node:zlib"
import { isGone } from "../disk/DiskFault.ts"
import { allDone, readWhole, writeAgain, writeFully } from "../disk/Files.ts"
import { epochFile, segmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import type { JournalEnd } from "../records/Records.ts"
import { claimFile, type EpochRecord, publishEpoch, readEpochs } from "./Epochs.ts"

/** A place in the journal of an epoch. */
type Place = Pick<JournalEnd, "segment" | "position">

/** What the claim of an epoch says besides. */
interface DurableMark {
  /** The epoch and all before it are durable. */
  readonly isSecured: boolean
  /** Its own journal is durable up to here: who wrote it has synced it. */
  readonly upTo: Place
}

const nowhere: Place = { segment: 0, position: 0 }

/**
 * Makes durable what the epoch stands on: its own file, the level of what is stored, and the end of the journal before it, of which a
 * killed process may have left the last bytes in the memory of the system only. The same for the epochs before it, back to one whose
 * holder has done this itself. May be called again after a failure.
 */
export const secureEpoch = async (paths: StoragePaths, newest: EpochRecord): Promise<void> => {
  const { disk } = paths
  const records = new Map((await readEpochs(paths, 0)).map((record) => [record.epoch, record]))
  const secured: Array<number> = []
  const ends: Array<readonly [path: string, from: number, to: number]> = []
  for (let record: EpochRecord | undefined = newest; record !== undefined;) {
    secured.push(record.epoch)
    const { previous }: EpochRecord = record
    if (previous === null) break
    const mark = await readMark(paths, previous.epoch)
    const from = durableIn(previous, mark.upTo)
    if (from < previous.position)
      ends.push([segmentFile(paths, previous.epoch, previous.segment), from, previous.position])
    record = mark.isSecured ? undefined : records.get(previous.epoch)
    // It may be known from its journal only: a power cut has left the name of its file, and nothing in it.
    if (record !== undefined) await publishEpoch(paths, record)
  }
  // Together, because a file system mostly makes all of them durable with the first: in turn each would wait for the disk.
  await allDone([
    ...secured.map((epoch) => writeAgain(disk, epochFile(paths, epoch))),
    ...ends.map(([path, from, to]) => writeAgain(disk, path, from, to)),
    // Of names, too, those who have made them may have died before their sync: the level of what is stored stands in the root.
    ...[paths.root, paths.epochs, paths.journal].map((path) => disk.syncDirectory(path))
  ])
  for (const epoch of secured) await writeMark(paths, epoch, nowhere)
}

/** The epochs before one whose holder has ended before it made them durable, newest first. As a rule none. */
export const unsecuredBefore = async (
  paths: StoragePaths,
  { previous }: EpochRecord
): Promise<ReadonlyArray<Pick<EpochRecord, "epoch" | "previous">>> => {
  const unsecured: Array<Pick<EpochRecord, "epoch" | "previous">> = []
  let end = previous
  let records: ReadonlyMap<number, EpochRecord> | undefined
  while (end !== null && !(await readMark(paths, end.epoch)).isSecured) {
    records ??= new Map((await readEpochs(paths, 0)).map((record) => [record.epoch, record]))
    const record: EpochRecord | undefined = records.get(end.epoch)
    if (record === undefined) break
    unsecured.push({ epoch: record.epoch, previous: record.previous })
    end = record.previous
  }
  return unsecured
}

/** Up to which position the segment in which an epoch has ended is durable, as far as its writer has said so. */
export const durableIn = (end: Place, upTo: Place): number => {
  if (upTo.segment < end.segment) return 0
  return upTo.segment === end.segment ? Math.min(upTo.position, end.position) : end.position
}

/**
 * Says in the claim of an epoch how far its journal is durable, so that its successor writes once more only what comes behind. It is
 * not synced: who reads it after a power cut finds what is true all the same. Only for the holder of an epoch that is secured.
 */
export const markDurable = (paths: StoragePaths, { epoch, ...upTo }: JournalEnd): Promise<void> =>
  writeMark(paths, epoch, upTo)

/** Always as long, so that nothing is left of what it said before. */
const textOf = ({ position, segment }: Place): string => {
  const text = `durable ${String(segment).padStart(10, "0")} ${String(position).padStart(16, "0")}`
  return `${text} ${crc32(text).toString(16).padStart(8, "0")}`
}

/** As the first releases say that an epoch is secured, and nothing else. */
const withoutPlace = "durable"

/** What a claim says that was written in part is nothing; where it was lost, what it was about is made durable once more. */
export const parseMark = (text: string): DurableMark => {
  if (text === withoutPlace) return { isSecured: true, upTo: nowhere }
  const [, segment, position] = /^durable (\d{10}) (\d{16}) [0-9a-f]{8}$/.exec(text) ?? []
  const upTo = { segment: Number(segment), position: Number(position) }
  return textOf(upTo) === text ? { isSecured: true, upTo } : { isSecured: false, upTo: nowhere }
}

const readMark = async (paths: StoragePaths, epoch: number): Promise<DurableMark> =>
  parseMark((await readWhole(paths.disk, claimFile(paths, epoch)))?.toString() ?? "")

/** A claim that the active instance has removed is too old to matter. */
const writeMark = async (paths: StoragePaths, epoch: number, upTo: Place): Promise<void> => {
  try {
    const claim = await paths.disk.openToWrite(claimFile(paths, epoch), "existing")
    try {
      await writeFully(claim, Buffer.from(textOf(upTo)), 0)
    } finally {
      await claim.close()
    }
  } catch (error) {
    if (!isGone(error)) throw error
  }
}
