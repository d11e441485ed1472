import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { makeFreshLook } from "../../src/shared/FreshLook.ts"

it.live("everybody gets a look that began after they asked, and all who wait the same one", () =>
  Effect.gen(function* () {
    let began = 0
    const gate = yield* Deferred.make<void>()
    const look = makeFreshLook(
      Effect.suspend(() => {
        const number = ++began
        return number === 1 ? Effect.as(Deferred.await(gate), number) : Effect.succeed(number)
      }),
      20
    )
    const first = yield* Effect.forkChild(look, { startImmediately: true })
    assert.strictEqual(began, 1)
    const others = yield* Effect.forkChild(
      Effect.all(
        Array.from({ length: 500 }, () => look),
        { concurrency: "unbounded" }
      ),
      {
        startImmediately: true
      }
    )
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual(yield* Fiber.join(first), 1)
    assert.deepStrictEqual(new Set(yield* Fiber.join(others)), new Set([2]))
    assert.strictEqual(began, 2)
    const start = performance.now()
    for (let i = 0; i < 5; i++) yield* look
    assert.strictEqual(began, 7)
    assert.isAtLeast(performance.now() - start, 70)
  })
)

it.live("a look that fails, or that nobody waits for any longer, does not stand in the way of the next", () =>
  Effect.gen(function* () {
    let began = 0
    const look = makeFreshLook(
      Effect.suspend(() => (++began === 1 ? Effect.fail("down" as const) : Effect.succeed(began))),
      1
    )
    assert.strictEqual(yield* Effect.flip(look), "down")
    const given = yield* Effect.forkChild(look, { startImmediately: true })
    yield* Fiber.interrupt(given)
    assert.isAtLeast(yield* look, 2)
  })
)
