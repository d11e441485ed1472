import { PassThrough } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { ownPgError } from "../../src/postgres/errors/PgError.ts"
import type { Queryable } from "../../src/postgres/connection/SessionPool.ts"
import { ensureSlot } from "../../src/replication/connection/Slot.ts"
import type { ReplicationSession } from "../../src/replication/connection/ReplicationSession.ts"
import { runStream } from "../../src/replication/stream/RunStream.ts"
import {
  busySlotMillis,
  lookTimeoutMillis,
  slotTickMillis
} from "../../src/replication/ReplicationTimings.ts"
import { recordingLogger } from "../storage/support.ts"
import { recordingSink } from "./recording-sink.ts"
import { serverLsn } from "../../src/shared/Lsn.ts"

/** A keepalive that asks for no answer, as Postgres sends it: CopyData with 'k', WAL position, time, flag. */
const keepalive = (): Buffer => {
  const frame = Buffer.alloc(1 + 4 + 18)
  frame.write("d", 0)
  frame.writeInt32BE(4 + 18, 1)
  frame.write("k", 5)
  return frame
}

/** A stream from a server that says what `say` makes it say, beside a database that answers as `looks` does. */
const streamFrom = (looks: Queryable["query"]) => {
  let receive: ((chunk: Buffer) => void) | undefined
  const session: ReplicationSession = {
    backendPid: 7,
    stream: new PassThrough(),
    tap: {
      attach: (listener: (chunk: Buffer) => void) => void (receive = listener)
    } as ReplicationSession["tap"],
    failure: () => undefined,
    onFailure: () => {},
    query: () => Effect.die("not asked here"),
    startReplication: () => {},
    destroy: () => {}
  }
  const stream = runStream(
    session,
    // A status update every second.
    3000,
    {
      slotName: "slot",
      publicationName: "publication",
      sink: recordingSink({}).sink,
      shift: 0n,
      onStarted: Effect.void,
      maxTransactionBytes: 1 << 20,
      admin: { query: looks }
    },
    () => {}
  )
  return { stream, say: () => receive?.(keepalive()) }
}

const there: Queryable["query"] = () => Effect.succeed([{ one: 1 } as never])
const gone: Queryable["query"] = () => Effect.succeed([])

describe("a stream from a silent server", () => {
  it.effect(
    "goes on while the server says anything within three status intervals, and is not looked after",
    () =>
      Effect.gen(function* () {
        let looks = 0
        const { stream, say } = streamFrom(() => Effect.sync(() => (looks++, [])))
        const fiber = yield* Effect.forkChild(stream, { startImmediately: true })
        for (let second = 0; second < 60; second++) {
          yield* TestClock.adjust(1000)
          if (second % 3 === 2) say()
        }
        assert.strictEqual(looks, 0)
        assert.isUndefined(fiber.pollUnsafe())
        yield* Fiber.interrupt(fiber)
      })
  )

  it.effect("ends after three of them when Postgres has no such walsender any more", () =>
    Effect.gen(function* () {
      const { stream } = streamFrom(gone)
      const fiber = yield* Effect.forkChild(Effect.flip(stream), { startImmediately: true })
      yield* TestClock.adjust(3000)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1000)
      const { kind, message } = yield* Fiber.join(fiber)
      assert.strictEqual(kind, "connection_timeout")
      assert.match(message, /silent for 4 s.*It is tried again/)
    })
  )

  it.effect(
    "waits for one that is there, however long it skips what nobody reads, and ends when it is gone",
    () =>
      Effect.gen(function* () {
        let answer = there
        const { stream } = streamFrom((...asked) => answer(...asked))
        const fiber = yield* Effect.forkChild(Effect.flip(stream), { startImmediately: true })
        yield* TestClock.adjust(600_000)
        assert.isUndefined(fiber.pollUnsafe())
        answer = () => Effect.fail(ownPgError("connection_refused", "made up"))
        yield* TestClock.adjust(1000)
        assert.strictEqual((yield* Fiber.join(fiber)).kind, "connection_timeout")
      })
  )

  it.effect("takes no answer within five seconds for none, but not when the server speaks meanwhile", () =>
    Effect.gen(function* () {
      const { stream, say } = streamFrom(() => Effect.never)
      const fiber = yield* Effect.forkChild(Effect.flip(stream), { startImmediately: true })
      yield* TestClock.adjust(4000 + lookTimeoutMillis - 1)
      say()
      yield* TestClock.adjust(1)
      assert.isUndefined(fiber.pollUnsafe())
      // It was heard of a moment before the look was over, so the next one begins after three seconds.
      yield* TestClock.adjust(3000 + lookTimeoutMillis - 1)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Fiber.join(fiber)).kind, "connection_timeout")
    })
  )
})

