import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { makeGather } from "../../src/shared/Gather.ts"

describe("questions that come at the same time", () => {
  it.effect("are dealt with together, in their order, and never more than so many", () =>
    Effect.gen(function* () {
      const goes: Array<ReadonlyArray<number>> = []
      const held = yield* Deferred.make<void>()
      const gather = yield* makeGather<number, string, never>(3, (asked) =>
        Effect.gen(function* () {
          goes.push(asked.map(({ input }) => input))
          yield* Deferred.await(held)
          for (const { done, input } of asked) done(Exit.succeed(`answer ${input}`))
        })
      )
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5, 6], (input) =>
        Effect.forkChild(gather.ask(input), { startImmediately: true })
      )
      yield* Effect.yieldNow
      const [, second] = fibers
      if (second !== undefined) yield* Fiber.interrupt(second)
      yield* Deferred.succeed(held, undefined)
      const answers = yield* Effect.forEach(
        fibers.filter((fiber) => fiber !== second),
        (fiber) => Fiber.join(fiber)
      )
      assert.deepStrictEqual(
        answers,
        [1, 3, 4, 5, 6].map((input) => `answer ${input}`)
      )
      assert.deepStrictEqual(goes.flat(), [1, 2, 3, 4, 5, 6])
      assert.isTrue(goes.every((go) => go.length <= 3))
      assert.strictEqual(yield* gather.ask(7), "answer 7")
    })
  )

  it.effect("have the failure of their work for an answer, where they have no other", () =>
    Effect.gen(function* () {
      let goes = 0
      const gather = yield* makeGather<number, string, string>(10, ([first]) => {
        goes++
        first?.done(Exit.succeed("early"))
        return goes < 3 ? Effect.fail(`failed ${goes}`) : Effect.die(new Error("a defect"))
      })
      const both = yield* Effect.all([Effect.exit(gather.ask(1)), Effect.exit(gather.ask(2))], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(both[0], Exit.succeed("early"))
      assert.isTrue(Exit.isSuccess(both[1]) ? both[1].value === "early" : Exit.hasFails(both[1]))
      assert.strictEqual(yield* gather.ask(3), "early", "the next go is one of its own")
    })
  )

  it.effect("may be answered after the work has ended", () =>
    Effect.gen(function* () {
      const later = yield* Deferred.make<void>()
      const gather = yield* makeGather<number, number, never>(10, (asked) =>
        Effect.forkDetach(
          Effect.map(Deferred.await(later), () => {
            for (const { done, input } of asked) done(Exit.succeed(input))
          })
        )
      )
      const first = yield* Effect.forkChild(gather.ask(1), { startImmediately: true })
      const second = yield* Effect.forkChild(gather.ask(2), { startImmediately: true })
      yield* Effect.yieldNow
      yield* Deferred.succeed(later, undefined)
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 2])
    })
  )
})
