import { assert, describe, it } from "@effect/vitest"
import {
  type CompactionSettings,
  emptyTally,
  isWorthIt,
  mayBeWorthIt,
  mayMakeBase,
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

const may = (rowBytes: number, logBytes: number, rowLength: number | undefined) =>
  mayBeWorthIt(rowBytes, logBytes, rowLength, 1000, settings)

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
    assert.isFalse(isWorthIt(worthOf(5000, added, 50), 1000, settings))
    const updated = { ...emptyTally, updateBytes: 5000 }
    assert.isTrue(isWorthIt(worthOf(5000, updated, 50), 1000, settings))
    assert.isFalse(isWorthIt(worthOf(5001, updated, 50), 1000, settings))
    // A queue: what was inserted is gone.
    const queue = { ...added, deletes: 1000, deleteBytes: 30_000 }
    assert.deepStrictEqual(worthOf(0, queue, undefined), { liveBytes: 0, garbageBytes: 130_000 })
    // A table that is emptied.
    const emptied = { ...emptyTally, deletes: 90, deleteBytes: 9000 }
    assert.deepStrictEqual(worthOf(100_000, emptied, 1000), { liveBytes: 10_000, garbageBytes: 99_000 })
    const more = { ...emptied, deletes: 1000 }
    assert.strictEqual(worthOf(100_000, more, 1000).liveBytes, 0)
  })

  it("is not read where it could not be worth it", () => {
    assert.isFalse(may(10_000, 999, undefined))
    assert.isTrue(may(1e9, 1000, undefined))
    assert.isFalse(may(10_000, 3333, 64))
    assert.isTrue(may(10_000, 3334, 64))
    assert.isFalse(may(100_000, 3000, 640))
    assert.isTrue(may(60_000, 3000, 640))
    const seed = freshSeed()
    const random = makeRandom(seed)
    for (let n = 0; n < 2000; n++) {
      const rowLength = random.int(64, 2000)
      const rows = random.int(0, 1000)
      const deletes = random.int(0, rows)
      const updates = random.int(0, 1000)
      const log = { ...emptyTally, updateBytes: 70 * updates, deletes, deleteBytes: 64 * deletes }
      const logBytes = log.updateBytes + log.deleteBytes
      if (isWorthIt(worthOf(rows * rowLength, log, rowLength), 1000, settings) && logBytes >= 1000)
        assert.isTrue(may(rows * rowLength, logBytes, rowLength), `seed ${seed}`)
    }
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
})

