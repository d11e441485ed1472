import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric } from "effect"
import { TestClock } from "effect/testing"
import { type SlotRoom, slotTrouble, watchSlot } from "../../src/instance/duties/SlotWatch.ts"
import type { Queryable } from "../../src/postgres/connection/SessionPool.ts"
import { Faults } from "../../src/shared/FaultRecord.ts"

const mebibyte = 2 ** 20

const room = (walStatus: string, safe: number | null, keep: number | null): SlotRoom => ({
  walStatus,
  safeWalBytes: safe === null ? null : safe * mebibyte,
  keepBytes: keep === null ? null : keep * mebibyte
})

describe("the look at the replication slot", () => {
  const rows: ReadonlyArray<readonly [string, SlotRoom, RegExp | undefined]> = [
    ["no bound", room("reserved", null, null), undefined],
    ["all of it left", room("reserved", 1000, 1000), undefined],
    ["half of it left", room("extended", 500, 1000), undefined],
    ["less than half left", room("extended", 499, 1000), /has 523 MB left of the 1049 MB/],
    ["about to be lost", room("unreserved", -20, 1000), /about to give up the replication slot s/],
    ["nothing is kept at all", room("reserved", 10, 0), undefined]
  ]
  for (const [name, given, expected] of rows)
    it(name, () => {
      const said = slotTrouble("s", given)
      if (expected === undefined) assert.isUndefined(said)
      else assert.match(said ?? "", expected)
    })

  it.effect("makes the fault active for as long as it is so", () =>
    Effect.gen(function* () {
      let safeBytes = 1000 * mebibyte
      const admin = {
        query: () =>
          Effect.sync(() => [
            {
              slot: JSON.stringify({ wal_status: "extended", safe_wal_size: safeBytes }),
              keep: "1000"
            }
          ])
      } as unknown as Queryable
      const faults = yield* Faults
      const watch = yield* Effect.forkChild(watchSlot(admin, "s"), { startImmediately: true })
      assert.isFalse(faults.isActive("BATON-SLOT-BUDGET"))
      safeBytes = 100 * mebibyte
      yield* TestClock.adjust("30 seconds")
      assert.isTrue(faults.isActive("BATON-SLOT-BUDGET"))
      assert.lengthOf(faults.recent(), 1)
      safeBytes = 900 * mebibyte
      yield* TestClock.adjust("10 seconds")
      assert.isFalse(faults.isActive("BATON-SLOT-BUDGET"))
      yield* Fiber.interrupt(watch)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})
