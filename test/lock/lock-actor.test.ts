import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HealthRef } from "../../src/health/HealthRef.ts"
import type { HealthEvent } from "../../src/health/HealthState.ts"
import { LockActor } from "../../src/lock/LockActor.ts"
import { LockService } from "../../src/lock/LockService.ts"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import { recordingLogger } from "../storage/support.ts"

const connectionOf = (backendPid: number) => {
  const end = Deferred.makeUnsafe<never, PgError>()
  let closed = 0
  return {
    backendPid,
    walSenderTimeoutMillis: 60_000,
    query: () => Effect.succeed([]),
    closed: Deferred.await(end),
    close: Effect.sync(() => void (closed++, Deferred.doneUnsafe(end, Effect.fail(gone)))),
    timesClosed: () => closed,
    end: (error: PgError) => Deferred.doneUnsafe(end, Effect.fail(error))
  }
}

const gone = ownPgError("connection_closed", "made up: the connection is gone")
const ended = ownPgError("replication_slot_in_use", "made up: Postgres has ended it")

/** A lock that `grant` grants, and an instance that waits for it in `scope`. */
const contest = Effect.gen(function* () {
  const granted = Deferred.makeUnsafe<void>()
  const layer = LockActor.layer.pipe(
    Layer.provideMerge(HealthRef.layer),
    Layer.provide(Layer.succeed(LockService, { acquire: () => Deferred.await(granted) }))
  )
  const context = yield* Layer.build(layer)
  const { health, lock } = yield* Effect.all({ health: HealthRef, lock: LockActor }).pipe(
    Effect.provide(context)
  )
  yield* health.send("storageLoaded")
  const scope = yield* Scope.make()
  const connection = connectionOf(7)
  const asking = yield* Effect.forkChild(Scope.provide(lock.hold(connection), scope), {
    startImmediately: true
  })
  return {
    asking,
    connection,
    health,
    lock,
    close: Scope.close(scope, Exit.void),
    grant: Effect.andThen(Deferred.succeed(granted, undefined), Fiber.join(asking))
  }
})

describe("the lock as an instance has it", () => {
  it.effect("is in the state as soon as it is granted, by whatever grants it", () =>
    Effect.gen(function* () {
      const { close, connection, grant, health, lock } = yield* contest
      assert.deepStrictEqual(yield* lock.state, { _tag: "waiting", backendPid: 7 })
      assert.strictEqual(health.current(), "waiting")
      yield* grant
      assert.deepStrictEqual(yield* lock.state, { _tag: "held", backendPid: 7 })
      assert.strictEqual(health.current(), "takingOver")
      yield* close
      assert.deepStrictEqual(yield* lock.state, { _tag: "free" })
      assert.strictEqual(connection.timesClosed(), 1, "nobody keeps it who has taken down what stood on it")
    }).pipe(Effect.provide(recordingLogger([])))
  )

  for (const [what, error, state] of [
    ["with the database", gone, "disconnected"],
    ["alone", ended, "waiting"]
  ] as const)
    it.effect(`is noticed to be lost ${what} at once, and told when nothing stands on it any more`, () =>
      Effect.gen(function* () {
        const { close, connection, grant, health, lock } = yield* contest
        yield* grant
        yield* health.send("streamStarted")
        connection.end(error)
        assert.deepStrictEqual(yield* lock.state, { _tag: "lost", backendPid: 7, error })
        assert.strictEqual(health.current(), "active")
        yield* close
        assert.strictEqual(health.current(), state)
      }).pipe(Effect.provide(recordingLogger([])))
    )

  for (const [when, before, after] of [
    ["asked to stop", ["streamStarted", "shutdown"], "draining"],
    ["asked to stop in the middle of a takeover", ["shutdown"], "draining"],
    ["it goes to sleep", ["streamStarted"], "active"]
  ] as const satisfies ReadonlyArray<readonly [string, ReadonlyArray<HealthEvent>, string]>)
    it.effect(`is not lost when it is given back because ${when}`, () =>
      Effect.gen(function* () {
        const { close, connection, grant, health, lock } = yield* contest
        yield* grant
        for (const event of before) yield* health.send(event)
        yield* lock.giveBack
        yield* connection.close
        assert.strictEqual((yield* lock.state)._tag, "givenBack")
        const said = health.current()
        assert.notStrictEqual(said, "draining")
        yield* close
        assert.strictEqual(health.current(), after)
      }).pipe(Effect.provide(recordingLogger([])))
    )

  it.effect("is nobody's when the wait for it is given up", () =>
    Effect.gen(function* () {
      const { asking, close, health, lock } = yield* contest
      yield* Fiber.interrupt(asking)
      yield* close
      assert.deepStrictEqual(yield* lock.state, { _tag: "free" })
      assert.strictEqual(health.current(), "waiting")
    }).pipe(Effect.provide(recordingLogger([])))
  )

  it.effect(
    "is looked after again when its keeper has died of a mistake, of which the supervisor hears",
    () => {
      const said: Array<string> = []
      return Effect.gen(function* () {
        let asked = 0
        const layer = LockActor.layer.pipe(
          Layer.provideMerge(HealthRef.layer),
          Layer.provide(
            Layer.succeed(LockService, {
              acquire: () => (++asked === 1 ? Effect.die(new Error("made up")) : Effect.void)
            })
          )
        )
        const context = yield* Layer.build(layer)
        const { health, lock } = yield* Effect.all({ health: HealthRef, lock: LockActor }).pipe(
          Effect.provide(context)
        )
        yield* health.send("storageLoaded")
        const turn = Effect.scoped(Effect.raceFirst(lock.died, lock.hold(connectionOf(7))))
        const died = yield* Effect.flip(turn)
        assert.strictEqual(died._tag, "DutyDied")
        assert.match(said.join("\n"), /The keeper of the lock stumbled: Error: made up/)
        yield* lock.hold(connectionOf(8))
        assert.strictEqual(health.current(), "takingOver")
      }).pipe(Effect.provide(recordingLogger(said)))
    }
  )
})
