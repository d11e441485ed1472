import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric } from "effect"
import { TestClock } from "effect/testing"
import { Heartbeat } from "../../../src/instance/silence/Heartbeat.ts"
import { lookAtStream } from "../../../src/instance/silence/LookAtStream.ts"
import type { SilenceCause } from "../../../src/instance/silence/SilenceTexts.ts"
import type { Queryable } from "../../../src/postgres/connection/SessionPool.ts"
import { lsnNumber, parseLsn, zeroServerLsn } from "../../../src/shared/Lsn.ts"
import { currentTimers } from "../../../src/shared/Timers.ts"
import { StreamStatus } from "../../../src/telemetry/stream/StreamStatus.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { databaseForFile } from "../../../testing/postgres/Database.ts"
import { connectTo } from "../../../testing/postgres/RowText.ts"

const db = databaseForFile()

const run = <A>(work: () => Promise<A>) => Effect.promise(work)

/** A walsender that streams from the slot; it ends with the scope. */
const streaming = (slotName: string) =>
  Effect.acquireRelease(
    run(async () => {
      await db().query(`DROP PUBLICATION IF EXISTS p_${slotName}; CREATE PUBLICATION p_${slotName}`)
      const url = new URL(db().url)
      url.searchParams.set("replication", "database")
      const client = await connectTo(url.href)
      // Goes on until the connection ends.
      client
        .query(
          `START_REPLICATION SLOT ${slotName} LOGICAL 0/0 (proto_version '1', publication_names 'p_${slotName}')`
        )
        .catch(() => {})
      const pid = await eventually("a slot that is in use", async () => {
        const [row] = await db().query<{ pid: number | null }>(
          "SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1",
          [slotName]
        )
        return row?.pid ?? undefined
      })
      return { client, pid }
    }),
    ({ client }) => run(() => client.end().catch(() => {}))
  )

const slot = (name: string) =>
  Effect.acquireRelease(
    run(() => db().query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name])),
    () =>
      run(() =>
        eventually("the slot to be gone", async () => {
          await db().query(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active",
            [name]
          )
          return (
            (await db().query("SELECT FROM pg_replication_slots WHERE slot_name = $1", [name])).length === 0
          )
        })
      )
  )

/** A heartbeat into Postgres, of an instance that takes `backendPid` for its walsender, and for which nothing comes round. */
const beating = (slotName: string, backendPid: number) =>
  Effect.gen(function* () {
    const timers = yield* currentTimers
    const status = new StreamStatus()
    let asking = 0
    const admin: Queryable = {
      query: <Row extends object>(sql: string, values: ReadonlyArray<unknown> = []) =>
        Effect.suspend(() => {
          asking++
          return run(() => db().query<Row>(sql, values))
        }).pipe(Effect.ensuring(Effect.sync(() => asking--)))
    }
    const heartbeat = new Heartbeat({
      everyMillis: 5000,
      slotName,
      admin,
      timers,
      status,
      lag: { clockAheadMillis: 0 },
      hearing: () => ({ silentMillis: 0, heldMillis: 0, dataBytes: 0 }),
      written: () => {},
      askForPosition: () => {},
      isWriteFailing: () => false,
      shift: () => 0n,
      look: lookAtStream(admin, slotName, backendPid)
    })
    yield* Effect.acquireRelease(Effect.forkChild(heartbeat.run, { startImmediately: true }), Fiber.interrupt)
    /** Time passes while Postgres is not being asked. */
    const untilCause = Effect.fnUntraced(function* (cause: SilenceCause) {
      for (let steps = 0; status.report?.cause !== cause; steps++) {
        assert.isBelow(steps, 20_000, `${cause} in vain: ${JSON.stringify(status.report)}`)
        if (asking === 0) yield* TestClock.adjust("500 millis")
        yield* run(() => sleep(2))
      }
    })
    return { status, untilCause }
  })

const inOwnRegistry = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.provideService(Effect.scoped(work), Metric.MetricRegistry, new Map())

describe("why a heartbeat does not come round, as Postgres says", () => {
  it.effect("nobody streams from the slot, another backend does, and then it is gone", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const name = `s_${db().name}`
        const { status, untilCause } = yield* beating(name, 1)
        yield* untilCause("slotMissing")
        assert.strictEqual(status.report?.state, "silent")
        assert.match(status.report?.message ?? "", new RegExp(`The replication slot ${name} is gone`))
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* slot(name)
            yield* untilCause("slotInactive")
            const { pid } = yield* streaming(name)
            yield* untilCause("slotTaken")
            assert.match(status.report?.message ?? "", new RegExp(`Backend ${pid} streams`))
          })
        )
        yield* untilCause("slotMissing")
      })
    )
  )

  it.effect("none of it where the database is read-only: it comes round all the same", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const name = `r_${db().name}`
        yield* slot(name)
        const { pid } = yield* streaming(name)
        yield* Effect.acquireRelease(
          run(() => db().query(`ALTER DATABASE ${db().name} SET default_transaction_read_only = on`)),
          () => run(() => db().query(`ALTER DATABASE ${db().name} RESET default_transaction_read_only`))
        )
        // Sessions have it from their beginning on.
        const session = yield* run(() => db().connect())
        const query = async <Row extends object>(sql: string, values: ReadonlyArray<unknown> = []) =>
          (await session.query<Row>(sql, [...values])).rows
        const look = lookAtStream(
          {
            query: <Row extends object>(...asked: Parameters<typeof query>) => run(() => query<Row>(...asked))
          },
          name,
          pid
        )
        const seen = yield* look
        assert.isTrue(seen.isReadOnly)
        assert.strictEqual(seen.slot?.activePid, pid)
        const [row] = yield* run(() =>
          query<{ lsn: string }>("SELECT pg_logical_emit_message(false, 'baton', '')::text AS lsn")
        )
        const lsn = lsnNumber(parseLsn(row?.lsn ?? "") ?? zeroServerLsn)
        yield* run(() =>
          eventually("the walsender to have sent it", async () => {
            const { sender } = await Effect.runPromise(look)
            return lsnNumber(sender?.sentLsn ?? zeroServerLsn) >= lsn
          })
        )
      })
    )
  )
})
