import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { defaultSnapshotLimits, makeSnapshotter } from "../../src/registry/snapshot/Snapshotter.ts"
import { defaultSharingLimits, type SharingLimits } from "../../src/registry/snapshot/SharedTransactions.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { Collected, definitionOf, sessionsOf } from "./snapshot-support.ts"
import { systemTimers } from "../../src/shared/Timers.ts"

const db = databaseForFile((database) =>
  database.query(`
    CREATE TABLE items (id int PRIMARY KEY);
    INSERT INTO items SELECT generate_series(0, 99);
    CREATE TABLE others (id int PRIMARY KEY);
    INSERT INTO others VALUES (1)
  `)
)

const snapshotterOf = (size: number, sharing: SharingLimits = defaultSharingLimits) =>
  Effect.map(sessionsOf(db(), { size }), (sessions) =>
    makeSnapshotter(sessions, 10_485_760, systemTimers, defaultSnapshotLimits, sharing)
  )

const define = (table: string, whereSql: string) =>
  Effect.promise(() => definitionOf(db(), table, { whereSql }))

const idsOf = (collected: Collected) => collected.rows().map(({ value }) => value["id"])

describe("snapshots that are taken at once", () => {
  it.live("share transactions, and each holds its rows", () =>
    Effect.gen(function* () {
      // How long somebody waits for another's transaction decides about nothing here, however busy the machine is.
      const { run } = yield* snapshotterOf(2, { patienceMillis: 3_600_000, oldestMillis: 3_600_000 })
      const all = Array.from({ length: 40 }, () => new Collected())
      const definitions = yield* Effect.all(
        all.map((_, i) => define(i % 8 === 7 ? "others" : "items", `id = ${i}`))
      )
      yield* Effect.all(
        all.map((collected, i) => run(collected.request(definitions[i] ?? assert.fail("no definition")))),
        { concurrency: "unbounded" }
      )
      all.forEach((collected, i) => {
        assert.isTrue(collected.ended)
        assert.deepStrictEqual(idsOf(collected), i % 8 === 7 ? [] : [String(i)])
      })
      const taken = new Set(all.map((collected) => collected.snapshots[0]))
      // For each table one for the first that asks, and one for all that asked before that was over.
      assert.isAtMost(taken.size, 4)
    })
  )

  it.live("are never older than the request for them", () =>
    Effect.gen(function* () {
      const { run } = yield* snapshotterOf(2)
      const definition = yield* define("items", "id >= 1000")
      // A client that sees its own writes, among others that keep transactions going.
      const busy = yield* Effect.forkChild(
        Effect.forever(run(new Collected().request(yield* define("items", "id = 1"))))
      )
      for (let i = 1000; i < 1030; i++) {
        yield* Effect.promise(() => db().query("INSERT INTO items VALUES ($1)", [i]))
        const collected = new Collected()
        yield* run(collected.request(definition))
        assert.include(idsOf(collected), String(i))
      }
      yield* Fiber.interrupt(busy)
    })
  )

  it.live("do not suffer from one that fails, or that is given up", () =>
    Effect.gen(function* () {
      const { run } = yield* snapshotterOf(2)
      const requests = yield* Effect.all(
        Array.from({ length: 30 }, (_, i) =>
          define(
            "items",
            i % 5 === 0 ? `10 / (id - ${i}) > 0` : i % 5 === 1 ? "pg_sleep(60) IS NULL" : `id = ${i}`
          )
        )
      )
      const all = requests.map(() => new Collected())
      const fibers = yield* Effect.all(
        requests.map((definition, i) =>
          Effect.forkChild(run((all[i] ?? new Collected()).request(definition)))
        )
      )
      yield* Effect.forEach(fibers, (fiber, i) => (i % 5 === 1 ? Fiber.interrupt(fiber) : Effect.void))
      const exits = yield* Effect.all(fibers.map(Fiber.await))
      exits.forEach((exit, i) => {
        if (i % 5 > 1) assert.deepStrictEqual(idsOf(all[i] ?? new Collected()), [String(i)])
        else assert.isTrue(Exit.isFailure(exit))
      })
    })
  )

  it.live("do not wait for one that takes long while there is another session", () =>
    Effect.gen(function* () {
      const { run } = yield* snapshotterOf(2)
      const definition = yield* define("items", "id = 5")
      const goOn = yield* Deferred.make<void>()
      const slow = new Collected()
      const request = slow.request(definition)
      const held = yield* Effect.forkChild(
        run({
          ...request,
          sink: {
            ...request.sink,
            write: (bytes) => Effect.andThen(Deferred.await(goOn), request.sink.write(bytes))
          }
        })
      )
      for (let i = 0; i < 5; i++) {
        const collected = new Collected()
        yield* run(collected.request(definition))
        assert.deepStrictEqual(idsOf(collected), ["5"])
      }
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(held)
      assert.deepStrictEqual(idsOf(slow), ["5"])
    })
  )
})
