import { assert, describe, it } from "vitest"
import {
  beforeComparison,
  knownCommits,
  LostHistory,
  storedGap
} from "../../src/storage/state/LostHistory.ts"

const shape = (tx: bigint, members: number) => ({ end: { tx }, members: Array.from({ length: members }) })

const early = () => 0n

describe("what storage has of shapes", () => {
  it.each([
    ["all shapes are equally far", { lastCommitLsn: 10n, behindLsn: undefined, ends: [10n, 8n] }, 10n],
    ["shapes with sub-selects are behind", { lastCommitLsn: 10n, behindLsn: 5n, ends: [3n] }, 5n],
    ["more came late than was noted", { lastCommitLsn: 10n, behindLsn: 5n, ends: [3n, 7n] }, 7n],
    [
      "only tables of sub-selects have changed",
      { lastCommitLsn: 10n, behindLsn: undefined, ends: [12n] },
      12n
    ]
  ])("is told for both kinds when %s", (_, { behindLsn, ends, lastCommitLsn }, members) => {
    const all = () => [shape(9n, 0), ...ends.map((end) => shape(end, 1))]
    assert.deepStrictEqual(knownCommits({ behindLsn, lastCommitLsn, all }), {
      ordinary: lastCommitLsn,
      members
    })
  })

  it("is told with what was compared late, of shapes of each kind for itself", () => {
    const shapes = [shape(9n, 0), shape(15n, 0), shape(7n, 0), shape(12n, 1)]
    const had = knownCommits({ behindLsn: undefined, lastCommitLsn: 10n, all: () => shapes })
    assert.deepStrictEqual(had, { ordinary: 15n, members: 12n })
    const history = new LostHistory()
    history.add(storedGap(had, 30n))
    // Whoever has read the difference goes on.
    assert.isFalse(history.has(15n, "ordinary", early))
    assert.isTrue(history.has(16n, "ordinary", early))
  })

  it("tells which commits a client cannot have from it, for both kinds, also when read again", () => {
    const first = new LostHistory()
    first.add(storedGap({ ordinary: 10n, members: 5n }, 10n))
    first.add(storedGap({ ordinary: 10n, members: 5n }, 20n))
    const again = new LostHistory()
    for (const gap of first.stored()) again.add(gap)
    for (const history of [first, again]) {
      const lost = (kind: "ordinary" | "members") =>
        Array.from({ length: 25 }, (_, i) => BigInt(i)).filter((lsn) => history.has(lsn, kind, early))
      assert.deepStrictEqual(lost("ordinary"), [11n, 12n, 13n, 14n, 15n, 16n, 17n, 18n, 19n])
      assert.strictEqual(lost("members")[0], 6n)
      // A shape that was made after it has no such past.
      assert.isFalse(history.has(15n, "members", () => 20n))
    }
    assert.deepStrictEqual(first.latestAfter, { ordinary: 10n, members: 5n })
  })

  /** Comparisons that are killed before or after what they append is durable, and one that ends; each brings shapes to its own commit. */
  it.each([
    ["nothing was cut off", []],
    ["one was cut off before it appended anything", [{ at: 20n, isAppended: false }]],
    ["one was cut off afterwards", [{ at: 20n, isAppended: true }]],
    [
      "several were",
      [
        { at: 20n, isAppended: false },
        { at: 25n, isAppended: true },
        { at: 30n, isAppended: false },
        { at: 35n, isAppended: true }
      ]
    ]
  ])("has what comparisons appended, when %s", (_, cutOff) => {
    let lostHistory = new LostHistory()
    let lastCommitLsn = 10n
    let isUnfinished = false
    for (const { at, isAppended } of [...cutOff, { at: 50n, isAppended: true }]) {
      const all = () => [shape(lastCommitLsn, 1)]
      const { closed, had } = beforeComparison(
        { lastCommitLsn, behindLsn: undefined, all, lostHistory },
        isUnfinished
      )
      if (closed !== undefined) lostHistory.add(closed)
      lostHistory.add(storedGap(had, had.ordinary))
      isUnfinished = true
      if (isAppended) lastCommitLsn = at
      // Whoever takes over reads it from a checkpoint, perhaps.
      const again = new LostHistory()
      for (const gap of lostHistory.stored()) again.add(gap)
      lostHistory = again
      if (at === 50n) lostHistory.add(storedGap(had, at))
    }
    const own = [10n, ...cutOff.filter(({ isAppended }) => isAppended).map(({ at }) => at), 50n]
    for (const kind of ["ordinary", "members"] as const)
      for (let lsn = 5n; lsn < 60n; lsn++)
        assert.strictEqual(
          lostHistory.has(lsn, kind, early),
          lsn > 10n && lsn < 50n && !own.includes(lsn),
          `${kind} ${lsn}`
        )
  })
})
