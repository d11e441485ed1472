import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { FreshLook, makeFreshLook, makeSingleFlight, SingleFlight } from "../../src/shared/Coalesce.ts"

/** A look whose answers the test gives, one by one. */
const answered = () => {
  const pending: Array<{
    readonly resolve: (value: boolean) => void
    readonly reject: (error: Error) => void
  }> = []
  const look = new FreshLook(
    () => new Promise<boolean>((resolve, reject) => pending.push({ resolve, reject }))
  )
  return { look, pending }
}

describe("a look that many share", () => {
  it("never answers with what was seen before the question", async () => {
    const { look, pending } = answered()
    const first = look.ask()
    const second = look.ask()
    const third = look.ask()
    assert.lengthOf(pending, 1)
    pending[0]?.resolve(false)
    assert.isFalse(await first)
    await new Promise((resolve) => setImmediate(resolve))
    // Both came while the first was being answered: they share the next one.
    assert.lengthOf(pending, 2)
    pending[1]?.resolve(true)
    assert.deepStrictEqual(await Promise.all([second, third]), [true, true])
    assert.lengthOf(pending, 2)
  })

  it("goes on after one that has failed, and tells only those who asked for it", async () => {
    const { look, pending } = answered()
    const first = look.ask()
    const second = look.ask()
    pending[0]?.reject(new Error("EIO"))
    assert.strictEqual(await first.catch((error: unknown) => String(error)), "Error: EIO")
    await new Promise((resolve) => setImmediate(resolve))
    pending[1]?.resolve(true)
    assert.isTrue(await second)
    const later = look.ask()
    pending[2]?.resolve(false)
    assert.isFalse(await later)
  })
})

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

it.live(
  "work that runs is joined, and goes on without those who asked for it, for as long as its scope",
  () =>
    Effect.gen(function* () {
      let began = 0
      const gate = yield* Deferred.make<void>()
      const work = Effect.suspend(() => Effect.as(Deferred.await(gate), ++began))
      const scope = yield* Scope.make()
      const flights = yield* makeSingleFlight<number, never>().pipe(Effect.provideService(Scope.Scope, scope))
      const ask = (key: string) => Effect.forkChild(flights.join(key, work), { startImmediately: true })
      const [gone, joined, other] = yield* Effect.all([ask("a"), ask("a"), ask("b")])
      assert.strictEqual(flights.running, 2)
      yield* Fiber.interrupt(gone)
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.join(joined), { value: 1, joined: true })
      assert.deepStrictEqual(yield* Fiber.join(other), { value: 2, joined: false })
      assert.strictEqual(flights.running, 0)
      const last = yield* Effect.forkChild(flights.join("a", Effect.never), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(last)))
    })
)

it.live("work that fails fails for all who wait, and is begun anew by the next", () =>
  Effect.gen(function* () {
    const flights = new SingleFlight<number, string>()
    const asks = Effect.all(
      Array.from({ length: 3 }, () =>
        Effect.flip(flights.join("a", Effect.andThen(Effect.yieldNow, Effect.fail("no"))))
      ),
      { concurrency: "unbounded" }
    )
    assert.deepStrictEqual(yield* asks, ["no", "no", "no"])
    assert.strictEqual((yield* flights.join("a", Effect.succeed(7))).value, 7)
  })
)
