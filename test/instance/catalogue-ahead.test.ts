import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Scope } from "effect"
import { CatalogueAhead } from "../../src/instance/duties/CatalogueAhead.ts"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import type { TableChange } from "../../src/postgres/catalogue/TableChange.ts"
import { systemTimers } from "../../src/shared/Timers.ts"

const vanished = { _tag: "Vanished" } as TableChange

/** A look at two tables, of which `answer` is the outcome; `setMillis` turns the clock. */
const looking = (answer: Effect.Effect<void, PgError>) => {
  let now = 0
  const asked: Array<ReadonlyArray<number>> = []
  const listeners: Array<(change: TableChange) => void> = []
  const ahead = new CatalogueAhead(
    {
      readAgain: (oids) =>
        Effect.suspend(() =>
          Effect.andThen(
            Effect.sync(() => asked.push(oids)),
            answer
          )
        ),
      onChange: (listener) => Effect.sync(() => void listeners.push(listener))
    },
    { ...systemTimers, nowMillis: () => now }
  )
  return {
    ahead,
    asked,
    tell: (change: TableChange) => listeners.forEach((listener) => listener(change)),
    setMillis: (millis: number) => void (now = millis)
  }
}

const inSession = <A, E>(work: Effect.Effect<A, E, Scope.Scope>) => Effect.scoped(work)

describe("what the catalogue was asked before the stream began", () => {
  it.live("is waited for, and answers once for each table", () =>
    inSession(
      Effect.gen(function* () {
        const answered = yield* Deferred.make<void>()
        const { ahead, asked } = looking(Deferred.await(answered))
        assert.isUndefined(ahead.answer(1), "nobody has looked")
        yield* Effect.forkScoped(ahead.begin([1, 2]), { startImmediately: true })
        assert.deepStrictEqual(asked, [[1, 2]])
        assert.isUndefined(ahead.answer(3))
        const first = ahead.answer(1)
        assert.isDefined(first)
        assert.isUndefined(ahead.answer(1), "a table that comes again may have changed")
        const waiting = yield* Effect.forkChild(first ?? Effect.void, { startImmediately: true })
        assert.isUndefined(waiting.pollUnsafe())
        yield* Deferred.succeed(answered, undefined)
        yield* Fiber.join(waiting)
      })
    )
  )

  it.live("does not count for long, nor for another session", () =>
    Effect.gen(function* () {
      const { ahead, setMillis } = looking(Effect.void)
      yield* inSession(
        Effect.gen(function* () {
          yield* ahead.begin([1, 2])
          setMillis(900)
          assert.isDefined(ahead.answer(1))
          setMillis(1100)
          assert.isUndefined(ahead.answer(2))
          setMillis(900)
        })
      )
      assert.isUndefined(ahead.answer(2))
    })
  )

  it.live("holds nobody up when there was no answer", () =>
    inSession(
      Effect.gen(function* () {
        const { ahead } = looking(Effect.fail(ownPgError("connection_closed", "cut")))
        yield* ahead.begin([1])
        yield* ahead.answer(1) ?? Effect.die("not known")
      })
    )
  )

  it.live("tells what it has brought to light to the session that begins to listen", () =>
    inSession(
      Effect.gen(function* () {
        const { ahead, tell } = looking(Effect.void)
        yield* ahead.begin([1])
        tell(vanished)
        assert.deepStrictEqual(ahead.takeChanges(), [vanished])
        tell(vanished)
        assert.deepStrictEqual(ahead.takeChanges(), [], "the listener has heard it already")
      })
    )
  )
})
