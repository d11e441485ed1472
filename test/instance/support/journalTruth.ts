import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { EpochRecord } from "../../../src/storage/journal/Epochs.ts"
import { frameHeaderBytes, scanFrame } from "../../../src/storage/disk/Frame.ts"
import { firstReservedEpoch } from "../../../src/storage/levels/Gate.ts"
import { decodeNotice, recordKind } from "../../../src/storage/records/Records.ts"
import { parseSegmentFile, type StoragePaths } from "../../../src/storage/disk/StorageDir.ts"
import { visitPart } from "../../../src/storage/records/TransactionPart.ts"
import type { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"

/** Others are the gate that keeps an old release out. */
const isEpoch = (epoch: number): boolean => epoch < firstReservedEpoch

/** The highest epoch that has been claimed, as processes see it. */
export const highestClaimOnDisk = (disk: FaultyDisk, paths: StoragePaths): number =>
  Math.max(
    0,
    ...disk
      .namesIn(paths.epochs, "seen")
      .map((name) => parseInt(name, 16))
      .filter(isEpoch)
  )

/**
 * How far the journal in the files reaches that count, as a power cut at this moment would leave them: those of the newest
 * published epoch, and of the ones before it up to where each is said to have ended; and the checkpoints, which stand for
 * segments that are gone. Read at once and without the code under test, apart from the records' format.
 */
export const positionOnDisk = (disk: FaultyDisk, paths: StoragePaths): bigint => {
  const limits = new Map<number, { readonly segment: number; readonly position: number }>()
  const published = new Map(epochRecords(disk, paths).map((record) => [record.epoch, record]))
  let record = published.get(Math.max(0, ...published.keys()))
  if (record !== undefined) limits.set(record.epoch, { segment: Infinity, position: Infinity })
  while (record !== undefined && record.previous !== null) {
    limits.set(record.previous.epoch, record.previous)
    record = published.get(record.previous.epoch)
  }
  let position = positionInCheckpoints(paths, limits)
  for (const name of disk.namesIn(paths.journal, "durable")) {
    const file = parseSegmentFile(name)
    const limit = file === undefined ? undefined : limits.get(file.epoch)
    if (file === undefined || limit === undefined || file.segment > limit.segment) continue
    const bytes = disk.contentOf(join(paths.journal, name), "durable") ?? Buffer.alloc(0)
    const end = file.segment === limit.segment ? Math.min(bytes.length, limit.position) : bytes.length
    for (const lsn of positionsIn(bytes, end)) if (lsn > position) position = lsn
  }
  return position
}

const epochRecords = (disk: FaultyDisk, paths: StoragePaths): ReadonlyArray<EpochRecord> =>
  disk
    .namesIn(paths.epochs, "durable")
    .filter((name) => /^[0-9a-f]{8}$/.test(name) && isEpoch(parseInt(name, 16)))
    .flatMap((name) => {
      const text = disk.contentOf(join(paths.epochs, name), "durable")?.toString() ?? ""
      // Its name may be there before its content is.
      return text === "" ? [] : [JSON.parse(text.slice(0, text.lastIndexOf(" "))) as EpochRecord]
    })

const positionsIn = (bytes: Buffer, end: number): ReadonlyArray<bigint> => {
  const found: Array<bigint> = []
  for (let at = 0; ;) {
    const frame = scanFrame(bytes, at, end)
    if (frame._tag !== "Frame") return found
    const payload = at + frameHeaderBytes
    if (frame.kind === recordKind.transaction) {
      visitPart(bytes, payload, frame.end, {
        part: () => {},
        item: () => {},
        partEnd: (last, endLsn) => {
          if (last) found.push(endLsn)
        }
      })
    } else if (frame.kind === recordKind.notice) {
      const notice = decodeNotice(bytes.subarray(payload, frame.end))
      if (notice.t === "position") found.push(BigInt(notice.lsn))
    }
    at = frame.end
  }
}

const positionInCheckpoints = (paths: StoragePaths, epochs: ReadonlyMap<number, unknown>): bigint => {
  let position = 0n
  for (const name of existsSync(paths.meta) ? readdirSync(paths.meta) : []) {
    const match = /^meta-([0-9a-f]{8})\.sqlite$/.exec(name)
    if (match === null || !epochs.has(Number.parseInt(match[1] ?? "", 16))) continue
    const database = new DatabaseSync(join(paths.meta, name), { readOnly: true })
    try {
      // A file without its tables is one that is just being made.
      const made = database.prepare("SELECT name FROM sqlite_master WHERE name = 'head'").get()
      const head = made === undefined ? undefined : database.prepare("SELECT value FROM head").get()
      if (head === undefined) continue
      const { positionLsn } = JSON.parse(String(head["value"])) as { readonly positionLsn: string }
      if (BigInt(positionLsn) > position) position = BigInt(positionLsn)
    } finally {
      database.close()
    }
  }
  return position
}
