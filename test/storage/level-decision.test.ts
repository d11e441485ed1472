import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { decideLevel, type LevelDecision } from "../../src/storage/levels/LevelDecision.ts"
import { newestLevelOf, ownLevels, releaseOf } from "../../src/storage/levels/Levels.ts"

type Facts = Parameters<typeof decideLevel>[0]

const hour = 3_600_000
const now = 1000 * hour

/** Storage of the first release, which was last seen long ago; nobody else is there. */
const quiet: Facts = {
  stored: 2,
  isGateClosed: false,
  own: { oldest: 2, newest: 3 },
  floor: undefined,
  participants: [],
  silent: 0,
  lastSeen: { 2: now - 100 * hour },
  isOwn: false,
  sinceMillis: now - 100 * hour,
  nowMillis: now,
  windowMillis: 24 * hour,
  drainMillis: 25_000,
  isForced: false
}

const old = { release: "0.1.9", newest: 2 }
const same = { release: "0.2.0", newest: 3 }

describe("whether the level of storage is raised", () => {
  const cases: ReadonlyArray<readonly [string, Partial<Facts>, LevelDecision["_tag"], RegExp?]> = [
    ["nobody older for a day", {}, "Raise"],
    ["nobody older, ever", { lastSeen: {} }, "Raise"],
    ["it has the newest", { stored: 3 }, "Newest"],
    ["another instance of the same release", { participants: [same] }, "Raise"],
    ["an older one is there", { participants: [same, old] }, "Hold", /release 0\.1\.9 is there/],
    ["an older one is there, whatever an operator says", { participants: [old], isForced: true }, "Hold"],
    ["somebody who says nothing is there", { silent: 1 }, "Hold", /does not say/],
    ["somebody who says nothing, whatever an operator says", { silent: 1, isForced: true }, "Hold"],
    ["the configuration", { floor: 2, isForced: true }, "Hold", /BATON_ROLLBACK_FLOOR/],
    ["a floor that allows it", { floor: 3 }, "Raise"],
    ["an older one an hour ago", { lastSeen: { 2: now - hour } }, "Hold", /brought back/],
    ["the same, and an operator says so", { lastSeen: { 2: now - hour }, isForced: true }, "Raise"],
    [
      "an older one that may still drain",
      { lastSeen: { 2: now - 20_000 }, isForced: true },
      "Hold",
      /last requests/
    ],
    [
      "no window, and an older one that may still drain",
      { lastSeen: { 2: now - 20_000 }, windowMillis: 0 },
      "Hold"
    ],
    ["no window", { lastSeen: { 2: now - 30_000 }, windowMillis: 0 }, "Raise"],
    ["a directory that is new to us", { lastSeen: {}, sinceMillis: now - hour }, "Hold", /brought back/],
    ["one that nobody older has ever had", { lastSeen: {}, sinceMillis: now, isOwn: true }, "Raise"],
    ["the same, and the configuration", { lastSeen: {}, isOwn: true, floor: 2 }, "Hold"],
    ["the same, and an older one is there", { lastSeen: {}, isOwn: true, participants: [old] }, "Hold"],
    ["the same, and an older one was", { lastSeen: { 2: now - hour }, isOwn: true }, "Hold", /brought back/],
    ["a new one, no window", { lastSeen: {}, sinceMillis: now, windowMillis: 0 }, "Raise"],
    ["a clock that was set back", { lastSeen: { 2: now + 1000 * hour } }, "Hold"],
    ["it was begun, and is gone on with", { isGateClosed: true, silent: 1, participants: [old] }, "Raise"]
  ]
  it.each(cases.map((row) => [row[0], row] as const))("%s", (_name, [, facts, expected, because]) => {
    const decision = decideLevel({ ...quiet, ...facts })
    assert.strictEqual(decision._tag, expected)
    if (because !== undefined) assert.match(decision._tag === "Hold" ? decision.because : "", because)
  })

  it("says when a hold ends by itself, and then it does", () => {
    for (const facts of [{ lastSeen: { 2: now - hour } }, { lastSeen: {}, sinceMillis: now - hour }]) {
      const held = decideLevel({ ...quiet, ...facts })
      const untilMillis = held._tag === "Hold" ? (held.untilMillis ?? NaN) : NaN
      assert.strictEqual(untilMillis, now + 23 * hour)
      assert.strictEqual(decideLevel({ ...quiet, ...facts, nowMillis: untilMillis - 1 })._tag, "Hold")
      assert.strictEqual(decideLevel({ ...quiet, ...facts, nowMillis: untilMillis })._tag, "Raise")
    }
  })

  it("never passes anybody who is there, the configuration, or this release", () => {
    const level = fc.integer({ min: 2, max: 6 })
    const facts = fc.record({
      stored: level,
      isGateClosed: fc.constant(false),
      own: fc.record({ oldest: fc.constant(2), newest: level }),
      floor: fc.option(level, { nil: undefined }),
      participants: fc.array(fc.record({ release: fc.constant("0.1.0"), newest: level }), { maxLength: 3 }),
      silent: fc.nat({ max: 1 }),
      lastSeen: fc.dictionary(level.map(String), fc.integer({ min: now - 48 * hour, max: now }), {
        maxKeys: 3
      }),
      isOwn: fc.boolean(),
      sinceMillis: fc.integer({ min: now - 48 * hour, max: now }),
      nowMillis: fc.constant(now),
      windowMillis: fc.constantFrom(0, 24 * hour),
      drainMillis: fc.constantFrom(0, 25_000),
      isForced: fc.boolean()
    })
    fc.assert(
      fc.property(facts, (given) => {
        const decision = decideLevel(given)
        if (decision._tag !== "Raise") return
        assert.isAbove(decision.to, given.stored)
        assert.isAtMost(decision.to, given.own.newest)
        assert.isAtMost(decision.to, given.floor ?? Infinity)
        for (const { newest } of given.participants) assert.isAtMost(decision.to, newest)
        assert.strictEqual(given.silent, 0)
        if (given.isForced) return
        for (const [newest, seen] of Object.entries(given.lastSeen))
          if (Number(newest) < decision.to) assert.isAtLeast(now - seen, given.windowMillis)
      })
    )
  })
})

describe("levels and releases", () => {
  it.each([
    ["0.0.9", undefined],
    ["0.1.0", 2],
    ["0.1.17", 2],
    ["0.2.0", 3],
    ["0.2.0-rc.1", 3],
    ["0.10.0", 3],
    ["1.0.0", 3],
    ["unknown", undefined]
  ])("%s knows level %s", (release, level) => assert.strictEqual(newestLevelOf(release), level))

  it("each level has a first release", () => {
    for (let level = ownLevels.oldest; level <= ownLevels.newest; level++)
      assert.strictEqual(newestLevelOf(releaseOf(level) ?? ""), level)
    assert.isUndefined(releaseOf(ownLevels.newest + 1))
  })
})
