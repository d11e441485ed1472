import { crc32 } from "node:zlib"
import { withClause } from "../../shapes/InternDefinition.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { WhereClause } from "../../where/WhereClause.ts"
import type { Extent, LogFile } from "../records/Records.ts"
import { ShapeState } from "../state/ShapeState.ts"

/**
 * The tables of a checkpoint. SQLite does not notice a flipped bit in a value, so every row carries the CRC-32 of what
 * stands before it.
 */
export const checkpointTables = [
  "CREATE TABLE IF NOT EXISTS head (key INTEGER PRIMARY KEY CHECK (key = 1), value TEXT NOT NULL, crc INTEGER NOT NULL)",
  "CREATE TABLE IF NOT EXISTS definitions (id INTEGER PRIMARY KEY, json TEXT NOT NULL, crc INTEGER NOT NULL)",
  `CREATE TABLE IF NOT EXISTS shapes (
    id INTEGER PRIMARY KEY, handle TEXT NOT NULL, identity TEXT NOT NULL, definition INTEGER NOT NULL,
    clause TEXT, xmin TEXT, xmax TEXT, xip TEXT, filter_until TEXT, complete INTEGER NOT NULL,
    chunks TEXT NOT NULL, files TEXT NOT NULL, created_millis INTEGER NOT NULL, used_millis INTEGER NOT NULL,
    crc INTEGER NOT NULL)`
]

export interface ShapeRow {
  readonly id: number
  readonly handle: string
  readonly identity: string
  readonly definition: number
  readonly clause: string | null
  readonly xmin: string | null
  readonly xmax: string | null
  readonly xip: string | null
  readonly filter_until: string | null
  readonly complete: number
  readonly chunks: string
  readonly files: string
  readonly created_millis: number
  readonly used_millis: number
  readonly crc: number
}

/** A chunk of first rows in its column: length, checksum, and where packs of the bucket hold it. */
type StoredChunk = readonly [bytes: number, crc: number, extents?: ReadonlyArray<Extent>]

export interface TextRow {
  readonly id: number
  readonly text: string
  readonly crc: number
}

/** Checksum of a row of `head` or `definitions`. */
export const textChecksum = (id: number, text: string): number => crc32(text, id)

/** Checksum of a row of `shapes`; `undefined` where a value has become one that no row is written with. */
export const shapeChecksum = (row: Omit<ShapeRow, "crc">): number | undefined => {
  const values = [
    row.id,
    row.handle,
    row.identity,
    row.definition,
    row.clause,
    row.xmin,
    row.xmax,
    row.xip,
    row.filter_until,
    row.complete,
    row.chunks,
    row.files,
    row.created_millis,
    row.used_millis
  ]
  return values.every((value) => value === null || typeof value === "string" || typeof value === "number")
    ? crc32(JSON.stringify(values))
    : undefined
}

/** What is kept of a shape. Its definition stands elsewhere, under the number `definitionId`, without its clause. */
export const rowOf = (
  shape: ShapeState,
  definition: ShapeDefinition,
  definitionId: number
): Omit<ShapeRow, "crc"> => {
  const { visibility } = shape
  // Chunks that still stand in the journal come back with it.
  const chunks: Array<StoredChunk> = []
  for (const chunk of shape.snapshotChunks) {
    if (chunk?._tag !== "File") break
    const { bytes, crc, extents } = chunk
    chunks.push(extents === undefined ? [bytes, crc] : [bytes, crc, extents])
  }
  return {
    id: shape.id,
    handle: shape.handle,
    identity: shape.identity,
    definition: definitionId,
    clause: definition.where === undefined ? null : JSON.stringify(definition.where),
    xmin: visibility?.xmin ?? null,
    xmax: visibility?.xmax ?? null,
    xip: visibility === undefined || visibility.xipList.length === 0 ? null : visibility.xipList.join(","),
    filter_until: visibility?.containedBefore ?? null,
    complete: shape.snapshotComplete ? 1 : 0,
    chunks: JSON.stringify(chunks),
    files: JSON.stringify(shape.files),
    created_millis: Math.trunc(shape.createdAtMillis),
    used_millis: Math.trunc(shape.lastUsedMillis)
  }
}

/** The shape that a row was made of; `common` is its definition without the clause. */
export const shapeOf = (row: ShapeRow, common: ShapeDefinition): ShapeState => {
  const definition = row.clause === null ? common : withClause(common, JSON.parse(row.clause) as WhereClause)
  const shape = new ShapeState(row.id, row.handle, definition, row.identity, row.created_millis)
  shape.lastUsedMillis = row.used_millis
  if (row.xmin !== null && row.xmax !== null) {
    shape.setVisibility({
      xmin: row.xmin,
      xmax: row.xmax,
      xipList: row.xip === null ? [] : row.xip.split(","),
      ...(row.filter_until === null ? {} : { containedBefore: row.filter_until })
    })
  }
  shape.snapshotComplete = row.complete === 1
  if (row.chunks !== "[]") {
    const sums = JSON.parse(row.chunks) as ReadonlyArray<StoredChunk>
    sums.forEach(([bytes, crc, extents], index) =>
      shape.setChunk(index, { _tag: "File", bytes, crc, ...(extents === undefined ? {} : { extents }) })
    )
  }
  if (row.files !== "[]") shape.files = JSON.parse(row.files) as Array<LogFile>
  shape.dirty = false
  return shape
}
