import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import {
  type AfterDeath,
  duty,
  type DutyPolicy,
  makeErrands,
  makeSupervisor,
  pauseAfter,
  startDuty
} from "../../src/shared/Duty.ts"

const policyOf = <After extends AfterDeath>(
  after: After,
  ends: DutyPolicy["ends"] = "never"
): DutyPolicy<After> => ({ what: "The work", ends, after, meanwhile: "others do it" })

const logTo = (said: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void said.push(`${logLevel} ${String(message)}`))])

const interruptedInside = Effect.andThen(Effect.forkChild(Effect.never), (fiber) =>
  Effect.andThen(Fiber.interrupt(fiber), Fiber.join(fiber))
)

/** All ways in which work can end that has no end. */
const deaths: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>, RegExp]> = [
  ["a defect", Effect.die(new Error("made up")), /stumbled: Error: made up/],
  [
    "a rejected promise",
    Effect.promise(() => Promise.reject(new Error("EMFILE"))),
    /stumbled: Error: EMFILE/
  ],
  [
    "a throw before it begins",
    Effect.suspend(() => {
      throw new Error("at once")
    }),
    /stumbled: Error: at once/
  ],
  ["an error", Effect.fail(new Error("not expected")), /stumbled: Error: not expected/],
  ["an end", Effect.succeed("done"), /stumbled: Error: it ended, and has no end/],
  ["an interruption that nobody asked it for", interruptedInside, /stumbled: InterruptError/]
]

describe("a duty", () => {
  it.effect("begins again after its death, later each time, and says so", () => {
    const said: Array<string> = []
    return Effect.gen(function* () {
      let begun = 0
      const work = Effect.suspend(() => {
        if (++begun < 4) throw new Error(`mistake ${begun}`)
        return Effect.never
      })
      const fiber = yield* Effect.forkChild(duty(policyOf("beginAgain"), work), { startImmediately: true })
      for (const [millis, expected] of [
        [999, 1],
        [1, 2],
        [1999, 2],
        [1, 3],
        [4000, 4]
      ] as const) {
        yield* TestClock.adjust(millis)
        assert.strictEqual(begun, expected)
      }
      assert.strictEqual(said.length, 3)
      assert.match(said[0] ?? "", /^Error The work stumbled: Error: mistake 1/)
      assert.match(said[0] ?? "", /It begins anew in 1 s; meanwhile others do it\./)
      assert.match(said[2] ?? "", /It begins anew in 4 s/)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(said.length, 3, "an interruption is no death")
    }).pipe(Effect.provide(logTo(said)))
  })

  it("pauses a minute at most, and shortly again once it has lived for one", () => {
    let pause = 0
    const pauses = Array.from({ length: 9 }, () => (pause = pauseAfter(pause, 5)))
    assert.deepStrictEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000])
    assert.strictEqual(pauseAfter(60_000, 59_999), 60_000)
    assert.strictEqual(pauseAfter(60_000, 60_000), 1000)
  })

  for (const [name, death, expected] of deaths) {
    for (const after of ["beginAgain", "letGo", "endTurn", "endProcess"] as const) {
      it.effect(`that dies of ${name}: ${after}`, () => {
        const said: Array<string> = []
        return Effect.gen(function* () {
          let begun = 0
          const work = Effect.suspend(() => {
            begun++
            return death
          })
          const fiber = yield* Effect.forkChild(duty(policyOf(after), work), { startImmediately: true })
          yield* TestClock.adjust(1000)
          assert.match(said[0] ?? "", expected)
          const exit = fiber.pollUnsafe()
          assert.strictEqual(begun, after === "beginAgain" ? 2 : 1)
          if (after === "beginAgain") assert.isUndefined(exit)
          else if (after === "letGo") assert.isTrue(exit !== undefined && Exit.isSuccess(exit))
          else assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).after, after)
        }).pipe(Effect.provide(logTo(said)))
      })
    }
  }

  it.effect("may end where it has an end, without a word", () => {
    const said: Array<string> = []
    return Effect.gen(function* () {
      for (const after of ["beginAgain", "letGo", "endTurn", "endProcess"] as const)
        yield* duty(policyOf(after, "byItself"), Effect.succeed("done"))
      assert.deepStrictEqual(said, [])
    }).pipe(Effect.provide(logTo(said)))
  })

  it.effect("is interrupted with its scope, while it works and while it pauses", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      let begun = 0
      let ended = 0
      const working = Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
      const pausing = Effect.suspend(() => {
        begun++
        return Effect.die("made up")
      })
      yield* Effect.provideService(startDuty(policyOf("beginAgain"), working), Scope.Scope, scope)
      yield* Effect.provideService(startDuty(policyOf("beginAgain"), pausing), Scope.Scope, scope)
      yield* TestClock.adjust(500)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual([begun, ended], [1, 1])
    }).pipe(Effect.provide(logTo([])))
  )
})

describe("a supervisor", () => {
  it.effect("learns of the first death that it cannot go on with, and of no other", () =>
    Effect.gen(function* () {
      const supervisor = yield* makeSupervisor
      const dies = yield* Deferred.make<never, Error>()
      const watching = yield* Effect.forkChild(Effect.flip(supervisor.died), { startImmediately: true })
      yield* supervisor.start(policyOf("letGo"), Effect.die("made up"))
      yield* supervisor.start(policyOf("beginAgain"), Effect.die("made up"))
      yield* supervisor.start(policyOf("endTurn", "byItself"), Effect.void)
      yield* supervisor.start(policyOf("endTurn"), Deferred.await(dies))
      yield* TestClock.adjust(10_000)
      assert.isUndefined(watching.pollUnsafe())
      yield* Deferred.fail(dies, new Error("made up"))
      const { after, message } = yield* Fiber.join(watching)
      assert.strictEqual(after, "endTurn")
      assert.strictEqual(message, "The work has died: others do it")
    }).pipe(Effect.scoped, Effect.provide(logTo([])))
  )
})

describe("errands", () => {
  it.effect("are done at once, and say so when they fail", () => {
    const said: Array<string> = []
    return Effect.gen(function* () {
      const run = yield* makeErrands
      let done = 0
      run(
        "The errand",
        Effect.sync(() => done++)
      )
      assert.strictEqual(done, 1)
      run("The errand", Effect.fail(new Error("made up")))
      run(
        "Another errand",
        Effect.promise(() => Promise.reject(new Error("EIO")))
      )
      yield* Effect.promise(() => Promise.resolve())
      yield* TestClock.adjust(1)
      assert.strictEqual(said.length, 2)
      assert.match(said[0] ?? "", /^Error The errand stumbled: Error: made up/)
      assert.match(said[1] ?? "", /^Error Another errand stumbled: Error: EIO/)
    }).pipe(Effect.scoped, Effect.provide(logTo(said)))
  })
})
