import { crc32 } from "node:zlib"
import { withClause } from "../../shapes/InternDefinition.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { WhereClause } from "../../where/WhereClause.ts"
import type { Compaction } from "../records/CompactionState.ts"
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

/** In files whose head says so: shapes stand there, and the table of shapes is empty. */
export const pagesTable =
  "CREATE TABLE IF NOT EXISTS pages (key INTEGER PRIMARY KEY, body BLOB NOT NULL, crc INTEGER NOT NULL)"

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
}

/** What stands in the column of chunks of a shape that was compacted; of others it is the list alone. */
interface StoredRows {
  readonly chunks: ReadonlyArray<StoredChunk>
  readonly compaction: Compaction
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

/** In the order in which they are written, and in which the checksum is of them. */
const shapeColumns = [
  "id",
  "handle",
  "identity",
  "definition",
  "clause",
  "xmin",
  "xmax",
  "xip",
  "filter_until",
  "complete",
  "chunks",
  "files",
  "created_millis",
  "used_millis"
] as const

/** Gives the values of `shapeColumns`, and then the checksum, as a list. */
export const selectShapes = `SELECT ${shapeColumns.join(", ")}, crc FROM shapes`

/** Checksum of a row of `shapes`. */
export const shapeChecksum = (row: ShapeRow): number =>
  crc32(JSON.stringify(shapeColumns.map((name) => row[name])))

/** A row as `selectShapes` gives it. `undefined` where it is not what was written; `handle` tells then which one that is, if anything does. */
export const readShapeRow = (
  values: Array<unknown>
): { readonly handle: unknown; readonly row: ShapeRow | undefined } => {
  const handle = values[1]
  const crc = values.pop()
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value !== null && typeof value !== "string" && typeof value !== "number")
      return { handle, row: undefined }
  }
  if (crc32(JSON.stringify(values)) !== crc) return { handle, row: undefined }
  // The checksum says that they are what was written.
  return { handle, row: rowOfValues(values) }
}

/** Of the values of `shapeColumns`, as they were written. */
export const rowOfValues = (values: ReadonlyArray<unknown>): ShapeRow => {
  const [
    id,
    handle,
    identity,
    definition,
    clause,
    xmin,
    xmax,
    xip,
    filter_until,
    complete,
    chunks,
    files,
    created_millis,
    used_millis
  ] = values
  return {
    id,
    handle,
    identity,
    definition,
    clause,
    xmin,
    xmax,
    xip,
    filter_until,
    complete,
    chunks,
    files,
    created_millis,
    used_millis
  } as ShapeRow
}

/** What is kept of a shape. Its definition stands elsewhere, under the number `definitionId`, without its clause. */
export const rowOf = (shape: ShapeState, definition: ShapeDefinition, definitionId: number): ShapeRow => {
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
    chunks: JSON.stringify(
      shape.compaction === undefined
        ? chunks
        : ({ chunks, compaction: shape.compaction } satisfies StoredRows)
    ),
    files: JSON.stringify(shape.files),
    created_millis: Math.trunc(shape.createdAtMillis),
    used_millis: Math.trunc(shape.lastUsedMillis)
  }
}

/** The shape that a row was made of; `common` is its definition without the clause. */
export const shapeOf = (row: ShapeRow, common: ShapeDefinition): ShapeState => {
  const definition = row.clause === null ? common : withClause(common, JSON.parse(row.clause) as WhereClause)
  const shape = ShapeState.made(row.id, row.handle, definition, row.identity, row.created_millis)
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
    const stored = JSON.parse(row.chunks) as ReadonlyArray<StoredChunk> | StoredRows
    const sums = "chunks" in stored ? stored.chunks : stored
    if ("chunks" in stored) shape.compaction = stored.compaction
    sums.forEach(([bytes, crc, extents], index) =>
      shape.setChunk(index, { _tag: "File", bytes, crc, ...(extents === undefined ? {} : { extents }) })
    )
  }
  if (row.files !== "[]") shape.files = JSON.parse(row.files) as Array<LogFile>
  shape.dirty = false
  return shape
}
