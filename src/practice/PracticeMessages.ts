import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"

// What a server says. Source: PostgreSQL documentation, "Message Formats", "Logical Replication Message Formats".

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`)
const letter = (value: string): Buffer => Buffer.from(value, "latin1")

export const frame = (kind: string, ...parts: ReadonlyArray<Buffer>): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([letter(kind), int32(body.length + 4), body])
}

const ready = frame("Z", letter("I"))

/** The connection is accepted. */
export const granted = Buffer.concat([frame("R", int32(0)), frame("K", int32(1), int32(1)), ready])

/** A statement without rows has succeeded. */
export const completed = Buffer.concat([frame("C", text("SET")), ready])

/** One with a row, all of text. */
export const rowOf = (row: Readonly<Record<string, string>>): Buffer => {
  const described = Object.keys(row).map((name) =>
    Buffer.concat([text(name), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)])
  )
  const values = Object.values(row).map((value) => {
    const bytes = Buffer.from(value)
    return Buffer.concat([int32(bytes.length), bytes])
  })
  return Buffer.concat([
    frame("T", int16(described.length), ...described),
    frame("D", int16(values.length), ...values),
    completed
  ])
}

/** A message of the stream. */
const streamed = (lsn: bigint, content: Buffer): Buffer =>
  frame("d", letter("w"), int64(lsn), int64(lsn), int64(0n), content)

const relation = ({ columns, name, oid, primaryKey, schema }: TableInfo): Buffer =>
  Buffer.concat([
    letter("R"),
    int32(oid),
    text(schema),
    text(name),
    letter("f"),
    int16(columns.length),
    ...columns.flatMap((column) => [
      letter(primaryKey.includes(column.name) ? "\x01" : "\0"),
      text(column.name),
      int32(column.typeOid),
      int32(column.typeModifier)
    ])
  ])

const insert = (oid: number, row: ReadonlyArray<string>): Buffer =>
  Buffer.concat([
    letter("I"),
    int32(oid),
    letter("N"),
    int16(row.length),
    ...row.flatMap((value) => [letter("t"), int32(value.length), letter(value)])
  ])

/** A transaction that has inserted a row. */
export const transaction = (lsn: bigint, xid: number, table: TableInfo, row: ReadonlyArray<string>): Buffer =>
  Buffer.concat(
    [
      Buffer.concat([letter("B"), int64(lsn), int64(0n), xidBytes(xid)]),
      relation(table),
      insert(table.oid, row),
      Buffer.concat([letter("C\0"), int64(lsn), int64(lsn), int64(0n)])
    ].map((content) => streamed(lsn, content))
  )

const xidBytes = (xid: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(xid)
  return bytes
}
