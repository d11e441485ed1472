import { crc32 } from "node:zlib"

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
