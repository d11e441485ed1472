import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { EventEmitter } from "node:events"
import { reactTo, sameSignalMillis, stopSignal } from "../../src/instance/StopSignal.ts"

describe("a signal that asks the process to stop", () => {
  it("drains at first, is the same one shortly after, and ends the process later", () => {
    assert.strictEqual(reactTo(undefined, 5), "drain")
    assert.strictEqual(reactTo(5, 5), "ignore")
    assert.strictEqual(reactTo(5, 4 + sameSignalMillis), "ignore")
    assert.strictEqual(reactTo(5, 5 + sameSignalMillis), "exit")
  })

  it.effect("reaches the process through the terminal and through npm as one", () =>
    Effect.gen(function* () {
      const signals = new EventEmitter()
      const exits: Array<number> = []
      const source = {
        on: (name: string, listener: () => void) => signals.on(name, listener),
        off: (name: string, listener: () => void) => signals.off(name, listener),
        exit: (code: number) => exits.push(code)
      }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const stop = yield* stopSignal(source)
          const stopped = yield* Effect.forkChild(stop)
          signals.emit("SIGINT")
          signals.emit("SIGINT")
          yield* TestClock.adjust(sameSignalMillis - 1)
          signals.emit("SIGTERM")
          yield* Fiber.join(stopped)
          assert.deepStrictEqual(exits, [])
          yield* TestClock.adjust(1)
          signals.emit("SIGINT")
          assert.deepStrictEqual(exits, [130])
        })
      )
      assert.strictEqual(signals.listenerCount("SIGINT") + signals.listenerCount("SIGTERM"), 0)
    })
  )
})