/** The slot as `pg_replication_slots` has it. */
const slot = (activePid: number | null) => [
  {
    slot: JSON.stringify({
      plugin: "pgoutput",
      temporary: false,
      ours: true,
      database: "app",
      active_pid: activePid,
      confirmed_flush_lsn: "0/10",
      restart_lsn: "0/8",
      wal_status: "reserved",
      invalidation_reason: null
    })
  }
]

const others = { serverVersion: 180_000, queryExporting: () => Effect.die("exports nothing here") }

const ensured = (activePid: () => number | null) =>
  ensureSlot(
    { ...others, query: () => Effect.sync(() => slot(activePid())) },
    { slotName: "slot", temporary: false, admin: { query: () => Effect.die("not asked here") } }
  )

describe("a slot that is in use", () => {
  it.effect("is waited for, and had as soon as it is free", () =>
    Effect.gen(function* () {
      let activePid: number | null = 42
      const fiber = yield* Effect.forkChild(
        ensured(() => activePid),
        { startImmediately: true }
      )
      yield* TestClock.adjust(busySlotMillis - 10)
      assert.isUndefined(fiber.pollUnsafe())
      activePid = null
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* Fiber.join(fiber), {
        created: false,
        confirmedFlushLsn: serverLsn(16n, 0n),
        walLsn: serverLsn(16n, 0n)
      })
    })
  )

  it.effect("is given up after five seconds, with what to look for", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.flip(ensured(() => 42)), { startImmediately: true })
      yield* TestClock.adjust(busySlotMillis)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(10)
      const { kind, message } = yield* Fiber.join(fiber)
      assert.strictEqual(kind, "replication_slot_in_use")
      assert.match(message, /slot slot.*pg_replication_slots/)
    })
  )
})

describe("the creation of a slot that waits for open transactions", () => {
  it.effect("is spoken of every ten seconds, and helped for as long as the role may", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      let helped = 0
      const fiber = yield* Effect.forkChild(
        ensureSlot(
          {
            ...others,
            query: (sql) =>
              sql.includes("pg_create_logical_replication_slot") ? Effect.never : Effect.succeed([])
          },
          {
            slotName: "slot",
            temporary: false,
            admin: {
              query: () =>
                Effect.suspend(() =>
                  ++helped === 2
                    ? Effect.fail(ownPgError("permission_denied", "made up"))
                    : Effect.succeed([])
                )
            }
          }
        ).pipe(Effect.provide(recordingLogger(said))),
        { startImmediately: true }
      )
      yield* TestClock.adjust(slotTickMillis - 1)
      assert.deepStrictEqual(said, [])
      yield* TestClock.adjust(4 * slotTickMillis)
      assert.strictEqual(helped, 2, "not again after it was refused")
      assert.strictEqual(said.filter((line) => line.includes("waits for transactions")).length, 4)
      assert.strictEqual(said.filter((line) => line.includes("GRANT EXECUTE")).length, 1)
      yield* Fiber.interrupt(fiber)
    })
  )
})
