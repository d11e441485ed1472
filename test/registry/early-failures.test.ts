import { assert, describe, it } from "vitest"
import { EarlyFailures } from "../../src/registry/routing/EarlyFailures.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import { definitionOf } from "../storage/support.ts"

/** Fails in these transactions, then turns out to have a snapshot that contains those before 100 and not 90. */
const outcome = (failures: ReadonlyArray<number>): string | undefined => {
  const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1000 })
  const shape = store.create(1, "1-1", definitionOf("a"), 1)
  const early = new EarlyFailures()
  for (const [i, xid] of failures.entries())
    early.note(1, { commitLsn: 10n + BigInt(i), xid, reason: `in ${xid}` })
  early.note(2, { commitLsn: 50n, xid: 200, reason: "of another shape" })
  store.setVisibility(shape, { xmin: "90", xmax: "100", xipList: ["90"], containedBefore: "1000" })
  const reason = early.decide(shape)
  assert.isUndefined(early.decide(shape))
  return reason
}

describe("a condition that fails before it is known what the snapshot contains", () => {
  it.each([
    [[], undefined],
    [[80, 95], undefined],
    [[80, 90], "in 90"],
    [[80, 100, 95], "in 100"]
  ] as const)("in transactions %j ends the shape for: %s", (failures, expected) => {
    assert.strictEqual(outcome(failures), expected)
  })

  it("is forgotten with the shape", () => {
    const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1000 })
    const shape = store.create(1, "1-1", definitionOf("a"), 1)
    const early = new EarlyFailures()
    early.note(1, { commitLsn: 10n, xid: 90, reason: "in 90" })
    early.forget(1)
    assert.isUndefined(early.decide(shape))
  })
})
