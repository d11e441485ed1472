import { tmpdir } from "node:os"
import { assert, describe, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { columnText, type Tuple } from "../../../src/postgres/Tuple.ts"
import { ChangePages } from "../../../src/registry/waiting/ChangePages.ts"
import { PageStore } from "../../../src/registry/waiting/PageStore.ts"
import { freshSeed, makeRandom, type Random } from "../../../testing/Random.ts"
import { tupleOf } from "../../../testing/TupleOf.ts"

type Row = ReadonlyArray<string | null> | undefined
type Change = readonly [what: number, op: number, oldRow: Row, row: Row]

const someRow = (random: Random, mostBytes: number): Row =>
  random.chance(0.2)
    ? undefined
    : Array.from({ length: random.int(0, 6) }, () =>
        random.chance(0.2) ? null : "x".repeat(random.int(0, mostBytes)) + String(random.int(0, 100))
      )

const tuple = (row: Row): Tuple | undefined => (row === undefined ? undefined : tupleOf([...row]))
const texts = (row: Tuple | undefined): Row =>
  row === undefined ? undefined : Array.from({ length: row.columnCount }, (_, i) => columnText(row, i))

const read = (pages: ChangePages): ReadonlyArray<Change> =>
  Array.from(pages.entries(), ({ oldRow, op, row, what }) => [what, op, texts(oldRow), texts(row)] as const)

const bytesOf = (row: Row = []): number => row.reduce((sum, text) => sum + (text?.length ?? 0), 0)

describe("changes that wait", () => {
  it("are read as they came, from memory and from a file whose places are used again", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    const store = new PageStore(600_000, [tmpdir()])
    onTestFinished(() => store.close())
    const kept: Array<{ readonly pages: ChangePages; readonly changes: ReadonlyArray<Change> }> = []
    let mostInFile = 0
    let largest = 0
    for (let round = 0; round < 25; round++) {
      const pages = new ChangePages(store)
      const mostBytes = random.pick([10, 1000, random.chance(0.1) ? 700_000 : 10_000])
      const changes = Array.from({ length: random.int(0, 60) }, (_, op): Change => {
        return [random.int(-3, 3), op, someRow(random, mostBytes), someRow(random, mostBytes)]
      })
      for (const [what, op, oldRow, row] of changes) {
        pages.add(what, op, tuple(oldRow), tuple(row))
        largest = Math.max(largest, bytesOf(oldRow) + bytesOf(row))
      }
      kept.push({ pages, changes })
      mostInFile = Math.max(mostInFile, store.fileBytes)
      while (kept.length > random.int(0, 12)) {
        const [first] = kept.splice(random.int(0, kept.length - 1), 1)
        if (first === undefined) break
        assert.deepStrictEqual(read(first.pages), first.changes, `seed ${seed}`)
        first.pages.release()
      }
    }
    for (const { changes, pages } of kept) {
      assert.deepStrictEqual(read(pages), changes, `seed ${seed}`)
      pages.release()
    }
    assert.isAbove(mostInFile, 0, `seed ${seed}`)
    // One page stands open, which is as large as what came to it last.
    assert.deepStrictEqual([store.fileBytes, store.failure], [0, undefined])
    assert.isAtMost(store.memoryBytes, (1 << 20) + largest, `seed ${seed}`)
  })

  it("stay in memory where no directory takes a file, and it is known why", () => {
    const store = new PageStore(0, ["/nowhere/at/all"])
    const pages = new ChangePages(store)
    for (let op = 0; op < 3000; op++) pages.add(0, op, undefined, tupleOf([String(op), "x".repeat(100)]))
    assert.match(store.failure ?? "", /ENOENT/)
    assert.deepStrictEqual(
      read(pages).map(([, op]) => op),
      Array.from({ length: 3000 }, (_, op) => op)
    )
  })
})
