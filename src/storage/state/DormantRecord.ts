import { hashOfText } from "../../shared/tables/KeyIndex.ts"
import { handleMicros } from "../../shapes/Handle.ts"
import { hashOfNumbers, numbersOf } from "../../shapes/HandleNumbers.ts"
import type { LogOffset } from "../../shapes/LogOffset.ts"
import { compareOffsets, snapshotEnd } from "../../shapes/LogOffset.ts"
import type { PackedDefinition } from "../../shapes/PackedDefinition.ts"
import type { Compaction } from "../records/CompactionState.ts"
import type { LogFile } from "../records/Records.ts"
import { logFileEnd } from "../records/Records.ts"
import { noChunks, noFiles, type ShapeFields, type SnapshotChunk } from "./ShapeFields.ts"
import type { ShapeTail } from "./ShapeTail.ts"
import { identityBytes, writeDigest } from "./IdentityDigest.ts"
import { snapshotText } from "./KnownSnapshot.ts"
import { at, chunksOf, Cursor, flag, kind } from "./RecordLayout.ts"

/** Bytes that are written one after the other, in a buffer that is used again and again. */
class Scratch {
  bytes = Buffer.allocUnsafeSlow(1024)
  length = 0

  /** Room for so many more. */
  room(bytes: number): void {
    if (this.length + bytes <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(2 * (this.length + bytes))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }

  number(value: number): void {
    this.room(8)
    let rest = value
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.bytes[this.length++] = rest
  }

  double(value: number): void {
    this.room(8)
    this.bytes.writeDoubleLE(value, this.length)
    this.length += 8
  }

  text(text: string): void {
    const { length } = text
    this.room(8 + length)
    const start = this.length
    this.number(length)
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) {
        this.length = start
        return this.otherText(text)
      }
      this.bytes[this.length++] = code
    }
  }

  private otherText(text: string): void {
    const bytes = Buffer.byteLength(text)
    this.room(8 + bytes)
    this.number(bytes)
    this.length += this.bytes.write(text, this.length)
  }
}

const scratch = new Scratch()

/** What a record says of bytes on disk, for those who add up. */
export interface FileBytes {
  readonly rows: number
  readonly log: number
}

const isWhole = (text: string | undefined): boolean => text === undefined || text.isWellFormed()

/** Whether all of it can be written: what is in use, or no text that has a form as bytes, stays as it is. */
const maySleep = (fields: ShapeFields): boolean =>
  !fields.dropped &&
  fields.snapshotComplete &&
  !fields.unannounced &&
  fields.running === undefined &&
  fields.undecided === undefined &&
  (fields.waiters === undefined || fields.waiters.size === 0) &&
  ("_tag" in fields.chunks || fields.chunks.every((chunk) => chunk !== undefined)) &&
  isWhole(fields.sql) &&
  (typeof fields.constants === "string" ? isWhole(fields.constants) : fields.constants.every(isWhole))

/** The beginning of a record: everything that has a fixed place. */
const writeHead = (
  id: number,
  template: number,
  fields: Pick<ShapeFields, "createdAtMillis" | "handle" | "identity" | "lastUsedMillis">,
  { log, rows }: FileBytes
): number => {
  scratch.length = 0
  scratch.room(at.rest)
  const { bytes } = scratch
  bytes.writeUInt32LE(id, at.id)
  bytes.writeUInt32LE(template, at.template)
  bytes.writeDoubleLE(fields.lastUsedMillis, at.lastUsed)
  bytes.writeDoubleLE(fields.createdAtMillis, at.created)
  bytes.writeDoubleLE(rows, at.rowFileBytes)
  bytes.writeDoubleLE(log, at.logFileBytes)
  let kinds = 0
  const numbers = numbersOf(fields.handle)
  bytes.writeUInt32LE(numbers?.[0] ?? 0, at.handleHash)
  bytes.writeDoubleLE(numbers?.[1] ?? 0, at.handleMicros)
  scratch.length = at.rest
  if (numbers === undefined) {
    kinds |= kind.handleIsText
    scratch.text(fields.handle)
  }
  if (!writeDigest(scratch.bytes, at.identity, fields.identity)) {
    kinds |= kind.identityIsText
    scratch.text(fields.identity)
  }
  return kinds
}

