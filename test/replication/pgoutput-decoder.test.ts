import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import fc from "fast-check"
import { MalformedMessage, TransactionTooLarge } from "../../src/replication/wire/MalformedMessage.ts"
import { PgoutputDecoder } from "../../src/replication/wire/PgoutputDecoder.ts"
import { encode, type TableMessage, type Value } from "./pgoutput.encoder.ts"
import { recordingSink, type SinkEvent } from "./recording-sink.ts"

const unlimited = { maxTransactionBytes: Number.MAX_SAFE_INTEGER }

/** Decodes messages laid at odd places of a larger buffer, as they lie in a chunk from the socket. */
const decodeAll = (messages: ReadonlyArray<Buffer>, options = unlimited): ReadonlyArray<SinkEvent> => {
  const { sink, events } = recordingSink({})
  const decoder = new PgoutputDecoder(sink, options)
  const chunk = Buffer.concat(messages.flatMap((message) => [Buffer.from("xyz"), message]))
  let at = 0
  for (const message of messages) {
    decoder.decode(chunk, at + 3, at + 3 + message.length)
    at += 3 + message.length
  }
  return events
}

const uint32 = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0x7fffffff, 0xffffffff)
)
const oid = fc.oneof(fc.integer({ min: 1, max: 0xffffffff }), fc.constant(0xffffffff))
const lsn = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n)
)
const time = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).map((s) => s.replaceAll("\0", "_"))
const value: fc.Arbitrary<string | null> = fc.option(
  fc.string({ unit: "grapheme", maxLength: 20 }).map((s) => s.replaceAll("\0", "_"))
)

const table: fc.Arbitrary<TableMessage> = fc.record({
  oid,
  schema: fc.oneof(name, fc.constant("pg_catalog")),
  name,
  replicaIdentity: fc.constantFrom("d", "n", "f", "i"),
  columns: fc.array(
    fc.record({
      name,
      typeOid: oid,
      typeModifier: fc.integer({ min: -1, max: 0x7fffffff }),
      isKey: fc.boolean()
    }),
    { maxLength: 80 }
  )
})

const unchangedIn = (values: ReadonlyArray<string | null>, which: ReadonlyArray<boolean>) =>
  values.map((v, i): Value => (which[i] === true ? { unchanged: true } : v))

/** A message about one of `tables` and what the sink must be told. */
const change = (
  tables: ReadonlyArray<TableMessage>
): fc.Arbitrary<readonly [Buffer, SinkEvent | undefined]> =>
  fc.constantFrom(...tables).chain((relation) => {
    const row = fc.tuple(...relation.columns.map(() => value)) as fc.Arbitrary<ReadonlyArray<string | null>>
    const sparse = fc.tuple(...relation.columns.map(() => fc.boolean()))
    return fc.oneof(
      row.map((r) => [encode.insert(relation.oid, r), { call: "insert", relation, row: r }] as const),
      fc.tuple(row, row, sparse).map(([old, next, which]) => {
        const filled = next.map((v, i) => (which[i] === true ? (old[i] ?? null) : v))
        return [
          encode.update(relation.oid, { kind: "O", row: old }, unchangedIn(next, which)),
          { call: "update", relation, old, row: filled }
        ] as const
      }),
      fc.tuple(row, row, sparse, fc.boolean()).map(([old, next, which, key]) => {
        const sent = unchangedIn(next, which)
        return [
          encode.update(relation.oid, key ? { kind: "K", row: old } : undefined, sent),
          { call: "update", relation, old: undefined, row: sent }
        ] as const
      }),
      fc.tuple(row, fc.boolean()).map(([old, complete]) => {
        const event: SinkEvent = { call: "delete", relation, row: old, complete }
        return [encode.delete(relation.oid, complete ? "O" : "K", old), event] as const
      }),
      fc.subarray([...tables], { minLength: 1 }).map((some) => {
        const event: SinkEvent = { call: "truncate", relations: some }
        return [encode.truncate(some.map((one) => one.oid)), event] as const
      }),
      fc.constant([encode.relation(relation), { call: "relation", relation }] as const),
      lsn.map((at) => [encode.origin(at, "elsewhere"), undefined] as const),
      oid.map((type) => [encode.type(type, "public", "mood"), undefined] as const),
      fc.uint8Array().map((content) => [encode.message(1n, "p", Buffer.from(content)), undefined] as const)
    )
  })

