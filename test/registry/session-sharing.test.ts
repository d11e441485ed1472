import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { AwaitedPlaces } from "../../src/registry/snapshot/AwaitedPlaces.ts"
import { IdleSessions } from "../../src/registry/snapshot/IdleSessions.ts"
import { currentTimers } from "../../src/shared/Timers.ts"

const makePlaces = Effect.map(
  currentTimers,
  (timers) => new AwaitedPlaces({ size: 2, subsets: 1, longMillis: 10_000, waitMillis: 30_000 }, timers)
)

/** A place, and what gives it back. */
const hold = Effect.fnUntraced(function* (places: AwaitedPlaces, shape?: string) {
  const scope = yield* Scope.make()
  const place = yield* Scope.provide(places.hold(shape), scope)
  return { place, giveBack: Scope.close(scope, Exit.void) }
})

describe("places for sessions", () => {
  it.effect("are given as soon as they are free", () =>
    Effect.gen(function* () {
      const places = yield* makePlaces
      const first = yield* hold(places)
      yield* hold(places)
      const third = yield* Effect.forkChild(hold(places))
      yield* TestClock.adjust(29_000)
      assert.isUndefined(third.pollUnsafe())
      yield* first.giveBack
      yield* Fiber.join(third)
    })
  )

  it.effect("are waited for so long, and the wish is then withdrawn", () =>
    Effect.gen(function* () {
      const places = yield* makePlaces
      const subset = yield* hold(places, "a")
      const late = yield* Effect.forkChild(Effect.flip(hold(places, "b")))
      yield* TestClock.adjust(30_000)
      const error = yield* Fiber.join(late)
      assert.strictEqual(error.kind, "pool_timeout")
      assert.include(
        error.message,
        "None of the 1 database connections for snapshots became free within 30 s."
      )
      yield* subset.giveBack
      yield* hold(places)
      yield* hold(places)
      const third = yield* Effect.forkChild(Effect.flip(hold(places)))
      yield* TestClock.adjust(30_000)
      assert.include((yield* Fiber.join(third)).message, "None of the 2 database connections")
    })
  )

  it.effect("are not kept for those who wait no longer", () =>
    Effect.gen(function* () {
      const places = yield* makePlaces
      const [first] = yield* Effect.all([hold(places), hold(places)])
      const gone = yield* Effect.forkChild(hold(places))
      const next = yield* Effect.forkChild(hold(places))
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(gone)
      yield* first.giveBack
      yield* Fiber.join(next)
    })
  )

  it.effect("are taken from long queries while somebody waits, and not before", () =>
    Effect.gen(function* () {
      const places = yield* makePlaces
      const ended: Array<string> = []
      for (const name of ["old", "young"]) {
        const { giveBack, place } = yield* hold(places)
        place.end = () => {
          ended.push(name)
          Effect.runFork(giveBack)
        }
        yield* TestClock.adjust(1000)
      }
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual(ended, [])
      const third = yield* Effect.forkChild(hold(places))
      yield* TestClock.adjust(249)
      assert.deepStrictEqual(ended, [])
      yield* TestClock.adjust(1)
      yield* Fiber.join(third)
      assert.deepStrictEqual(ended, ["young"])
    })
  )

  it.effect("are looked after for as long as somebody waits", () =>
    Effect.gen(function* () {
      const places = yield* makePlaces
      const ended: Array<string> = []
      for (const name of ["old", "young"]) (yield* hold(places)).place.end = () => ended.push(name)
      yield* Effect.forkChild(hold(places))
      yield* TestClock.adjust(9999)
      assert.deepStrictEqual(ended, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(ended, ["young"])
    })
  )
})

describe("idle sessions", () => {
  const makeIdle = Effect.gen(function* () {
    const closed: Array<string> = []
    const idle = new IdleSessions<{ readonly name: string; readonly close: () => void }>(yield* currentTimers)
    const session = (name: string) => ({ name, close: () => closed.push(name) })
    return { closed, idle, session }
  })

  it.effect("are taken from the end, so that the others become old", () =>
    Effect.gen(function* () {
      const { closed, idle, session } = yield* makeIdle
      assert.isUndefined(idle.take())
      idle.keep(session("a"))
      yield* TestClock.adjust(30_000)
      idle.keep(session("b"))
      yield* TestClock.adjust(29_999)
      const taken = idle.take()
      assert.strictEqual(taken?.name, "b")
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(closed, ["a"])
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual(closed, ["a"], "one that is used is not idle")
      assert.isUndefined(idle.take())
    })
  )

  it.effect("that are lost are given to nobody", () =>
    Effect.gen(function* () {
      const { closed, idle, session } = yield* makeIdle
      const lost = session("a")
      idle.keep(lost)
      idle.forget(lost)
      assert.isUndefined(idle.take())
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual(closed, [])
    })
  )

  it.effect("are closed at the end, and those that are given back after it", () =>
    Effect.gen(function* () {
      const { closed, idle, session } = yield* makeIdle
      idle.keep(session("a"))
      idle.keep(session("b"))
      idle.close()
      idle.keep(session("c"))
      assert.deepStrictEqual(closed, ["a", "b", "c"])
      assert.isUndefined(idle.take())
    })
  )
})
