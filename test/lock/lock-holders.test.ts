import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import type { Queryable } from "../../src/postgres/connection/SessionPool.ts"
import { connect } from "../../src/replication/stream/ReplicationConnection.ts"
import { adminOf, connectTo, plainConfig, proxyTo, targetOf, until } from "../replication/support.ts"
import { scopedDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { contestOn } from "./contest.ts"
import { patient } from "../../testing/Load.ts"

/** Breaker settings that make a test short. Patience with instances of ours is never below their `bound`. */
const quick = { tickMillis: 100, patienceMillis: { stuck: 100, baton: 2_100, foreign: 60_000 } }
const bound = { walSenderTimeoutMillis: 2_000 }

type Contest = ReturnType<typeof contestOn>

/** Each test has a database, and with it a lock, of its own: most of their time is waiting, so they run side by side. */
const contest = (
  name: string,
  body: (db: TestDatabase, contest: Contest) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  it.live(name, () =>
    Effect.flatMap(scopedDatabase(), (db) =>
      body(
        db,
        contestOn(() => db)
      )
    )
  )

describe.concurrent("the holder of the lock", () => {
  for (const [who, options] of [
    ["a walsender that did nothing since it took it", { replication: true, applicationName: "" }],
    ["a session that can never stream", { replication: false, applicationName: "psql" }],
    ["a frozen instance of ours", { replication: true, applicationName: "baton" }]
  ] as const) {
    contest(`is ended when it is ${who}, once there is a slot that nobody streams from`, (db, on) =>
      Effect.gen(function* () {
        yield* on.rawHolder(options)
        const waiter = yield* connectTo(db, bound)
        const waiting = yield* Effect.forkChild(on.lock(waiter, quick), { startImmediately: true })
        yield* on.isWaiting(waiter)
        const before = yield* on.holders
        yield* Effect.sleep(400)
        assert.deepStrictEqual(yield* on.holders, before, "there is no slot yet")
        yield* on.makeSlot
        yield* Fiber.join(waiting)
        assert.deepStrictEqual(yield* on.holders, [waiter.backendPid])
      })
    )
  }

  contest("is spared when it shows life between the look and the action", (db, on) =>
    Effect.gen(function* () {
      yield* on.makeSlot
      const holder = yield* on.rawHolder({ replication: false, applicationName: "psql" })
      const waiter = yield* connectTo(db, bound)
      const real = yield* adminOf(db)
      let attempts = 0
      const admin: Queryable = {
        query: <Row extends object>(sql: string, params?: ReadonlyArray<unknown>) => {
          if (!sql.includes("pg_terminate_backend")) return real.query<Row>(sql, params)
          attempts++
          return Effect.andThen(
            Effect.promise(() => holder.query("SELECT 1")),
            real.query<Row>(sql, params)
          )
        }
      }
      const before = yield* on.holders
      yield* Effect.forkChild(on.lock(waiter, { ...quick, admin }), { startImmediately: true })
      yield* until("three attempts", () => attempts >= 3)
      assert.deepStrictEqual(yield* on.holders, before)
    })
  )

  contest("keeps it when it is healthy, whether slow to begin streaming or streaming", (db, on) =>
    Effect.gen(function* () {
      yield* on.makeSlot
      const holder = yield* connectTo(db)
      yield* on.lock(holder)
      const waiter = yield* connectTo(db, bound)
      // On a busy machine it is silent for longer, although it is well.
      const baton = patient(quick.patienceMillis.baton)
      const options = { ...quick, patienceMillis: { ...quick.patienceMillis, baton } }
      const waiting = yield* Effect.forkChild(on.lock(waiter, options), { startImmediately: true })
      yield* on.isWaiting(waiter)
      // Longer than the patience with one of ours that is silent; this one is not.
      yield* Effect.sleep(baton + 1_400)
      assert.deepStrictEqual(yield* on.holders, [holder.backendPid])
      yield* on.streaming(holder)
      yield* Effect.sleep(500)
      assert.deepStrictEqual(yield* on.holders, [holder.backendPid])
      assert.isUndefined(waiting.pollUnsafe())
      yield* holder.close
      yield* Fiber.join(waiting)
    })
  )

  for (const streams of [true, false]) {
    contest(
      `loses it when it is cut off or frozen ${streams ? "while streaming" : "before it streams"}, within the bound`,
      (db, on) =>
        Effect.gen(function* () {
          yield* on.makeSlot
          const network = yield* proxyTo(db)
          const target = { ...targetOf(db), port: network.port }
          const holder = yield* connect({ target, config: { ...plainConfig, walSenderTimeoutMillis: 1_000 } })
          yield* on.lock(holder)
          if (streams) yield* on.streaming(holder)
          const waiter = yield* connectTo(db)
          // The breaker has no part in this: it never gets to a look. Postgres does it.
          const waiting = yield* Effect.forkChild(on.lock(waiter, { tickMillis: 60_000 }), {
            startImmediately: true
          })
          yield* on.isWaiting(waiter)
          const from = performance.now()
          network.freeze()
          yield* Fiber.join(waiting)
          assert.isBelow(performance.now() - from, patient(8_000))
        })
    )
  }
})