const writeDefinition = ({ constants, sql }: Pick<PackedDefinition, "constants" | "sql">): number => {
  if (sql !== undefined) scratch.text(sql)
  if (typeof constants === "string") {
    scratch.text(constants)
    return 0
  }
  scratch.number(constants.length)
  for (const constant of constants) scratch.text(constant)
  return kind.constantsAreList
}

const writeChunks = (chunks: SnapshotChunk | ReadonlyArray<SnapshotChunk>): number => {
  const one = "_tag" in chunks ? chunks : chunks.length === 1 ? chunks[0] : undefined
  if (one?._tag === "File" && one.extents === undefined) {
    scratch.number(one.bytes)
    scratch.number(one.crc)
    return chunksOf.oneFile
  }
  if (one?._tag === "Journal") {
    scratch.number(one.segment)
    scratch.number(one.position)
    scratch.number(one.bytes)
    return chunksOf.oneInJournal
  }
  if (!("_tag" in chunks) && chunks.length === 0) return chunksOf.none
  scratch.text(JSON.stringify("_tag" in chunks ? [chunks] : chunks))
  return chunksOf.list
}

const finish = (flags: number, kinds: number): Buffer => {
  scratch.bytes[at.flags] = flags
  scratch.bytes[at.kinds] = kinds
  return scratch.bytes.subarray(0, scratch.length)
}

/**
 * The record of a shape, in bytes that hold until the next call; `undefined` where it is in use. `template`: a number for
 * that of its definition. Its tail is not part of it.
 */
export const writeShape = (
  id: number,
  template: number,
  fields: ShapeFields,
  tail: ShapeTail | undefined,
  bytes: FileBytes
): Buffer | undefined => {
  if (!maySleep(fields)) return undefined
  let kinds = writeHead(id, template, fields, bytes)
  let flags = flag.complete | (fields.dirty ? flag.dirty : 0)
  kinds |= writeDefinition(fields)
  if (fields.sql !== undefined) flags |= flag.hasSql
  const { snapshot } = fields
  if (snapshot !== undefined) {
    flags |= flag.hasSnapshot | (fields.filters ? flag.filters : 0)
    scratch.text(snapshotText(snapshot))
  }
  kinds |= writeChunks(fields.chunks)
  if (fields.files.length > 0) {
    kinds |= kind.hasFiles
    scratch.text(JSON.stringify(fields.files))
  }
  if (fields.compaction !== undefined) {
    kinds |= kind.hasCompaction
    scratch.text(JSON.stringify(fields.compaction))
  }
  scratch.number(fields.openChunkBytes)
  if (tail !== undefined && isAt(fields.end, tail.offset(tail.count - 1))) flags |= flag.endsWithTail
  else if (isAt(fields.end, endOf(fields.files))) flags |= flag.endsWithFiles
  else {
    scratch.text(String(fields.end.tx))
    scratch.double(fields.end.op)
  }
  return finish(flags, kinds)
}

const isAt = (a: LogOffset, b: LogOffset): boolean => compareOffsets(a, b) === 0
const endOf = (files: ReadonlyArray<LogFile>): LogOffset => {
  const last = files.at(-1)
  return last === undefined ? snapshotEnd : logFileEnd(last)
}

/** A shape without a log, of a complete snapshot, as a checkpoint has most of them. */
export interface PlainShape extends Pick<
  ShapeFields,
  "chunks" | "constants" | "createdAtMillis" | "handle" | "identity" | "lastUsedMillis" | "sql"
> {
  readonly id: number
  /** As `snapshotText` gives it. */
  readonly visibility: string
}

/** What `writeShape` gives for it. */
export const writePlainShape = (shape: PlainShape, template: number, rowFileBytes: number): Buffer => {
  let kinds = writeHead(shape.id, template, shape, { rows: rowFileBytes, log: 0 })
  kinds |= writeDefinition(shape)
  scratch.text(shape.visibility)
  kinds |= writeChunks(shape.chunks)
  scratch.number(0)
  const flags = flag.complete | flag.filters | flag.hasSnapshot | flag.endsWithFiles
  return finish(shape.sql === undefined ? flags : flags | flag.hasSql, kinds)
}

