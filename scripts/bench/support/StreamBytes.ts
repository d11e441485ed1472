/** Columns of the table whose changes the stream is about. */
export const columns = [
  ["id", "int8", 20],
  ["tenant", "int4", 23],
  ["title", "text", 25],
  ["done", "bool", 16],
  ["amount", "numeric", 1700],
  ["created", "timestamptz", 1184],
  ["note", "text", 25]
] as const
export const tableOid = 16_400

export interface StreamBytesOptions {
  readonly rows: number
  readonly shapes: number
  readonly update: boolean
  readonly rowsEach: number
  readonly firstTenant: number
  readonly firstLsn: bigint
}

/** The bytes that Postgres sends, in pieces of a socket's usual size. */
export const streamBytes = function* (options: StreamBytesOptions): Generator<Buffer> {
  const pieceBytes = 64 * 1024
  const piece = Buffer.alloc(pieceBytes + 4096)
  let at = 0
  let lsn = options.firstLsn
  const message = (write: () => void) => {
    piece[at] = 0x64
    const lengthAt = at + 1
    piece[at + 5] = 0x77
    piece.fill(0, at + 6, at + 30)
    at += 30
    write()
    piece.writeUInt32BE(at - lengthAt, lengthAt)
  }
  const int64 = (value: bigint) => (at = piece.writeBigUInt64BE(value, at))
  const int32 = (value: number) => (at = piece.writeUInt32BE(value, at))
  const int16 = (value: number) => (at = piece.writeUInt16BE(value, at))
  const text = (value: string) => (at += piece.write(value, at, "latin1"))
  const tuple = (id: number, turn: number) => {
    int16(columns.length)
    const values = [
      String(id),
      String(options.firstTenant + (id % options.shapes)),
      `Item number ${id}`,
      id % 2 === 0 ? "t" : "f",
      ((id % 100_000) / 100 + turn).toFixed(2),
      `2026-01-01 00:${String(Math.floor(id / 60) % 60).padStart(2, "0")}:${String(id % 60).padStart(2, "0")}+00`,
      `A note on item ${id}: words and more words, so that the row has the size of a usual one`
    ]
    for (const value of values) {
      text("t")
      int32(value.length)
      text(value)
    }
  }
  message(() => {
    text("R")
    int32(tableOid)
    text("public\0items\0f")
    int16(columns.length)
    for (const [name, , typeOid] of columns) {
      text(`${name === "id" ? "\x01" : "\0"}${name}\0`)
      int32(typeOid)
      int32(0xffffffff)
    }
  })
  for (let id = 1, xid = 1000; id <= options.rows; xid++) {
    lsn += 1000n
    const commitLsn = lsn
    message(() => {
      text("B")
      int64(commitLsn)
      int64(0n)
      int32(xid)
    })
    for (let end = Math.min(options.rows, id + options.rowsEach - 1); id <= end; id++) {
      message(() => {
        text(options.update ? "U" : "I")
        int32(tableOid)
        if (options.update) {
          text("O")
          tuple(id, 0)
        }
        text("N")
        tuple(id, 1)
      })
      if (at >= pieceBytes) {
        yield Buffer.from(piece.subarray(0, at))
        at = 0
      }
    }
    message(() => {
      text("C\0")
      int64(commitLsn)
      int64(commitLsn + 100n)
      int64(0n)
    })
  }
  yield Buffer.from(piece.subarray(0, at))
}
