import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { BucketFault } from "../../src/bucket/BucketFault.ts"
import { BucketWatch } from "../../src/bucket/BucketWatch.ts"
import { awaitImpatience, isImpatient } from "../../src/instance/duties/BucketPatience.ts"
import { currentTimers } from "../../src/shared/Timers.ts"

const fault = new BucketFault({ operation: "create", object: "s3://b/wal/7", kind: "failing", said: "500" })

describe("the patience with a bucket", () => {
  it("is over when it has failed, and something has waited for it, for so long", () => {
    const trouble = { sinceMillis: 1000, sinceEpochMillis: 0, fault }
    for (const [since, bytes, millis, expected] of [
      [trouble, 1, 60_000, true],
      [trouble, 1, 59_999, false],
      [trouble, 0, 0, false],
      [{ ...trouble, sinceMillis: 2000 }, 1, 60_000, false],
      [undefined, 1, 60_000, false]
    ] as const)
      assert.strictEqual(isImpatient(since, { bytes, millis }, 60_000, 61_000), expected)
  })

  it.effect("hands over only when somebody waits", () =>
    Effect.gen(function* () {
      const timers = yield* currentTimers
      const watch = new BucketWatch("s3://b", timers)
      watch.failed("put", watch.began("put"), fault)
      let waiting: ReadonlyArray<object> = []
      let asked = 0
      const admin = {
        size: 1,
        query: () => Effect.sync(() => (asked++, waiting as ReadonlyArray<never>))
      }
      const status = {
        watch,
        timers,
        unshipped: () => ({ bytes: 1, millis: timers.nowMillis() }),
        mirror: () => undefined,
        checkpointAgeMillis: () => undefined
      }
      const fiber = yield* Effect.forkChild(awaitImpatience(status, 30_000, admin, "lock"), {
        startImmediately: true
      })
      yield* TestClock.adjust(29_000)
      assert.strictEqual(asked, 0)
      yield* TestClock.adjust(60_000)
      assert.isAbove(asked, 50)
      assert.isUndefined(fiber.pollUnsafe())
      waiting = [{ pid: 1 }]
      yield* TestClock.adjust(1000)
      yield* Fiber.join(fiber)
    })
  )
})
