import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { columnText } from "../../src/postgres/Tuple.ts"
import { MessageFilter, type RowColumn } from "../../src/registry/snapshot/MessageFilter.ts"

type Message =
  | { readonly kind: "row"; readonly values: ReadonlyArray<string | null> }
  | { readonly kind: "other"; readonly type: string; readonly payload: Buffer }

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const encode = (message: Message): Buffer => {
  const payload =
    message.kind === "other"
      ? message.payload
      : Buffer.concat([
          int32(message.values.length).subarray(2),
          ...message.values.flatMap((value) =>
            value === null ? [int32(-1)] : [int32(Buffer.byteLength(value)), Buffer.from(value)]
          )
        ])
  const type = message.kind === "row" ? "D" : message.type
  return Buffer.concat([Buffer.from(type), int32(payload.length + 4), payload])
}

const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("row" as const),
      values: fc.array(fc.option(fc.string({ unit: "binary", maxLength: 12 })), { maxLength: 5 })
    })
  },
  {
    weight: 1,
    arbitrary: fc.nat(20_000).map((n) => ({ kind: "row" as const, values: ["long ".repeat(n), null, ""] }))
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("other" as const),
      type: fc.constantFrom("T", "C", "Z", "N", "S", "E"),
      payload: fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes))
    })
  }
)

/** What comes out, in order: rows as their values, everything else as bytes, neighbours joined. */
const filtered = (chunks: ReadonlyArray<Buffer>, takesRows: boolean): ReadonlyArray<unknown> => {
  const out: Array<unknown> = []
  let others: Array<Buffer> = []
  const flush = () => {
    if (others.length > 0) out.push(Buffer.concat(others).toString("hex"))
    others = []
  }
  const filter = new MessageFilter((messages) => others.push(messages))
  if (takesRows)
    filter.onRow = (row) => {
      flush()
      out.push(Array.from({ length: row.columnCount }, (_, i) => columnText(row, i)))
    }
  for (const chunk of chunks) filter.feed(chunk)
  flush()
  return out
}

const cut = (bytes: Buffer, cuts: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const places = [
    0,
    ...cuts.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b),
    bytes.length
  ]
  return places.slice(1).map((to, i) => bytes.subarray(places[i], to))
}

describe("the messages of a query", () => {
  it("are told apart, rows taken with their description and the rest passed on untouched, wherever the network cuts them", () => {
    fc.assert(
      fc.property(
        fc.array(anyMessage, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (messages, cuts) => {
          const bytes = Buffer.concat(messages.map(encode))
          const expected: Array<unknown> = []
          let others = ""
          for (const message of messages) {
            if (message.kind === "other") {
              // What describes the rows that are taken goes with them.
              if (message.type !== "T") others += encode(message).toString("hex")
            } else {
              if (others !== "") expected.push(others)
              others = ""
              expected.push(message.values)
            }
          }
          if (others !== "") expected.push(others)
          assert.deepStrictEqual(filtered(cut(bytes, cuts), true), expected)
        }
      ),
      { numRuns: 500 }
    )
  })

  it("say which columns of which table the rows have, wherever the network cuts them", () => {
    const described = fc.record({
      name: fc.string({ unit: fc.constantFrom("a", '"', "é", " "), minLength: 1, maxLength: 8 }),
      tableOid: fc.nat(0xffffffff),
      attnum: fc.nat(1600),
      typeOid: fc.nat(0xffffffff),
      typeModifier: fc.integer({ min: -1, max: 1 << 30 })
    })
    fc.assert(
      fc.property(
        fc.array(described, { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (columns, cuts) => {
          const payload = Buffer.concat([
            int32(columns.length).subarray(2),
            ...columns.flatMap(({ attnum, name, tableOid, typeModifier, typeOid }) => [
              Buffer.from(`${name}\0`),
              int32(tableOid | 0),
              int32(attnum).subarray(2),
              int32(typeOid | 0),
              int32(-1).subarray(2),
              int32(typeModifier),
              int32(0).subarray(2)
            ])
          ])
          const found: Array<ReadonlyArray<RowColumn>> = []
          const filter = new MessageFilter(() => assert.fail("nothing is passed on"))
          filter.onRow = () => {}
          filter.onColumns = (each) => found.push(each)
          for (const chunk of cut(encode({ kind: "other", type: "T", payload }), cuts)) filter.feed(chunk)
          assert.deepStrictEqual(found, [
            columns.map(({ attnum, tableOid, typeModifier, typeOid }) => ({
              tableOid,
              attnum,
              typeOid,
              typeModifier
            }))
          ])
        }
      )
    )
  })

  it("are all passed on when nobody takes rows, byte by byte too", () => {
    const bytes = Buffer.concat(
      [
        { kind: "row", values: ["1", null, "€"] },
        { kind: "other", type: "Z", payload: Buffer.from("I") }
      ].map((message) => encode(message as Message))
    )
    const expected = [bytes.toString("hex")]
    assert.deepStrictEqual(filtered([bytes], false), expected)
    assert.deepStrictEqual(filtered(cut(bytes, [...bytes.keys()]), false), expected)
  })
})
