/**
 * Writes pgoutput messages byte by byte from the tables in the PostgreSQL documentation, without looking at the decoder,
 * so that the two can be held against each other.
 */
export interface TableMessage {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly replicaIdentity: "d" | "n" | "f" | "i"
  readonly columns: ReadonlyArray<{
    readonly name: string
    readonly typeOid: number
    readonly typeModifier: number
    readonly isKey: boolean
  }>
}

/** A text, SQL NULL, or a TOASTed value that was not sent. */
export type Value = string | null | { readonly unchanged: true }

const byte = (value: number | string) =>
  typeof value === "string" ? Buffer.from(value, "latin1") : Buffer.from([value])
const int16 = (value: number) => Buffer.from([(value >> 8) & 255, value & 255])
const int32 = (value: number) =>
  Buffer.from([(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255])
const int64 = (value: bigint) => {
  const bytes: Array<number> = []
  for (let shift = 56n; shift >= 0n; shift -= 8n) bytes.push(Number((value >> shift) & 255n))
  return Buffer.from(bytes)
}
const text = (value: string) => Buffer.concat([Buffer.from(value, "utf8"), byte(0)])

const tuple = (values: ReadonlyArray<Value>) =>
  Buffer.concat([
    int16(values.length),
    ...values.flatMap((value) => {
      if (value === null) return [byte("n")]
      if (typeof value === "object") return [byte("u")]
      const bytes = Buffer.from(value, "utf8")
      return [byte("t"), int32(bytes.length), bytes]
    })
  ])

export const encode = {
  begin: (finalLsn: bigint, timeMicros: bigint, xid: number) =>
    Buffer.concat([byte("B"), int64(finalLsn), int64(timeMicros), int32(xid)]),
  commit: (lsn: bigint, endLsn: bigint, timeMicros: bigint) =>
    Buffer.concat([byte("C"), byte(0), int64(lsn), int64(endLsn), int64(timeMicros)]),
  relation: (table: TableMessage) =>
    Buffer.concat([
      byte("R"),
      int32(table.oid),
      text(table.schema === "pg_catalog" ? "" : table.schema),
      text(table.name),
      byte(table.replicaIdentity),
      int16(table.columns.length),
      ...table.columns.flatMap((column) => [
        byte(column.isKey ? 1 : 0),
        text(column.name),
        int32(column.typeOid),
        int32(column.typeModifier)
      ])
    ]),
  insert: (oid: number, row: ReadonlyArray<Value>) =>
    Buffer.concat([byte("I"), int32(oid), byte("N"), tuple(row)]),
  update: (
    oid: number,
    before: { readonly kind: "O" | "K"; readonly row: ReadonlyArray<Value> } | undefined,
    row: ReadonlyArray<Value>
  ) =>
    Buffer.concat([
      byte("U"),
      int32(oid),
      ...(before === undefined ? [] : [byte(before.kind), tuple(before.row)]),
      byte("N"),
      tuple(row)
    ]),
  delete: (oid: number, kind: "O" | "K", row: ReadonlyArray<Value>) =>
    Buffer.concat([byte("D"), int32(oid), byte(kind), tuple(row)]),
  truncate: (oids: ReadonlyArray<number>) =>
    Buffer.concat([byte("T"), int32(oids.length), byte(0), ...oids.map(int32)]),
  origin: (lsn: bigint, name: string) => Buffer.concat([byte("O"), int64(lsn), text(name)]),
  type: (oid: number, schema: string, name: string) =>
    Buffer.concat([byte("Y"), int32(oid), text(schema), text(name)]),
  message: (lsn: bigint, prefix: string, content: Buffer) =>
    Buffer.concat([byte("M"), byte(1), int64(lsn), text(prefix), int32(content.length), content]),
  /** XLogData as it comes inside a CopyData message. */
  xlogData: (start: bigint, end: bigint, payload: Buffer) =>
    Buffer.concat([byte("w"), int64(start), int64(end), int64(0n), payload]),
  keepalive: (walEnd: bigint, reply: boolean) =>
    Buffer.concat([byte("k"), int64(walEnd), int64(0n), byte(reply ? 1 : 0)]),
  /** Any message of the frontend/backend protocol. */
  frame: (type: string, payload: Buffer) => Buffer.concat([byte(type), int32(payload.length + 4), payload])
}
