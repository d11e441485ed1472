import { assert, describe, it } from "@effect/vitest"
import { type RowChange, RowsInTime } from "../../../src/registry/rewinding/RowsInTime.ts"
import { RewoundRows } from "../../../src/registry/rewinding/RewoundRows.ts"
import { rowBytes, rowInto } from "../../../src/registry/rewinding/RowBytes.ts"
import { columnText, makeTuple } from "../../../src/postgres/Tuple.ts"
import { freshSeed, makeRandom, type Random } from "../../../testing/Random.ts"
import { tupleOf } from "../../../testing/TupleOf.ts"

const texts = [null, "", "a", "ab", "b", "ÿ", "日本", "null", "\u0000x"]

/** A database of rows that may be equal, and transactions over it; whose rows each of them has found. */
const history = (random: Random, transactions: number) => {
  const rows: Array<{ readonly row: string; readonly by: number }> = []
  const states: Array<ReadonlyArray<string>> = [[]]
  const changes: Array<ReadonlyArray<RowChange<string>>> = []
  const foundOf: Array<ReadonlySet<number>> = []
  const some = () => `${random.int(0, 3)}|${random.pick(["x", "y", "z"])}`
  for (let n = 0; n < transactions; n++) {
    const own: Array<RowChange<string>> = []
    const found = new Set<number>()
    for (let i = random.int(0, 4); i > 0; i--) {
      const kind = rows.length === 0 ? 0 : random.int(0, 2)
      const old = kind === 0 ? undefined : rows.splice(random.int(0, rows.length - 1), 1)[0]
      const row = kind === 2 ? undefined : some()
      if (row !== undefined) rows.push({ row, by: n })
      if (old !== undefined && old.by !== n) found.add(old.by)
      own.push({ oldRow: old?.row, row })
    }
    changes.push(own)
    foundOf.push(found)
    states.push(rows.map(({ row }) => row).toSorted())
  }
  return { changes, states, foundOf }
}

/** Each of some transactions is seen, for a snapshot that shows a set of transactions: what they leave of the rows. */
const seenBy = (changes: ReadonlyArray<ReadonlyArray<RowChange<string>>>, shown: ReadonlySet<number>) => {
  const rows = new RowsInTime<string>()
  changes.forEach((own, n) => {
    if (shown.has(n)) for (const change of own) rows.apply(change)
  })
  return rows
}

const listOf = (rows: RowsInTime<string>, among: (row: string) => boolean = () => true) =>
  Array.from(rows.rows())
    .filter(among)
    .flatMap((row) => Array.from({ length: rows.count(row) }, () => row))
    .toSorted()

/** The rows as of a transaction, in their order, from those that a query gives one after the other. */
const streamedRows = (
  all: RowsInTime<string>,
  changes: ReadonlyArray<ReadonlyArray<RowChange<string>>>,
  at: number,
  shown: ReadonlySet<number>,
  isCandidate: (row: string) => boolean
): ReadonlyArray<string> => {
  const delta = new RowsInTime<string>()
  changes.forEach((own, n) => {
    if (shown.has(n) === n < at) return
    for (const change of own)
      if (shown.has(n)) delta.undo(change)
      else delta.apply(change)
  })
  const rewound = new RewoundRows(delta.entries(), (row) => row)
  const given: Array<string> = []
  const emit = (row: string) => void given.push(row)
  for (const row of listOf(all, isCandidate)) rewound.take(row, row, emit)
  rewound.end(emit)
  return given.filter(isCandidate)
}

describe("rows in time", () => {
  it("are those after any transaction, whatever snapshot they were read at, and by whatever condition", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    for (let round = 0; round < 300; round++) {
      const { changes, states, foundOf } = history(random, random.int(1, 12))
      const at = random.int(0, changes.length)
      // Some of those around the position are shown, others are not.
      const shown = new Set<number>()
      for (const [n, found] of foundOf.entries())
        if (random.chance(n < at ? 0.8 : 0.5) && [...found].every((by) => shown.has(by))) shown.add(n)
      const all = seenBy(changes, shown)
      const letter = random.pick(["x", "y", "z"])
      const isCandidate = random.chance(0.3) ? () => true : (row: string) => row.endsWith(letter)
      const read = new RowsInTime<string>()
      for (const row of all.rows()) if (isCandidate(row)) read.add(row, all.count(row))
      changes.forEach((own, n) => {
        if (shown.has(n) === n < at) return
        for (const change of own)
          if (shown.has(n)) read.undo(change)
          else read.apply(change)
      })
      const expected = (n: number) => states[n]?.filter(isCandidate)
      assert.deepStrictEqual(listOf(read, isCandidate), expected(at), `seed ${seed}, round ${round}`)
      const streamed = streamedRows(all, changes, at, shown, isCandidate)
      assert.deepStrictEqual(streamed, expected(at), `seed ${seed}, round ${round}, one by one`)
      for (let n = at; n < changes.length; n++) {
        for (const change of changes[n] ?? []) read.apply(change)
        assert.deepStrictEqual(listOf(read, isCandidate), expected(n + 1), `seed ${seed}, round ${round}`)
      }
    }
  })

  it("tell when the first of equal rows comes and the last one goes", () => {
    const told: Array<string> = []
    const rows = new RowsInTime<string>((row, isThere) => told.push(`${isThere ? "+" : "-"}${row}`))
    for (const times of [-1, 1, 1, 1, -1, -1, 1]) rows.add("a", times)
    assert.deepStrictEqual(told, ["+a", "-a", "+a"])
  })
})

describe("a row as one string", () => {
  it("is equal for equal rows only, and gives the row back", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    const known = new Map<string, string>()
    for (let round = 0; round < 2000; round++) {
      const values = Array.from({ length: 3 }, () => random.pick(texts))
      const picked = [2, 0, 1].map((i) => values[i] ?? null)
      const bytes = rowBytes(tupleOf(values), [2, 0, 1])
      const row = rowInto(makeTuple(), bytes, 3)
      assert.deepStrictEqual(
        [0, 1, 2].map((i) => columnText(row, i)),
        picked,
        `seed ${seed}`
      )
      const text = JSON.stringify(picked)
      assert.strictEqual(known.get(bytes) ?? text, text, `seed ${seed}`)
      known.set(bytes, text)
    }
    assert.strictEqual(new Set(known.values()).size, known.size)
  })
})