describe("another base", () => {
  const minute = 60_000
  const chance = { liveBytes: 17_000, behindBytes: 17_000, ageMillis: minute, leftAloneMillis: 0 }

  it("is not made while as much of replaced rows is kept as of the log", () => {
    const rows = { compaction: basesAt(0, 0, 0), firstRowsBytes: 5000 }
    const quiet = { ...chance, leftAloneMillis: hour }
    assert.isTrue(mayMakeBase(rows, quiet, settings))
    assert.isFalse(mayMakeBase(rows, { ...quiet, liveBytes: 16_999 }, settings))
    // A queue: what is kept is little beside what newcomers would be given.
    assert.isTrue(mayMakeBase(rows, { ...quiet, liveBytes: 0, behindBytes: 72_000 }, settings))
    assert.isFalse(mayMakeBase(rows, { ...quiet, liveBytes: 0, behindBytes: 71_999 }, settings))
  })

  it("may always take the place of the only rows that there are, however little is left of them", () => {
    const emptied = { ...chance, liveBytes: 0 }
    assert.isTrue(mayMakeBase({ compaction: undefined, firstRowsBytes: 1e9 }, emptied, settings))
    const folded: Compaction = { bases: [], hasFirstRows: true, marks: [] }
    assert.isTrue(mayMakeBase({ compaction: folded, firstRowsBytes: 1e9 }, emptied, settings))
    const only = retained(basesAt(0), 2 * hour, none, settings)
    assert.isTrue(mayMakeBase({ compaction: only, firstRowsBytes: 1e9 }, emptied, settings))
    assert.isFalse(mayMakeBase({ compaction: basesAt(0), firstRowsBytes: 1e9 }, emptied, settings))
  })

  it("is made when the shape is quiet again, for a quarter of the time, two seconds to a minute", () => {
    const rows = { compaction: basesAt(0), firstRowsBytes: 10_000 }
    const isMade = (ageMillis: number, leftAloneMillis: number) =>
      mayMakeBase(rows, { ...chance, liveBytes: 10_000, ageMillis, leftAloneMillis }, settings)
    for (const [ageMillis, leastMillis] of [
      [-minute, 2000],
      [0, 2000],
      [12_000, 3000],
      [4 * minute, minute],
      [20 * minute, minute]
    ] as const) {
      assert.isFalse(isMade(ageMillis, leastMillis - 1), `${ageMillis}`)
      assert.isTrue(isMade(ageMillis, leastMillis), `${ageMillis}`)
    }
  })

  it("comes soon enough for what newcomers are given, and not so often that what is kept of replaced rows is more", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    for (let n = 0; n < 60; n++) {
      const liveBytes = random.pick([500, 5000, 50_000, 5_000_000])
      const queue = random.chance(0.3)
      let compaction: Compaction | undefined
      let behindBytes = 0
      let garbageBytes = 0
      let endMillis = 0
      let busyUntil = 0
      let bytesPerStep = 0
      let made = 0
      const stepMillis = 10_000
      for (let now = 0; now < 5 * hour; now += stepMillis) {
        if (now >= busyUntil + 90_000) {
          busyUntil = now + random.pick([20_000, 300_000, 2 * hour])
          bytesPerStep = liveBytes * random.pick([0.1, 1, 5])
        }
        if (now < busyUntil) {
          garbageBytes += bytesPerStep
          // Folded, it has each row three times at most, or what is left of those that came and went.
          behindBytes = queue ? behindBytes + bytesPerStep / 3 : Math.min(3 * liveBytes, garbageBytes)
          endMillis = now
        }
        if (compaction !== undefined) compaction = retained(compaction, now, none, settings)
        const isDue = isWorthIt({ liveBytes, garbageBytes }, settings.leastBytes, settings)
        const ageMillis = now - (compaction?.bases.at(-1)?.madeAtMillis ?? 0)
        const state = { liveBytes, behindBytes, ageMillis, leftAloneMillis: now - endMillis }
        if (isDue && mayMakeBase({ compaction, firstRowsBytes: liveBytes }, state, settings)) {
          const at = ["1", ++made] as const
          compaction = withBase(compaction, {
            chunks: [{ index: made, bytes: liveBytes, crc: 0 }],
            at,
            madeAtMillis: now
          })
          const sets = compaction.bases.length - 1 + Number(compaction.hasFirstRows)
          const most = Math.max(2 * liveBytes + settings.leastBytes, behindBytes / 2, liveBytes)
          assert.isAtMost(sets * liveBytes, most, `seed ${seed}, run ${n}: what is kept of replaced rows`)
          garbageBytes = behindBytes = 0
        }
        const sets = (compaction?.bases.length ?? 0) + Number(compaction?.hasFirstRows ?? true)
        const most = Math.max(3 * liveBytes, 2 * (sets * liveBytes + settings.leastBytes)) + bytesPerStep
        assert.isAtMost(behindBytes, most, `seed ${seed}, run ${n}: what newcomers are given beside the rows`)
      }
      assert.isAbove(made, 0, `seed ${seed}, run ${n}`)
    }
  })

  it("is there right behind a burst in which everything is written again and again", () => {
    for (const seconds of [5, 30, 120, 600]) {
      let compaction: Compaction | undefined
      let garbageBytes = 0
      let fullMillis = 0
      const liveBytes = 1_000_000
      for (let now = 0; now < (seconds + 70) * 1000; now += 1000) {
        const isBusy = now < seconds * 1000
        if (isBusy) garbageBytes += (5 * liveBytes) / seconds
        const state = {
          liveBytes,
          behindBytes: Math.min(liveBytes, garbageBytes),
          ageMillis: now - (compaction?.bases.at(-1)?.madeAtMillis ?? 0),
          leftAloneMillis: isBusy ? 0 : now - seconds * 1000
        }
        const isDue = isWorthIt({ liveBytes, garbageBytes }, settings.leastBytes, settings)
        if (isDue && mayMakeBase({ compaction, firstRowsBytes: liveBytes }, state, settings)) {
          garbageBytes = 0
          compaction = withBase(compaction, {
            chunks: [{ index: now, bytes: liveBytes, crc: 0 }],
            at: [String(now), 0],
            madeAtMillis: now
          })
        }
        if (!isBusy && garbageBytes > 0) fullMillis += 1000
      }
      assert.strictEqual(garbageBytes, 0, `${seconds}`)
      assert.isAtMost(fullMillis, Math.min(61_000, 2000 + seconds * 400), `${seconds}`)
      assert.isAtMost(compaction?.bases.length ?? 0, 3)
    }
  })
})
