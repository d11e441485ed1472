import type { Tuple } from "../../src/postgres/Tuple.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { ByteWriter } from "../../src/shared/ByteWriter.ts"
import { type EncodedParts, makeTransactionStamp, makeWireEncoder } from "../../src/shapes/WireEncoder.ts"

/**
 * How fast changes are turned into messages, in processor time of one core: `npx node scripts/bench/encode.ts`. The constants in
 * `ByteWriter.ts` and `JsonText.ts` were chosen with it.
 */
const columns = ["id", "title", "done", "qty", "created", "note"]
const parts: EncodedParts = {
  table: { oid: 1, schema: "public", name: "items" },
  keyColumns: ["id"],
  columns,
  replica: "default"
}
const rowCount = 1000
const rowsOf = (noteBytes: number, turn: number): ReadonlyArray<Tuple> =>
  Array.from({ length: rowCount }, (_, i) =>
    tupleOf([
      String(100_000 + i),
      `row number ${i}`,
      i % 2 === 0 ? "t" : "f",
      i % 7 === 0 ? null : String((i * 7 + turn) % 1000),
      `2026-11-23 12:26:40.${String(i).padStart(6, "0")}+00`,
      `A note with "quotes" in it. ${"Words and more words. ".repeat(Math.ceil(noteBytes / 22))}`.slice(
        0,
        noteBytes
      )
    ])
  )

const measure = (name: string, write: (w: ByteWriter, i: number) => unknown): void => {
  const w = new ByteWriter(1024 * 1024)
  let best = 0
  let bytes = 0
  for (let round = 0; round < 5; round++) {
    const messages = 500_000
    bytes = 0
    const start = process.cpuUsage()
    for (let i = 0; i < messages; i++) {
      write(w, i)
      if (w.length > 900_000) {
        bytes += w.length
        w.clear()
      }
    }
    const seconds = process.cpuUsage(start).user / 1e6
    bytes = (bytes + w.length) / messages
    w.clear()
    best = Math.max(best, messages / seconds)
  }
  const megabytes = (best * bytes) / 1e6
  console.log(
    `${name.padEnd(36)} ${Math.round(best).toLocaleString("en").padStart(10)} messages/s, ` +
      `${Math.round(bytes)} bytes each, ${Math.round(megabytes)} MB/s`
  )
}

const stamp = makeTransactionStamp(26674688n, 745)
for (const noteBytes of [40, 400, 4000]) {
  const old = rowsOf(noteBytes, 0)
  const rows = rowsOf(noteBytes, 1)
  for (const replica of ["default", "full"] as const) {
    const encoder = makeWireEncoder(columns, { ...parts, replica })
    if (encoder === undefined) throw new Error("The rows lack a column of the shape.")
    const at = (list: ReadonlyArray<Tuple>, i: number) => list[i % rowCount] as Tuple
    const label = `6 columns, note of ${noteBytes} bytes`
    if (replica === "default")
      measure(`insert, ${label}`, (w, i) => encoder.insert(w, at(rows, i), stamp, i * 2))
    measure(`update (${replica}), ${label}`, (w, i) =>
      encoder.update(w, at(old, i), at(rows, i), stamp, i * 2)
    )
  }
}
