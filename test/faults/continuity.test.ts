import { assert, describe, it } from "vitest"
import { type ContinuityEvent, continuityEvents } from "../../testing/continuity/Events.ts"
import { continuityRounds } from "../../testing/continuity/Rounds.ts"
import { patient } from "../../testing/Load.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"

const rounds = 3

describe("events that lose the position in the stream, and others, one after the other", () => {
  it(
    "leave every reader with the rows that Postgres selects, and nobody starts over",
    { timeout: patient(240_000) },
    async () => {
      const seed = Number(process.env["CONTINUITY_SEED"] ?? freshSeed())
      const random = makeRandom(seed)
      const known = Object.keys(continuityEvents) as ReadonlyArray<ContinuityEvent>
      const said: Array<string> = []
      const { problems, rounds: done } = await continuityRounds({
        events: Array.from({ length: rounds }, () => random.pick(known)),
        random,
        say: (text) => said.push(text)
      })
      const replay = `replay with CONTINUITY_SEED=${seed}\n${said.join("\n")}`
      assert.deepStrictEqual(problems, [], replay)
      assert.strictEqual(done, rounds, replay)
    }
  )
})