const transaction = (tables: ReadonlyArray<TableMessage>) =>
  fc.record({ at: lsn, end: lsn, time, xid: uint32, changes: fc.array(change(tables), { maxLength: 8 }) })

describe("pgoutput decoder", () => {
  it("gives back what an independent encoder wrote", () => {
    const session = fc
      .uniqueArray(table, { selector: (one) => one.oid, minLength: 1, maxLength: 3 })
      .chain((tables) => fc.tuple(fc.constant(tables), fc.array(transaction(tables), { maxLength: 4 })))
    fc.assert(
      fc.property(session, ([tables, transactions]) => {
        const messages: Array<Buffer> = tables.map(encode.relation)
        const expected: Array<SinkEvent> = tables.map((relation) => ({ call: "relation", relation }))
        for (const sent of transactions) {
          messages.push(encode.begin(sent.at, sent.time, sent.xid))
          expected.push({ call: "begin", lsn: sent.at, xid: sent.xid, time: sent.time })
          for (const [bytes, event] of sent.changes) {
            messages.push(bytes)
            if (event !== undefined) expected.push(event)
          }
          messages.push(encode.commit(sent.at, sent.end, sent.time))
          expected.push({ call: "commit", lsn: sent.end })
        }
        assert.deepStrictEqual(decodeAll(messages), expected)
      }),
      { numRuns: 300 }
    )
  })

  const t: TableMessage = {
    oid: 16384,
    schema: "public",
    name: "t",
    replicaIdentity: "f",
    columns: [
      { name: "id", typeOid: 20, typeModifier: -1, isKey: true },
      { name: "note", typeOid: 25, typeModifier: -1, isKey: true }
    ]
  }
  const opened = [encode.relation(t), encode.begin(8n, 0n, 1)]

  it("keeps one Relation object per table until its description changes", () => {
    const renamed = { ...t, columns: [t.columns[0]!, { ...t.columns[1]!, name: "text" }] }
    const events = decodeAll([
      ...opened,
      encode.insert(t.oid, ["1", "a"]),
      encode.relation(t),
      encode.insert(t.oid, ["2", "b"]),
      encode.relation(renamed),
      encode.insert(t.oid, ["3", "c"])
    ])
    const relations = events.flatMap((event) => ("relation" in event ? [event.relation] : []))
    assert.strictEqual(relations.length, 6)
    assert.isTrue(relations.slice(0, 4).every((one) => one === relations[0]))
    assert.isTrue(relations.slice(4).every((one) => one === relations[4]))
    assert.deepStrictEqual(relations[4], renamed)
  })

  it("hands over what the sink returns, and nothing where it returns nothing", () => {
    const wait = Effect.void
    const { sink } = recordingSink({ answer: (event) => (event.call === "insert" ? wait : undefined) })
    const decoder = new PgoutputDecoder(sink, unlimited)
    const run = (bytes: Buffer) => decoder.decode(bytes, 0, bytes.length)
    assert.deepStrictEqual(opened.map(run), [undefined, undefined])
    assert.strictEqual(run(encode.insert(t.oid, ["1", null])), wait)
    assert.isTrue(decoder.inTransaction)
    assert.isUndefined(run(encode.commit(8n, 9n, 0n)))
    assert.isFalse(decoder.inTransaction)
  })

  it("decodes without allocating per column", () => {
    const columns = Array.from({ length: 50 }, (_, i) => ({ ...t.columns[0]!, name: `c${i}` }))
    const wide = { ...t, columns }
    const row = encode.insert(
      t.oid,
      columns.map((_, i) => String(i))
    )
    const buffers = new Set<unknown>()
    const sink = {
      ...recordingSink({}).sink,
      insert: (_: unknown, tuple: object) => {
        buffers.add(tuple)
        return undefined
      }
    }
    const decoder = new PgoutputDecoder(sink, unlimited)
    for (const bytes of [encode.relation(wide), encode.begin(8n, 0n, 1)])
      decoder.decode(bytes, 0, bytes.length)
    const rows = 20_000
    for (let i = 0; i < rows; i++) decoder.decode(row, 0, row.length)
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < rows; i++) decoder.decode(row, 0, row.length)
    const perRowBytes = (process.memoryUsage().heapUsed - before) / rows
    assert.strictEqual(buffers.size, 1)
    assert.isBelow(perRowBytes, 100)
  })

  it("limits the bytes of one transaction, not of the stream", () => {
    const row = encode.insert(t.oid, ["1", "x".repeat(100)])
    const begin = encode.begin(8n, 0n, 77)
    const commit = encode.commit(8n, 9n, 0n)
    const limit = { maxTransactionBytes: begin.length + 3 * row.length + commit.length }
    const fits = [begin, row, row, row, commit]
    decodeAll([encode.relation(t), ...fits, ...fits, ...fits], limit)
    let thrown: unknown
    try {
      decodeAll([encode.relation(t), begin, row, row, row, row, commit], limit)
    } catch (error) {
      thrown = error
    }
    assert.instanceOf(thrown, TransactionTooLarge)
    assert.strictEqual((thrown as TransactionTooLarge).xid, 77)
  })

  const malformed: ReadonlyArray<readonly [string, ReadonlyArray<Buffer>]> = [
    ["an empty message", [Buffer.alloc(0)]],
    ["an unknown type", [Buffer.from("S")]],
    ["a change outside a transaction", [encode.relation(t), encode.insert(t.oid, ["1", null])]],
    ["a commit without a begin", [encode.commit(8n, 9n, 0n)]],
    ["a begin inside a transaction", [...opened, encode.begin(9n, 0n, 2)]],
    ["a commit of another position", [...opened, encode.commit(7n, 9n, 0n)]],
    ["a table that was not described", [...opened, encode.insert(1, ["1", null])]],
    ["a row with too few columns", [...opened, encode.insert(t.oid, ["1"])]],
    ["a row with too many columns", [...opened, encode.insert(t.oid, ["1", "2", "3"])]],
    [
      "bytes after the end",
      [...opened, Buffer.concat([encode.insert(t.oid, ["1", null]), Buffer.from([0])])]
    ],
    [
      "binary values",
      [...opened, Buffer.from(encode.insert(t.oid, ["1", null]).map((b) => (b === 0x74 ? 0x62 : b)))]
    ],
    [
      "a delete without a row",
      [...opened, Buffer.from(encode.delete(t.oid, "O", ["1", null]).map((b) => (b === 0x4f ? 0x4e : b)))]
    ]
  ]
  for (const [what, messages] of malformed) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decodeAll(messages), MalformedMessage)
    })
  }

  it("throws nothing but its own errors, whatever the bytes", () => {
    const types = "BCRIUDTOYM".split("").map((letter) => letter.charCodeAt(0))
    const bytes = fc
      .tuple(fc.option(fc.constantFrom(...types)), fc.uint8Array({ maxLength: 60 }))
      .map(([type, rest]) => Buffer.from(type === null ? rest : [type, ...rest]))
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 6 }), fc.boolean(), (messages, inTransaction) => {
        try {
          decodeAll(inTransaction ? [...opened, ...messages] : messages, { maxTransactionBytes: 200 })
        } catch (error) {
          if (!(error instanceof MalformedMessage || error instanceof TransactionTooLarge)) throw error
        }
      }),
      { numRuns: 3_000 }
    )
  })

  it("throws nothing but its own errors when a valid message is cut or damaged", () => {
    const whole = [
      encode.relation(t),
      encode.insert(t.oid, ["1", "é"]),
      encode.update(t.oid, { kind: "O", row: ["1", "a"] }, ["1", { unchanged: true }]),
      encode.delete(t.oid, "K", ["1", null]),
      encode.truncate([t.oid]),
      encode.commit(8n, 9n, 0n)
    ]
    for (const message of whole) {
      for (let cut = 0; cut < message.length; cut++) {
        assert.throws(() => decodeAll([...opened, message.subarray(0, cut)]), MalformedMessage)
        for (const flip of [0x01, 0x80, 0xff]) {
          const damaged = Buffer.from(message)
          damaged[cut]! ^= flip
          try {
            decodeAll([...opened, damaged])
          } catch (error) {
            assert.instanceOf(error, MalformedMessage)
          }
        }
      }
    }
  })
})
