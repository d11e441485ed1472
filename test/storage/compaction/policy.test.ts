import { assert, describe, it } from "@effect/vitest"
import {
  type CompactionSettings,
  emptyTally,
  hasRoomForBase,
  isWorthIt,
  mayBeWorthIt,
  retained,
  withBase,
  worthOf
} from "../../../src/storage/compaction/Policy.ts"
import { TallyLog } from "../../../src/storage/compaction/TallyLog.ts"
import type { Compaction } from "../../../src/storage/records/CompactionState.ts"
import { randomHistory } from "../../../testing/compaction/Histories.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"

const hour = 3_600_000
const settings: CompactionSettings = {
  garbagePercent: 100,
  leastBytes: 1000,
  retentionMillis: 24 * hour,
  retentionPercent: 200
}

/** Bases of 10,000 bytes that were made at these hours, one thousand commits after the other. */
const basesAt = (...hours: ReadonlyArray<number>): Compaction => {
  let compaction: Compaction | undefined
  hours.forEach((atHour, i) => {
    compaction = withBase(compaction, {
      chunks: [{ index: 2 ** 32 + i, bytes: 10_000, crc: 0 }],
      at: [String(1000 * (i + 1)), 0],
      madeAtMillis: atHour * hour
    })
  })
  if (compaction === undefined) throw new Error("no base")
  return compaction
}

const none = () => 0

const madeAt = ({ bases }: Compaction) => bases.map(({ madeAtMillis }) => madeAtMillis / hour)

describe("what a log comes to", () => {
  it("is counted from its bytes, however they are cut", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    for (let n = 0; n < 200; n++) {
      const { entries, firstRows } = randomHistory(random, 30)
      const texts = [...firstRows, ...entries.map(({ text }) => text)]
      const count = (operation: string) =>
        texts.filter((text) => text.includes(`"headers":{"operation":"${operation}"`)).length
      const bytes = Buffer.from(texts.join(","))
      const tally = new TallyLog(emptyTally)
      for (let at = 0; at < bytes.length;) {
        const end = at + random.int(1, random.pick([3, 40, 400]))
        tally.add(bytes.subarray(at, end))
        at = end
      }
      const { deletes, insertBytes, inserts, updateBytes } = tally.tally
      assert.deepStrictEqual([inserts, deletes], [count("insert"), count("delete")], `seed ${seed}`)
      assert.strictEqual(updateBytes > 0, count("update") > 0, `seed ${seed}`)
      assert.isAtMost(insertBytes + updateBytes, bytes.length, `seed ${seed}`)
    }
  })

  it("is worth compacting when as much is superseded as there is, and never where rows are only added", () => {
    const added = { ...emptyTally, inserts: 1000, insertBytes: 100_000 }
    assert.isFalse(isWorthIt(worthOf(5000, added), 1000, settings))
    const updated = { ...emptyTally, updateBytes: 5000 }
    assert.isTrue(isWorthIt(worthOf(5000, updated), 1000, settings))
    assert.isFalse(isWorthIt(worthOf(5001, updated), 1000, settings))
    // A queue: what was inserted is gone.
    const queue = { ...added, deletes: 1000, deleteBytes: 30_000 }
    assert.deepStrictEqual(worthOf(0, queue), { liveBytes: 0, garbageBytes: 130_000 })
    assert.isFalse(mayBeWorthIt(10_000, 999, 1000, settings))
    assert.isFalse(mayBeWorthIt(10_000, 4999, 1000, settings))
    assert.isTrue(mayBeWorthIt(10_000, 5000, 1000, settings))
  })
})

describe("what is kept", () => {
  it("of rows that were replaced: an hour", () => {
    const compaction = basesAt(0, 1, 2)
    const at = (hours: number) => retained(compaction, hours * hour, none, settings)
    assert.strictEqual(retained(basesAt(0), hour, none, settings).hasFirstRows, true)
    assert.strictEqual(retained(basesAt(0), hour + 1, none, settings).hasFirstRows, false)
    assert.deepStrictEqual(madeAt(at(2)), [0, 1, 2])
    assert.deepStrictEqual(madeAt(at(2.1)), [1, 2])
    assert.deepStrictEqual(madeAt(at(3.1)), [2])
    assert.deepStrictEqual(madeAt(at(1000)), [2])
  })

  it("of the log: the retention, and less where it takes too much, but what rows need", () => {
    const compaction = basesAt(0, 1, 2)
    const begins = (hours: number, pastBytes: number) =>
      retained(compaction, hours * hour, () => pastBytes, settings).begins
    assert.isUndefined(begins(24, 0))
    assert.deepStrictEqual(begins(24.1, 0), ["1000", 0])
    assert.deepStrictEqual(begins(26.1, 0), ["3000", 0])
    // Twice the rows, and a thousand bytes.
    assert.isUndefined(begins(3, 21_000))
    assert.deepStrictEqual(begins(2.5, 21_001), ["2000", 0])
    assert.deepStrictEqual(begins(3.5, 21_001), ["3000", 0])
    // Somebody may be in the middle of the first rows, or have come from them.
    assert.isUndefined(begins(0.9, 1e9))
    const left = retained(compaction, 3.5 * hour, () => 21_001, settings)
    assert.strictEqual(retained(left, 3.5 * hour, none, settings), left)
  })

  it("is not more of replaced rows than of the log", () => {
    const rows = { compaction: basesAt(0, 0, 0), firstRowsBytes: 5000 }
    assert.isTrue(hasRoomForBase(rows, 17_000, settings))
    assert.isFalse(hasRoomForBase(rows, 16_999, settings))
    assert.isTrue(hasRoomForBase({ compaction: undefined, firstRowsBytes: 1e9 }, 1, settings))
  })
})
