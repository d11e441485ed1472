import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { keepGoing } from "../../src/telemetry/KeepGoing.ts"

describe("work that is to go on", () => {
  it.effect("begins anew after a mistake, later each time, and says so", () => {
    const said: Array<string> = []
    const logger = Logger.make(({ message }) => void said.push(String(message)))
    return Effect.gen(function* () {
      let begun = 0
      const work = Effect.suspend(() => {
        if (++begun < 4) throw new Error(`mistake ${begun}`)
        return Effect.succeed("done")
      })
      const fiber = yield* Effect.forkChild(keepGoing("The work", work), { startImmediately: true })
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
      assert.strictEqual(yield* Fiber.join(fiber), "done")
      assert.strictEqual(said.length, 3)
      assert.match(said[0] ?? "", /^The work stumbled: Error: mistake 1/)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.effect("fails as it is, and ends when it is interrupted", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flip(keepGoing("The work", Effect.fail("expected"))), "expected")
      const fiber = yield* Effect.forkChild(keepGoing("The work", Effect.never), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
    })
  )
})
