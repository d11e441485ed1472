import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { type Waiter, Waiters } from "../../src/storage/state/Waiters.ts"

describe("requests held while storage is read anew", () => {
  it.live("look again once, and wait on when there is nothing new", () =>
    Effect.gen(function* () {
      const waiters = new Waiters()
      const held = new Set<Waiter>()
      let looks = 0
      // As a live request does it: woken, it finds nothing and waits again, until the same moment as before.
      const until = Date.now() + 60_000
      const request: Effect.Effect<void> = waiters
        .wait(() => {
          if (++looks > 100) throw new Error("woken again and again")
          return held
        }, until - Date.now())
        .pipe(Effect.flatMap((reason) => (reason === "changed" ? request : Effect.void)))
      const fiber = yield* Effect.forkChild(request, { startImmediately: true })
      assert.strictEqual(looks, 1)
      waiters.wakeAll()
      assert.strictEqual(looks, 2)
      assert.strictEqual(waiters.count, 1)
      waiters.wake(held, "dropped")
      yield* Fiber.join(fiber)
      assert.strictEqual(waiters.count, 0)
    })
  )
})
