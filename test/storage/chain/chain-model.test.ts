import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { vi } from "vitest"
import { asDesigned, ChainWorld, type Collecting, type Step, stepsArbitrary } from "./support/ChainWorld.ts"

vi.mock(import("node:zlib"), async (original) => {
  const { zstdAtOnce } = await import("./support/ZstdAtOnce.ts")
  return zstdAtOnce(await original())
})

const numRuns = Number(process.env["CHAIN_MODEL_RUNS"] ?? 400)

/** The same is done in any order; what has come about is added to `seen`. */
const inAnyOrder = (collecting: Collecting, seen: Map<string, number> = new Map()) =>
  fc.asyncProperty(stepsArbitrary, async (steps) => {
    const world = new ChainWorld(collecting)
    await world.play(steps)
    for (const [what, times] of Object.entries(world.seen)) seen.set(what, (seen.get(what) ?? 0) + times)
  })

/** What the second one does, while the third one reads along. */
const second = (...tags: ReadonlyArray<"TakeOver" | "Checkpoint" | "Collect">): ReadonlyArray<Step> =>
  tags.flatMap((_tag) => [{ _tag, who: 1 }, { _tag: "Flow" }, { _tag: "Poll", who: 2 }, { _tag: "Flow" }])

/** The first one writes; the second one takes over without its knowing, and collects what can be collected. Then the first one goes on. */
const zombie = (waitMillis: number): ReadonlyArray<Step> => [
  { _tag: "Write", who: 0 },
  { _tag: "Flow" },
  ...second("TakeOver", "Checkpoint", "Checkpoint"),
  { _tag: "Pass", millis: waitMillis },
  ...second("Collect"),
  { _tag: "Write", who: 0 },
  { _tag: "Flow" }
]

const outcome = async (collecting: Collecting, steps: ReadonlyArray<Step>) => {
  const world = new ChainWorld(collecting)
  try {
    await world.play(steps)
    return world.seen
  } catch (error) {
    return error instanceof Error ? error.message : "it was no error"
  }
}

describe("the chain, whatever happens to its writers and readers", () => {
  it("is one order of objects, in which everything stands that was promised", { timeout: 0 }, async () => {
    const seed = process.env["CHAIN_MODEL_SEED"] ?? Date.now() & 0x7fffffff
    const seen = new Map<string, number>()
    await fc.assert(inAnyOrder(asDesigned, seen), { numRuns, seed: Number(seed) })
    for (const what of ["created", "overtaken", "collected", "restarted", "told"])
      assert.isAbove(seen.get(what) ?? 0, numRuns < 100 ? -1 : 0, what)
  })

  it("needs fences: a writer that knows nothing of its successor meets the one that is there for ever", async () => {
    const anyAge = { ...asDesigned, leavesYoung: false }
    const { collected, overtaken } = Object(await outcome(anyAge, zombie(0)))
    assert.deepStrictEqual({ collected, overtaken }, { collected: 1, overtaken: 1 })
    const said = await outcome({ ...anyAge, leavesFences: false }, zombie(0))
    assert.match(String(said), /^a0 creates number 2/)
  })

  it("is looked up in a listing by a writer that has slept: even without a fence it notices", async () => {
    const { overtaken, restarted } = Object(
      await outcome({ ...asDesigned, leavesFences: false }, zombie(3_700_000))
    )
    assert.deepStrictEqual({ overtaken, restarted }, { overtaken: 0, restarted: 1 })
  })

  const wrong: ReadonlyArray<readonly [string, Collecting]> = [
    ["fences", { ...asDesigned, leavesFences: false, leavesYoung: false }],
    ["what is young", { ...asDesigned, leavesYoung: false }],
    ["what is below checkpoints that were not announced", { ...asDesigned, announces: false }]
  ]
  for (const [what, collecting] of wrong)
    it(`would be another one for some if ${what} were collected`, { timeout: 0 }, async () => {
      const found = await fc.check(inAnyOrder(collecting), { numRuns: 2_000, seed: 1, endOnFailure: true })
      assert.isTrue(found.failed)
    })
})
