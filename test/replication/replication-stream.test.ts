import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import { journalLsn, parseLsn, zeroServerLsn } from "../../src/shared/Lsn.ts"
import type { StreamOptions } from "../../src/replication/stream/RunStream.ts"
import { ensureSlot } from "../../src/replication/connection/Slot.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import type { recordingSink, SinkEvent } from "./recording-sink.ts"
import { commits, kindOf, rowsOf, setUpTables, streamsOn } from "./streams.ts"
import { adminOf, connectTo, until } from "./support.ts"
import { patient } from "../../testing/Load.ts"

const database = databaseForFile(setUpTables)
const { sql, freshSlot, confirmedFlush, untilConfirmed, streamFrom } = streamsOn(database)

const atInsert = (react: () => never) => ({
  answer: (event: SinkEvent) => (event.call === "insert" ? react() : undefined)
})

describe("replication stream", () => {
  it.live("makes a slot, finds it again, and streams from it", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const admin = yield* adminOf(database())
      const { slotName } = database()
      const connection = yield* connectTo(database())
      const found = yield* ensureSlot(connection, { slotName, temporary: false, admin })
      assert.isFalse(found.created)
      assert.strictEqual(journalLsn(found.confirmedFlushLsn, 0n), yield* confirmedFlush)
      const { events } = yield* streamFrom(connection)
      yield* sql("INSERT INTO t VALUES (500, 'x')")
      yield* until("commit", () => commits(events).length === 1)
    })
  )

  it.live("hands changes over row by row, with unchanged TOAST values filled in", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const connection = yield* connectTo(database())
      const { events } = yield* streamFrom(connection)
      const long = Array.from({ length: 3000 }, (_, i) => String(i * 7919)).join(" ")
      yield* sql(`INSERT INTO t VALUES (1, '${long}')`)
      yield* sql("UPDATE t SET id = 2 WHERE id = 1")
      yield* sql("DELETE FROM t; INSERT INTO loose VALUES (1, 'a'); UPDATE loose SET note = 'b'")
      yield* sql("UPDATE loose SET id = 5; DELETE FROM loose; TRUNCATE t, loose")
      yield* until("four commits", () => commits(events).length === 4)
      // A table may be described more than once; as long as nothing changed it is the same object.
      const [t, loose] = ["t", "loose"].map((name) =>
        events
          .flatMap((event) => ("relation" in event ? [event.relation] : []))
          .find((one) => one.name === name)
      )
      assert.deepStrictEqual(
        [t?.name, t?.replicaIdentity, loose?.name, loose?.replicaIdentity],
        ["t", "f", "loose", "d"]
      )
      const changes = events.filter((event) =>
        ["insert", "update", "delete", "truncate"].includes(event.call)
      )
      assert.deepStrictEqual(changes, [
        { call: "insert", relation: t, row: ["1", long] },
        { call: "update", relation: t, old: ["1", long], row: ["2", long] },
        { call: "delete", relation: t, row: ["2", long], complete: true },
        { call: "insert", relation: loose, row: ["1", "a"] },
        { call: "update", relation: loose, old: undefined, row: ["1", "b"] },
        { call: "update", relation: loose, old: undefined, row: ["5", "b"] },
        { call: "delete", relation: loose, row: ["5", null], complete: false },
        { call: "truncate", relations: [t, loose] }
      ] as ReadonlyArray<unknown>)
    })
  )

  it.live("hands over values that are larger than any buffer", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const connection = yield* connectTo(database())
      const { events } = yield* streamFrom(connection)
      yield* sql("INSERT INTO t VALUES (200, repeat('0123456789', 500000)), (201, 'after')")
      yield* until("commit", () => commits(events).length === 1)
      const lengths = events.flatMap((event) =>
        event.call === "insert" ? [String(event.row[1]).length] : []
      )
      assert.deepStrictEqual(lengths, [5_000_000, 5])
    })
  )

  it.live.each([0n, 1n << 40n])(
    "acknowledges what is durable, exactly, and nothing else: shifted by %s",
    (shift) =>
      Effect.gen(function* () {
        yield* freshSlot
        const before = yield* confirmedFlush
        let durable = 0n
        const connection = yield* connectTo(database(), { walSenderTimeoutMillis: 600 })
        const { events } = yield* streamFrom(connection, { durable: () => durable }, { shift })
        yield* sql("INSERT INTO t VALUES (10, 'a')")
        yield* sql("INSERT INTO t VALUES (11, 'b')")
        yield* until("two commits", () => commits(events).length === 2)
        // Several periodic updates later Postgres still knows nothing.
        yield* until(
          "keepalives answer the status updates",
          () => events.filter((e) => e.call === "keepalive").length > 4
        )
        assert.strictEqual(yield* confirmedFlush, before)
        const [first = 0n, second = 0n] = commits(events)
        assert.isTrue(first > shift)
        durable = first
        connection.notifyDurable()
        yield* untilConfirmed(first - shift, "first commit confirmed")
        assert.strictEqual(yield* confirmedFlush, first - shift)
        durable = second
        connection.notifyDurable()
        yield* untilConfirmed(second - shift, "second commit confirmed")
        assert.strictEqual(yield* confirmedFlush, second - shift)
      })
  )

  it.live.each([0n, 1n << 40n])(
    "begins behind what was acknowledged where it is told to, and nowhere before: shifted by %s",
    (shift) =>
      Effect.gen(function* () {
        yield* freshSlot
        const before = yield* confirmedFlush
        const firstEnd = yield* Effect.scoped(
          Effect.gen(function* () {
            const { events } = yield* streamFrom(yield* connectTo(database()), {}, { shift })
            yield* sql("INSERT INTO t VALUES (30, 'a')")
            yield* sql("INSERT INTO t VALUES (31, 'b')")
            yield* until("two commits", () => commits(events).length === 2)
            return commits(events)[0] ?? 0n
          })
        )
        for (const [fromLsn, rows] of [
          [firstEnd, ["31"]],
          [before + shift - 1n, ["30", "31"]]
        ] as const)
          yield* Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* connectTo(database())
              const { events } = yield* streamFrom(connection, {}, { fromLsn, shift })
              yield* until("the last row", () => rowsOf(events).includes("31"))
              assert.deepStrictEqual(rowsOf(events), [...rows])
              assert.strictEqual(yield* confirmedFlush, before)
            })
          )
      })
  )

  it.live("loses no transaction that begins where the acknowledged one ends", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const [a, b] = yield* Effect.promise(() => Promise.all([database().connect(), database().connect()]))
      yield* Effect.promise(async () => {
        await a.query("BEGIN; INSERT INTO t VALUES (20, 'a')")
        await b.query("BEGIN; INSERT INTO t VALUES (21, 'b')")
      })
      let durable = 0n
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* connectTo(database())
          const { events } = yield* streamFrom(connection, { durable: () => durable })
          yield* Effect.promise(() => a.query("COMMIT"))
          durable = yield* until("A arrives", () => commits(events)[0])
          connection.notifyDurable()
          yield* untilConfirmed(durable, "A confirmed")
        })
      )
      yield* Effect.promise(() => b.query("COMMIT"))
      const connection = yield* connectTo(database())
      const { events } = yield* streamFrom(connection)
      yield* until("B arrives", () => commits(events).length > 0)
      assert.deepStrictEqual(rowsOf(events), ["21"])
      yield* Effect.promise(() => Promise.all([a.end(), b.end()]))
    })
  )

  it.live(
    "follows keepalives, so that a database without published changes does not retain WAL",
    () =>
      Effect.gen(function* () {
        yield* freshSlot
        let durable = 0n
        const connection = yield* connectTo(database())
        yield* streamFrom(connection, {
          durable: () => durable,
          answer: (event) => {
            if (event.call === "keepalive" && event.lsn > durable) durable = event.lsn
            return undefined
          }
        })
        yield* sql("INSERT INTO unpublished SELECT generate_series(1, 1000)")
        const [row] = yield* Effect.promise(() => database().queryText("SELECT pg_current_wal_lsn() AS lsn"))
        const written = journalLsn(parseLsn(row?.["lsn"] ?? "") ?? zeroServerLsn, 0n)
        // Postgres sends a keepalive when it is asked by a status update at the latest.
        yield* untilConfirmed(written, "unpublished changes confirmed")
      }),
    patient(20_000)
  )

  interface Broken {
    readonly sink: string
    readonly options?: () => Parameters<typeof recordingSink>[0]
    readonly stream?: Partial<StreamOptions>
    readonly kind: PgError["kind"]
    readonly text: string
  }

  const broken: ReadonlyArray<Broken> = [
    {
      sink: "throws",
      options: () =>
        atInsert(() => {
          throw new TypeError("no such thing")
        }),
      kind: "unknown",
      text: "no such thing"
    },
    {
      sink: "fails in an Effect",
      options: () => ({
        answer: (event) => (event.call === "commit" ? Effect.die(new Error("disk is gone")) : undefined)
      }),
      kind: "unknown",
      text: "disk is gone"
    },
    {
      sink: "says what kind of failure it is",
      options: () =>
        atInsert(() => {
          throw ownPgError("replica_not_full", "not full")
        }),
      kind: "replica_not_full",
      text: "not full"
    },
    {
      sink: "cannot say what is durable any more",
      options: () => {
        let closed = false
        return {
          answer: (event) => {
            if (event.call === "commit") closed = true
            return undefined
          },
          durable: () => {
            if (closed) throw new Error("journal closed")
            return 0n
          }
        }
      },
      kind: "unknown",
      text: "journal closed"
    },
    {
      sink: "would get a transaction beyond the limit",
      stream: { maxTransactionBytes: 5_000 },
      kind: "exceeded_max_tx_size",
      text: "5000 bytes"
    },
    {
      sink: "would get a single row beyond the limit",
      stream: { maxTransactionBytes: 100 },
      kind: "exceeded_max_tx_size",
      text: "100 bytes"
    }
  ]

  for (const { sink, options, stream, kind, text } of broken) {
    it.live(`ends with an error, and calls nothing more, when the sink ${sink}`, () =>
      Effect.gen(function* () {
        yield* freshSlot
        const connection = yield* connectTo(database())
        const { events, fiber } = yield* streamFrom(connection, options?.(), stream)
        yield* sql("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(600, 700) i")
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(error.kind, kind)
        assert.include(error.message, text)
        const seen = events.length
        yield* sql("DELETE FROM t")
        yield* connection.close
        assert.strictEqual(events.length, seen)
      })
    )
  }

  it.live("fails to stream, with the reason, from a slot that is not there or in use", () =>
    Effect.gen(function* () {
      const first = yield* connectTo(database())
      const missing = yield* Effect.exit(streamFrom(first, {}, { slotName: "not_there" }))
      assert.strictEqual(kindOf(missing), "undefined_object")
      yield* freshSlot
      const second = yield* connectTo(database())
      yield* streamFrom(second)
      const third = yield* connectTo(database())
      assert.strictEqual(kindOf(yield* Effect.exit(streamFrom(third))), "replication_slot_in_use")
    })
  )

  it.live("ends with an error when Postgres terminates the walsender", () =>
    Effect.gen(function* () {
      yield* freshSlot
      const connection = yield* connectTo(database())
      const { fiber } = yield* streamFrom(connection)
      yield* sql(`SELECT pg_terminate_backend(${connection.backendPid})`)
      assert.isTrue((yield* Effect.flip(Fiber.join(fiber))).unreachable)
    })
  )
})
