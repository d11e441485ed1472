import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, Scope } from "effect"
import { startActor } from "../../src/shared/Actor.ts"
import type { DutyPolicy } from "../../src/shared/Duty.ts"

const policy: DutyPolicy<"endTurn"> = {
  what: "The actor",
  ends: "never",
  after: "endTurn",
  meanwhile: "nobody else does it"
}

const logTo = (said: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void said.push(`${logLevel} ${String(message)}`))])

describe("an actor", () => {
  it.effect("answers at once where it has nothing else to do", () =>
    Effect.gen(function* () {
      const actor = yield* startActor(policy)
      const context = yield* Effect.context<never>()
      // Without a turn of the event loop, or this would throw.
      assert.strictEqual(Effect.runSyncWith(context)(actor.ask(Effect.succeed(1))), 1)
      assert.deepStrictEqual(
        yield* Effect.exit(actor.ask(Effect.fail("no"))),
        Exit.fail("no"),
        "an error is an answer as well"
      )
      assert.strictEqual(Effect.runSyncWith(context)(actor.ask(Effect.succeed(2))), 2)
    })
  )

  it.effect("does one thing after the other", () =>
    Effect.gen(function* () {
      const actor = yield* startActor(policy)
      const began: Array<number> = []
      const gates = [0, 1, 2].map(() => Deferred.makeUnsafe<void>())
      const asked = yield* Effect.forEach(gates, (gate, i) =>
        Effect.forkChild(
          actor.ask(
            Effect.andThen(
              Effect.sync(() => began.push(i)),
              Deferred.await(gate)
            )
          ),
          { startImmediately: true }
        )
      )
      assert.deepStrictEqual(began, [0])
      yield* Deferred.succeed(gates[1] ?? assert.fail(), undefined)
      assert.deepStrictEqual(began, [0])
      yield* Deferred.succeed(gates[0] ?? assert.fail(), undefined)
      yield* Fiber.join(asked[1] ?? assert.fail())
      assert.deepStrictEqual(began, [0, 1, 2])
      yield* Fiber.interrupt(asked[2] ?? assert.fail())
    })
  )

  it.effect("has a message taken back, begun or not, and goes on", () =>
    Effect.gen(function* () {
      const actor = yield* startActor(policy)
      const said: Array<string> = []
      const never = (name: string) =>
        Effect.onInterrupt(
          Effect.andThen(
            Effect.sync(() => said.push(name)),
            Effect.never
          ),
          () =>
            Effect.andThen(
              Effect.yieldNow,
              Effect.sync(() => said.push(`no ${name}`))
            )
        )
      const first = yield* Effect.forkChild(actor.ask(never("first")), { startImmediately: true })
      const second = yield* Effect.forkChild(actor.ask(never("second")), { startImmediately: true })
      yield* Fiber.interrupt(second)
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(said, ["first", "no first"])
      assert.strictEqual(yield* actor.ask(Effect.succeed(3)), 3)
    })
  )

  it.effect("acts for its caller, with what the caller has", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const actor = yield* startActor(policy)
      const scope = yield* Scope.make()
      yield* actor.ask(Effect.logInfo("hello")).pipe(Effect.provide(logTo(said)))
      yield* Scope.provide(
        actor.ask(Effect.addFinalizer(() => Effect.sync(() => said.push("closed")))),
        scope
      )
      assert.deepStrictEqual(said, ["Info hello"])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(said, ["Info hello", "closed"])
    })
  )

  it.effect(
    "dies of a mistake: its supervisor hears of it first, then the caller, and it lives again",
    () => {
      const said: Array<string> = []
      return Effect.gen(function* () {
        const actor = yield* startActor(policy)
        const order: Array<string> = []
        const supervisor = yield* Effect.forkChild(
          Effect.tapError(actor.died, ({ after }) => Effect.sync(() => order.push(after))),
          { startImmediately: true }
        )
        const exit = yield* Effect.exit(
          Effect.onExit(actor.ask(Effect.die(new Error("made up"))), () =>
            Effect.sync(() => order.push("answer"))
          )
        )
        assert.isTrue(Exit.hasDies(exit))
        assert.strictEqual(
          (yield* Effect.flip(Fiber.join(supervisor))).message,
          "The actor has died: nobody else does it"
        )
        assert.deepStrictEqual(order, ["endTurn", "answer"])
        assert.strictEqual(said.length, 1)
        assert.match(said[0] ?? "", /^Error The actor stumbled: Error: made up/)
        assert.strictEqual(yield* actor.ask(Effect.succeed(4)), 4)
        assert.isUndefined((yield* Effect.forkChild(actor.died, { startImmediately: true })).pollUnsafe())
      }).pipe(Effect.provide(logTo(said)))
    }
  )

  it.effect("leaves nobody without an answer at its end; then there is nothing to guard", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const actor = yield* Scope.provide(startActor(policy), scope)
      const asked = yield* Effect.forEach([0, 1], () =>
        Effect.forkChild(actor.ask(Effect.never), { startImmediately: true })
      )
      yield* Scope.close(scope, Exit.void)
      for (const fiber of asked) assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.strictEqual(yield* actor.ask(Effect.succeed(5)), 5)
    })
  )
})
