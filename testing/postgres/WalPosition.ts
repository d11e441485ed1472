import { chownSync, readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs"
import * as path from "node:path"

/** CRC-32C (Castagnoli), which Postgres uses; Node has only the other CRC-32. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f63b78 : 0)
  return crc >>> 0
})
const crc32c = (...parts: ReadonlyArray<Buffer>): number => {
  let crc = 0xffffffff
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 255] ?? 0)
  return (crc ^ 0xffffffff) >>> 0
}

const segmentBytes = 16 * 1024 * 1024
const longPageHeaderBytes = 40
const recordHeaderBytes = 24

const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, "0")

const segmentName = (timeline: number, lsn: bigint): string => {
  const segment = lsn / BigInt(segmentBytes)
  const perFile = 0x1_0000_0000n / BigInt(segmentBytes)
  return hex(BigInt(timeline)) + hex(segment / perFile) + hex(segment % perFile)
}

/**
 * Moves a cleanly stopped cluster to the WAL position `segmentStart` (a multiple of 16 MiB), as `pg_resetwal -l` does,
 * which the installable Postgres packages lack: the shutdown checkpoint is written again at the start of that segment,
 * and `pg_control` points there.
 *
 * Offsets are those of ControlFileData and XLogRecord in PostgreSQL's `pg_control.h` and `xlogrecord.h`, which are the
 * same in 14 to 18 as far as they are used here.
 */
export const moveWalPosition = (dataDirectory: string, segmentStart: bigint): void => {
  const controlFile = path.join(dataDirectory, "global", "pg_control")
  const walDirectory = path.join(dataDirectory, "pg_wal")
  const control = readFileSync(controlFile)
  const systemId = control.readBigUInt64LE(0)
  const checkpoint = control.readBigUInt64LE(32)
  const timeline = control.readUInt32LE(48)
  const crcAt = crcPosition(control)

  const oldSegment = readFileSync(path.join(walDirectory, segmentName(timeline, checkpoint)))
  const recordAt = Number(checkpoint % BigInt(segmentBytes))
  const recordBytes = oldSegment.readUInt32LE(recordAt)
  const record = Buffer.from(oldSegment.subarray(recordAt, recordAt + recordBytes))
  const position = segmentStart + BigInt(longPageHeaderBytes)
  record.writeBigUInt64LE(0n, 8) // no previous record
  record.writeBigUInt64LE(position, recordHeaderBytes + 2) // redo, first field of the checkpoint
  record.writeUInt32LE(crc32c(record.subarray(recordHeaderBytes), record.subarray(0, 20)), 20)

  const segment = Buffer.alloc(segmentBytes)
  oldSegment.copy(segment, 0, 0, 2) // the version's magic number
  segment.writeUInt16LE(2, 2) // long header
  segment.writeUInt32LE(timeline, 4)
  segment.writeBigUInt64LE(segmentStart, 8)
  segment.writeBigUInt64LE(systemId, 24)
  segment.writeUInt32LE(segmentBytes, 32)
  segment.writeUInt32LE(8192, 36)
  record.copy(segment, longPageHeaderBytes)

  control.writeBigUInt64LE(position, 32)
  control.writeBigUInt64LE(position, 40)
  control.writeUInt32LE(crc32c(control.subarray(0, crcAt)), crcAt)

  for (const name of readdirSync(walDirectory)) {
    if (/^[0-9A-F]{24}$/.test(name)) unlinkSync(path.join(walDirectory, name))
  }
  const file = path.join(walDirectory, segmentName(timeline, segmentStart))
  writeFileSync(file, segment, { mode: 0o600 })
  const { uid, gid } = statSync(dataDirectory)
  chownSync(file, uid, gid)
  writeFileSync(controlFile, control)
}

/** The checksum is the last field of a structure whose length differs between versions: found by its value. */
const crcPosition = (control: Buffer): number => {
  for (let at = 200; at < 400; at += 4) {
    if (control.readUInt32LE(at) === crc32c(control.subarray(0, at))) return at
  }
  throw new Error("pg_control has no checksum where one is expected.")
}
