import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Result } from "effect"
import { Config } from "../../src/config/BatonConfig.ts"
import { parseConfig } from "../../src/config/ParseConfig.ts"
import { LockService } from "../../src/lock/LockService.ts"
import { AdminPool } from "../../src/postgres/connection/Pools.ts"
import { ReplicationStream } from "../../src/replication/ReplicationStream.ts"
import { scopedDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { recordingSink } from "./recording-sink.ts"
import { commits, rowsOf } from "./streams.ts"
import { until } from "./support.ts"

/** The services of one instance, configured from the environment as in production. */
const instance = (db: TestDatabase, env: Readonly<Record<string, string>> = {}) => {
  const parsed = parseConfig({
    DATABASE_URL: db.url,
    ELECTRIC_INSECURE: "true",
    ELECTRIC_REPLICATION_STREAM_ID: db.streamId,
    ...env
  })
  if (Result.isFailure(parsed)) throw parsed.failure
  if (parsed.success._tag !== "Complete") throw new Error("DATABASE_URL is set")
  const config = Layer.succeed(Config, parsed.success.config)
  return Layer.mergeAll(LockService.layer, ReplicationStream.layer).pipe(
    Layer.provide(AdminPool.layer),
    Layer.provide(config)
  )
}

/** One round of an instance: connect, lock, slot, stream. */
const round = Effect.gen(function* () {
  const replication = yield* ReplicationStream
  const locks = yield* LockService
  const connection = yield* replication.connect
  const streaming = yield* Deferred.make<boolean>()
  let durable = 0n
  const { sink, events } = recordingSink({
    durable: () => durable,
    answer: (event) => {
      if (event.call === "commit") durable = event.lsn
      return undefined
    }
  })
  const fiber = yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* locks.acquire(connection)
      const { created } = yield* replication.ensureSlot(connection)
      return yield* replication.stream(connection, {
        sink,
        shift: 0n,
        onStarted: Effect.asVoid(Deferred.succeed(streaming, created))
      })
    })
  )
  return { connection, events, fiber, streaming }
})

describe("lock and replication as services", () => {
  it.live("let two instances follow each other without losing or repeating a row", () =>
    Effect.gen(function* () {
      const db = yield* scopedDatabase()
      yield* Effect.promise(() =>
        db.query(`CREATE TABLE t (id int); CREATE PUBLICATION ${db.publicationName} FOR TABLE t`)
      )
      const insert = (id: number) => Effect.promise(() => db.query(`INSERT INTO t VALUES (${id})`))
      const first = yield* Effect.provide(round, yield* Layer.build(instance(db)))
      assert.isTrue(yield* Deferred.await(first.streaming))
      yield* insert(1)
      yield* until("first has it", () => commits(first.events).length === 1)
      const second = yield* Effect.provide(round, yield* Layer.build(instance(db)))
      yield* until("second waits", () =>
        db
          .query(`SELECT 1 FROM pg_locks WHERE pid = ${second.connection.backendPid} AND NOT granted`)
          .then((rows) => rows.length > 0)
      )
      yield* first.connection.close
      assert.isTrue((yield* Effect.flip(Fiber.join(first.fiber))).unreachable)
      yield* insert(2)
      assert.isFalse(yield* Deferred.await(second.streaming))
      yield* until("second has it", () => commits(second.events).length === 1)
      assert.deepStrictEqual([...rowsOf(first.events), ...rowsOf(second.events)], ["1", "2"])
    })
  )

  it.live("leave nothing behind with a temporary slot", () =>
    Effect.gen(function* () {
      const db = yield* scopedDatabase()
      yield* Effect.promise(() => db.query(`CREATE PUBLICATION ${db.publicationName}`))
      const services = yield* Layer.build(
        instance(db, {
          CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN: "true",
          ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME: "true"
        })
      )
      const slots = () =>
        db.query<{ slot_name: string }>("SELECT * FROM pg_replication_slots WHERE database = $1", [db.name])
      const one = yield* Effect.provide(round, services)
      const other = yield* Effect.provide(round, services)
      assert.isTrue(yield* Deferred.await(one.streaming))
      const [slot] = yield* Effect.promise(slots)
      assert.match(slot?.slot_name ?? "", /^electric_slot_[0-9a-f]{32}$/)
      yield* one.connection.close
      assert.isTrue(yield* Deferred.await(other.streaming), "the slot of the first one is gone")
      yield* other.connection.close
      yield* until("no slot is left", () => slots().then((rows) => rows.length === 0))
    })
  )
})