/** Everything that a record says. */
export const readShape = (
  bytes: Buffer,
  start: number,
  template: PackedDefinition["template"],
  tail: ShapeTail | undefined
): ShapeFields => {
  const flags = bytes[start + at.flags] as number
  const kinds = bytes[start + at.kinds] as number
  const from = new Cursor(bytes, start + at.rest)
  const handle = (kinds & kind.handleIsText) !== 0 ? from.text() : numberedHandle(bytes, start)
  const identity = (kinds & kind.identityIsText) !== 0 ? from.text() : digestAt(bytes, start)
  const sql = (flags & flag.hasSql) !== 0 ? from.text() : undefined
  const constants = readConstants(from, kinds)
  const snapshot = (flags & flag.hasSnapshot) !== 0 ? from.snapshot() : undefined
  const chunks = readChunks(from, kinds)
  const files = (kinds & kind.hasFiles) !== 0 ? (JSON.parse(from.text()) as Array<LogFile>) : noFiles
  const compaction = (kinds & kind.hasCompaction) !== 0 ? (JSON.parse(from.text()) as Compaction) : undefined
  const openAtRest = from.number()
  const openChunkBytes = tail === undefined || tail.openBytes < 0 ? openAtRest : tail.openBytes
  const end =
    (flags & flag.endsWithTail) !== 0 && tail !== undefined
      ? tail.offset(tail.count - 1)
      : (flags & flag.endsWithFiles) !== 0
        ? endOf(files)
        : { tx: BigInt(from.text()), op: from.double() }
  return {
    handle,
    template,
    sql,
    constants,
    identity,
    dropped: false,
    createdAtMillis: bytes.readDoubleLE(start + at.created),
    lastUsedMillis: bytes.readDoubleLE(start + at.lastUsed),
    snapshot,
    filters: (flags & flag.filters) !== 0,
    undecided: undefined,
    chunks,
    snapshotComplete: (flags & flag.complete) !== 0,
    unannounced: false,
    running: undefined,
    compaction,
    files,
    openChunkBytes,
    end,
    waiters: undefined,
    touchedBy: 0,
    dirty: (flags & flag.dirty) !== 0
  }
}

const readConstants = (from: Cursor, kinds: number): PackedDefinition["constants"] => {
  if ((kinds & kind.constantsAreList) === 0) return from.text()
  const count = from.number()
  return Array.from({ length: count }, () => from.text())
}

const readChunks = (from: Cursor, kinds: number): SnapshotChunk | ReadonlyArray<SnapshotChunk> => {
  switch (kinds & kind.chunks) {
    case chunksOf.oneFile:
      return { _tag: "File", bytes: from.number(), crc: from.number() }
    case chunksOf.oneInJournal:
      return { _tag: "Journal", segment: from.number(), position: from.number(), bytes: from.number() }
    case chunksOf.list:
      return JSON.parse(from.text()) as Array<SnapshotChunk>
    default:
      return noChunks
  }
}

// What keys are found by

/** What `hashOfHandle` gives for its handle. */
export const handleHashIn = (bytes: Buffer, start: number): number =>
  ((bytes[start + at.kinds] as number) & kind.handleIsText) !== 0
    ? hashOfText(handleIn(bytes, start))
    : hashOfNumbers(bytes.readUInt32LE(start + at.handleHash), bytes.readDoubleLE(start + at.handleMicros))

/** What `hashOfIdentity` gives for its identity. */
export const identityHashIn = (bytes: Buffer, start: number): number =>
  ((bytes[start + at.kinds] as number) & kind.identityIsText) !== 0
    ? hashOfText(identityIn(bytes, start))
    : bytes.readUInt32LE(start + at.identity)

// Single values, for those who look at many shapes

export const idIn = (bytes: Buffer, start: number): number => bytes.readUInt32LE(start + at.id)

const numberedHandle = (bytes: Buffer, start: number): string =>
  `${bytes.readUInt32LE(start + at.handleHash)}-${bytes.readDoubleLE(start + at.handleMicros)}`

