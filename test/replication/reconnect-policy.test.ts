import { assert, describe, it } from "@effect/vitest"
import { afterFailure, noFailures, reconnectDelayMillis } from "../../src/replication/ReconnectPolicy.ts"

const delays = (streamed: ReadonlyArray<number>) => {
  let state = noFailures
  return streamed.map((millis) => {
    state = afterFailure(state, millis)
    return reconnectDelayMillis(state)
  })
}

describe("reconnecting", () => {
  it("tries again at once, then ever more rarely", () => {
    assert.deepStrictEqual(delays([0, 0, 0, 0, 0, 0, 0]), [50, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000])
    assert.strictEqual(reconnectDelayMillis({ failures: 5_000 }), 10_000)
    assert.strictEqual(reconnectDelayMillis(noFailures), 0)
  })

  it("begins anew only after the stream has run for a while", () => {
    assert.deepStrictEqual(delays([0, 0, 0, 4_999, 5_000, 0]), [50, 1_000, 2_000, 4_000, 50, 1_000])
  })
})
