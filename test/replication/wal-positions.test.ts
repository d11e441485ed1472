import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as path from "node:path"
import { formatLsn, journalLsn, serverLsn } from "../../src/shared/Lsn.ts"
import { dropSlot, ensureSlot } from "../../src/replication/connection/Slot.ts"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { scopedDatabase } from "../../testing/postgres/Database.ts"
import { moveWalPosition } from "../../testing/postgres/WalPosition.ts"
import { recordingSink } from "./recording-sink.ts"
import { adminOf, connectTo, until } from "./support.ts"
import { patient } from "../../testing/Load.ts"

const ownCluster = (settings: Readonly<Record<string, string>> = {}) =>
  Effect.acquireRelease(
    Effect.promise(() => startCluster({ settings: { fsync: "off", full_page_writes: "off", ...settings } })),
    (cluster) => Effect.promise(() => cluster.destroy())
  )

/** Lock, slot, stream, acknowledgement, and a reconnect that repeats nothing. */
const replicates = (cluster: Cluster) =>
  Effect.gen(function* () {
    const db = yield* scopedDatabase(cluster)
    const { slotName, publicationName } = db
    const admin = yield* adminOf(db)
    yield* Effect.promise(() =>
      db.query(`CREATE TABLE t (id int); CREATE PUBLICATION ${publicationName} FOR TABLE t`)
    )
    let confirmed = 0n
    for (const round of [1, 2]) {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* connectTo(db)
          const slot = yield* ensureSlot(connection, { slotName, temporary: false, admin })
          assert.strictEqual(slot.created, round === 1)
          assert.isTrue(journalLsn(slot.confirmedFlushLsn, 0n) >= confirmed)
          const started = yield* Deferred.make<void>()
          const { sink, events } = recordingSink({ durable: () => confirmed })
          yield* Effect.forkScoped(
            connection.stream({
              admin,
              slotName,
              publicationName,
              sink,
              shift: 0n,
              maxTransactionBytes: 1_000_000,
              onStarted: Effect.asVoid(Deferred.succeed(started, undefined))
            })
          )
          yield* Deferred.await(started)
          yield* Effect.promise(() => db.query(`INSERT INTO t VALUES (${round})`))
          const end = yield* until("commit", () => events.find((event) => event.call === "commit")?.lsn)
          const begin = events.find((event) => event.call === "begin")?.lsn ?? 0n
          assert.isTrue(begin > journalLsn(slot.confirmedFlushLsn, 0n) && end > begin)
          assert.deepStrictEqual(
            events.flatMap((event) => (event.call === "insert" ? [event.row] : [])),
            [[String(round)]]
          )
          confirmed = end
          connection.notifyDurable()
          yield* until("confirmed", async () => {
            const [row] = await db.queryText(
              `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${slotName}'`
            )
            return row?.["lsn"] === formatLsn(serverLsn(end, 0n))
          })
        })
      )
    }
    return confirmed
  }).pipe(Effect.scoped)

describe("replication", () => {
  it.live(
    "works at every position of the WAL",
    () =>
      Effect.gen(function* () {
        const cluster = yield* ownCluster()
        for (const start of [2n ** 63n - 2n ** 24n, 2n ** 64n - 2n ** 28n]) {
          yield* Effect.promise(() => cluster.stop())
          moveWalPosition(path.join(cluster.directory, "data"), start)
          yield* Effect.promise(() => cluster.start())
          const confirmed = yield* replicates(cluster)
          assert.isTrue(confirmed > start && confirmed < start + 2n ** 25n, confirmed.toString(16))
        }
      }),
    patient(60_000)
  )

  it.live(
    "ends when Postgres gives the slot up, begins again with a new one, and lets Postgres shut down",
    () =>
      Effect.gen(function* () {
        const cluster = yield* ownCluster({
          max_slot_wal_keep_size: "1MB",
          max_wal_size: "32MB",
          min_wal_size: "32MB"
        })
        const db = yield* scopedDatabase(cluster)
        const admin = yield* adminOf(db)
        const options = { slotName: db.slotName, temporary: false, admin }
        yield* Effect.promise(() =>
          db.query(`CREATE TABLE t (id int); CREATE PUBLICATION ${db.publicationName}`)
        )
        const connection = yield* connectTo(db)
        yield* ensureSlot(connection, options)
        const streaming = yield* Effect.forkChild(
          connection.stream({
            admin,
            slotName: db.slotName,
            publicationName: db.publicationName,
            sink: recordingSink({}).sink,
            shift: 0n,
            maxTransactionBytes: 1_000_000,
            onStarted: Effect.void
          })
        )
        yield* until("slot is lost", async () => {
          await db.query("INSERT INTO t VALUES (1)")
          await db.query("SELECT pg_switch_wal()")
          await db.query("CHECKPOINT")
          const [row] = await db.queryText(
            `SELECT wal_status AS status FROM pg_replication_slots WHERE slot_name = '${db.slotName}'`
          )
          return row?.["status"] === "lost"
        })
        yield* Effect.flip(Fiber.join(streaming))
        const next = yield* connectTo(db)
        const lost = yield* Effect.flip(ensureSlot(next, options))
        assert.strictEqual(lost.kind, "database_slot_exceeded_max_size")
        assert.strictEqual(lost.recovery, "recreateSlot")
        yield* dropSlot(next.query, db.slotName)
        assert.isTrue((yield* ensureSlot(next, options)).created)

        // An orderly shutdown of Postgres waits until its last position is acknowledged.
        let durable = 0n
        const started = yield* Deferred.make<void>()
        const { sink } = recordingSink({
          durable: () => durable,
          answer: (event) => {
            if (event.call === "keepalive") durable = event.lsn
            return undefined
          }
        })
        const again = yield* Effect.forkChild(
          next.stream({
            admin,
            slotName: db.slotName,
            publicationName: db.publicationName,
            sink,
            shift: 0n,
            maxTransactionBytes: 1_000_000,
            onStarted: Effect.asVoid(Deferred.succeed(started, undefined))
          })
        )
        yield* Deferred.await(started)
        const from = performance.now()
        yield* Effect.promise(() => cluster.stop("fast"))
        assert.isBelow(performance.now() - from, patient(5_000))
        assert.isTrue((yield* Effect.flip(Fiber.join(again))).unreachable)
        yield* Effect.promise(() => cluster.start())
      }),
    patient(60_000)
  )
})