/** See `handleMicros`. */
export const handleMicrosIn = (bytes: Buffer, start: number): number | undefined =>
  ((bytes[start + at.kinds] as number) & kind.handleIsText) !== 0
    ? handleMicros(handleIn(bytes, start))
    : bytes.readDoubleLE(start + at.handleMicros)

/** It has no log: its end is that of its first rows. */
export const isWithoutLog = (bytes: Buffer, start: number): boolean =>
  ((bytes[start + at.flags] as number) & flag.endsWithFiles) !== 0 &&
  ((bytes[start + at.kinds] as number) & kind.hasFiles) === 0

/** It ends where its entries in the journal do. */
export const endsWithTailIn = (bytes: Buffer, start: number): boolean =>
  ((bytes[start + at.flags] as number) & flag.endsWithTail) !== 0

const digestAt = (bytes: Buffer, start: number): string =>
  bytes.toString("base64url", start + at.identity, start + at.identity + identityBytes)

export const handleIn = (bytes: Buffer, start: number): string => {
  const kinds = bytes[start + at.kinds] as number
  if ((kinds & kind.handleIsText) === 0) return numberedHandle(bytes, start)
  return new Cursor(bytes, start + at.rest).text()
}

export const identityIn = (bytes: Buffer, start: number): string => {
  const kinds = bytes[start + at.kinds] as number
  if ((kinds & kind.identityIsText) === 0) return digestAt(bytes, start)
  const from = new Cursor(bytes, start + at.rest)
  if ((kinds & kind.handleIsText) !== 0) from.text()
  return from.text()
}

/** All that tells its condition. */
export const definitionIn = (bytes: Buffer, start: number): Pick<PackedDefinition, "constants" | "sql"> => {
  const flags = bytes[start + at.flags] as number
  const kinds = bytes[start + at.kinds] as number
  const from = new Cursor(bytes, start + at.rest)
  if ((kinds & kind.handleIsText) !== 0) from.text()
  if ((kinds & kind.identityIsText) !== 0) from.text()
  const sql = (flags & flag.hasSql) !== 0 ? from.text() : undefined
  return { sql, constants: readConstants(from, kinds) }
}

export const templateIn = (bytes: Buffer, start: number): number => bytes.readUInt32LE(start + at.template)
export const setTemplateIn = (bytes: Buffer, start: number, template: number): void => {
  bytes.writeUInt32LE(template, start + at.template)
}
export const lastUsedIn = (bytes: Buffer, start: number): number => bytes.readDoubleLE(start + at.lastUsed)
export const createdIn = (bytes: Buffer, start: number): number => bytes.readDoubleLE(start + at.created)
export const isDirtyIn = (bytes: Buffer, start: number): boolean =>
  ((bytes[start + at.flags] as number) & flag.dirty) !== 0
export const hasSqlIn = (bytes: Buffer, start: number): boolean =>
  ((bytes[start + at.flags] as number) & flag.hasSql) !== 0
/** It has files of a log, or was compacted. */
export const hasHistoryIn = (bytes: Buffer, start: number): boolean =>
  ((bytes[start + at.kinds] as number) & (kind.hasFiles | kind.hasCompaction)) !== 0
export const hasChunksInJournalIn = (bytes: Buffer, start: number): boolean => {
  const chunks = (bytes[start + at.kinds] as number) & kind.chunks
  return chunks === chunksOf.oneInJournal || chunks === chunksOf.list
}
export const fileBytesIn = (bytes: Buffer, start: number): FileBytes => ({
  rows: bytes.readDoubleLE(start + at.rowFileBytes),
  log: bytes.readDoubleLE(start + at.logFileBytes)
})
export const setDirtyIn = (bytes: Buffer, start: number, dirty: boolean): void => {
  const flags = bytes[start + at.flags] as number
  bytes[start + at.flags] = dirty ? flags | flag.dirty : flags & ~flag.dirty
}
export const setLastUsedIn = (bytes: Buffer, start: number, millis: number): void => {
  bytes.writeDoubleLE(millis, start + at.lastUsed)
}
export const unitsIn = (bytes: Buffer, start: number): number => bytes.readUInt16LE(start + at.units)
export const setUnitsIn = (bytes: Buffer, start: number, units: number): void => {
  bytes.writeUInt16LE(units, start + at.units)
}
