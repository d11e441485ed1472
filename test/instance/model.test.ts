import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { vi } from "vitest"
import { eventArbitrary, play } from "./support/Drama.ts"
import { World } from "./support/World.ts"

vi.mock(import("node:zlib"), async (original) => {
  const { zlibAtOnce } = await import("./support/ZlibAtOnce.ts")
  return zlibAtOnce(await original())
})

const numRuns = Number(process.env["BATON_MODEL_RUNS"] ?? 40)

/** A few transactions fill a segment: what is in it is moved, removed, and found in a checkpoint. */
const small = { journalSegmentBytes: 500, chunkBytesThreshold: 700, cleanupIntervalMillis: 500 }

describe("handover, whatever happens", () => {
  it("keeps every promise through random events, and recovers from all of them", { timeout: 0 }, async () => {
    const seed = process.env["BATON_MODEL_SEED"] ?? Date.now() & 0x7fffffff
    await fc.assert(
      fc.asyncProperty(
        fc.array(eventArbitrary, { minLength: 5, maxLength: 40 }),
        fc.boolean(),
        fc.constantFrom(undefined, undefined, undefined, 3000),
        (events, isSmall, replicationIdleTimeoutMillis) =>
          World.run({ config: { replicationIdleTimeoutMillis, ...(isSmall ? small : {}) } }, (world) =>
            play(world, events)
          )
      ),
      { numRuns, seed: Number(seed), endOnFailure: process.env["BATON_MODEL_SHRINK"] === "no" }
    )
    assert.isAbove(numRuns, 0)
  })

  it("keeps them when an instance finds that it was fenced off and idle for long at the same moment", () =>
    World.run({ config: { replicationIdleTimeoutMillis: 3000 } }, (world) =>
      play(world, [
        { _tag: "Start" },
        { _tag: "Ask", client: 0, member: 0, live: false },
        { _tag: "Freeze", member: 0 },
        { _tag: "Wait", millis: 12_001 },
        { _tag: "Start" }
      ])
    ))

  it("acknowledges nothing that it has read of its own journal while the disk cannot make that durable", () =>
    World.run({}, (world) =>
      play(world, [
        {
          _tag: "DiskRefuses",
          meeting: { operation: ["sync", "sync the names in"], nth: 1, times: 20 },
          code: "EIO"
        },
        { _tag: "Insert", tables: [1], visibleAfterMillis: 0 },
        { _tag: "LoseLock" },
        { _tag: "Wait", millis: 12_000 }
      ])
    ))

  it("puts another in the place of an instance that was frozen while the disk refused it its start", () =>
    World.run({}, (world) =>
      play(world, [
        { _tag: "PowerCut", chance: undefined },
        { _tag: "DiskRefuses", meeting: { operation: ["sync", "sync the names in"], times: 1 }, code: "EIO" },
        { _tag: "Start" },
        { _tag: "Freeze", member: 0 }
      ])
    ))

  it("does the same again, call by call of the disk, when the same happens", async () => {
    // Names that are random by themselves.
    const random = /write-check.*|[0-9a-f]{8}-[0-9a-f]{4}-[-0-9a-f]{22}/
    const [events = []] = fc.sample(fc.array(eventArbitrary, { minLength: 40, maxLength: 40 }), {
      seed: 4711,
      numRuns: 1
    })
    const calls = () =>
      World.run({ config: small }, async (world) => {
        await play(world, events)
        return world.disk.calls.map(({ operation, path }) => `${operation} ${path.replace(random, "")}`)
      })
    const first = await calls()
    assert.isAbove(first.length, 300)
    assert.deepStrictEqual(await calls(), first)
  })
})
