import { assert, describe, it } from "vitest"
import { TurnClock } from "../../src/instance/measured/TurnClock.ts"

describe("the clock of a turn", () => {
  it("asks for the time once in a turn, and again in the next one", async () => {
    let looks = 0
    const clock = new TurnClock({ nowMillis: () => ++looks, epochMillis: () => 1000 + looks })
    for (let turn = 1; turn <= 3; turn++) {
      for (let i = 0; i < 100; i++) {
        assert.strictEqual(clock.nowMillis(), turn)
        assert.strictEqual(clock.epochMillis(), 1000 + turn)
      }
      await Promise.resolve()
    }
  })
})
