import { Effect, Fiber } from "effect"
import { assert, describe, it } from "vitest"
import { ItemWriter, ordinaryTransaction } from "../../src/registry/routing/ItemWriter.ts"
import { IdList } from "../../src/registry/routing/Matcher.ts"
import { largeRowBytes } from "../../src/registry/routing/LargeRows.ts"
import { RowWriter } from "../../src/registry/routing/RowWriter.ts"
import { RouteTarget } from "../../src/registry/routing/TableRoute.ts"
import { makeTuple, type Tuple, unchangedToastLength } from "../../src/postgres/Tuple.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { makeShapeLogs } from "../../src/storage/ShapeLogsLive.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import { piecesOf } from "../../testing/readers/Pieces.ts"
import {
  createShape,
  definitionOf,
  openEngine,
  temporaryDirectory,
  writeLateTransaction,
  writingEngine
} from "../storage/support.ts"

const columns = ["id", "a", "b"]

const relation = {
  oid: 1,
  schema: "public",
  name: "items",
  replicaIdentity: "f",
  columns: columns.map((name) => ({ name, typeOid: 25, typeModifier: -1, isKey: name === "id" }))
} as unknown as ConstructorParameters<typeof RouteTarget>[1]

/** Rows without a key in the table have all of their columns in their keys. */
const variants: ReadonlyArray<Partial<ShapeDefinition>> = [
  {},
  { replica: "full" },
  { columns: ["id", "b"] },
  { keyColumns: ["id", "a", "b"], hasPrimaryKey: false }
]

const definitionsOf = (names: ReadonlyArray<string>): ReadonlyArray<ShapeDefinition> =>
  names.map((name, i) => ({
    ...definitionOf(name),
    table: { oid: 1, schema: "public", name: "items" },
    columns,
    tableColumns: columns.map((column) => ({ name: column, typeOid: 25 })),
    ...variants[i % variants.length]
  }))

/** A clock that goes on when it is looked at: everything else has its turn after each piece. */
const hurried = () => {
  let now = 0
  return { ...systemTimers, nowMillis: () => (now += 1000) }
}

interface Side {
  readonly engine: StorageEngine
  readonly target: RouteTarget
  readonly shapes: ReadonlyArray<ShapeState>
}

const sideOf = async (names: ReadonlyArray<string>, directory?: string): Promise<Side> => {
  const engine = await writingEngine(directory, { timers: hurried() })
  const target = new RouteTarget(1, relation, () => ({
    add: () => true,
    remove: () => {},
    match: () => 0,
    takesAll: () => true
  }))
  const shapes = definitionsOf(names).map((definition, i) => {
    const handle = createShape(engine, names[i] ?? "", undefined, definition)
    const shape = engine.store.get(handle.id)
    if (shape === undefined) throw new Error("not created")
    assert.isTrue(target.add(shape))
    return shape
  })
  return { engine, target, shapes }
}

/** All bytes of the log behind the first rows. */
const logOf = (engine: StorageEngine, id: number): Promise<Buffer> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const logs = makeShapeLogs(engine)
      const shape = engine.store.get(id)
      if (shape === undefined) throw new Error("no such shape")
      const parts: Array<Uint8Array> = []
      let at = { tx: 0n, op: 0 } as Parameters<typeof logs.read>[1]
      for (;;) {
        const read = yield* logs.read(shape, at)
        if (read._tag !== "Slice") throw new Error(read._tag)
        const { body } = read
        if (body instanceof Uint8Array) parts.push(body)
        else parts.push(...(yield* Effect.promise(() => piecesOf(body()))))
        at = read.next
        if (read.upToDate) return Buffer.concat(parts)
      }
    })
  )

/** Of a length about that at which something else happens. */
const lengthOf = (random: Random): number =>
  random.pick([
    0,
    random.int(1, 200),
    4096 + random.int(-3, 3),
    128 * 1024 * random.int(1, 3) + random.int(-2, 2),
    largeRowBytes + random.int(-5, 5),
    random.int(largeRowBytes, 1.3 * largeRowBytes)
  ])

const valueOf = (random: Random): Buffer => {
  const value = Buffer.alloc(lengthOf(random))
  const kind = random.int(0, 5)
  const text = Buffer.from('A line of "a document", über /slashes/ and \\ and \u0001.\n日本')
  const fresh = makeRandom(random.int(0, 1e9))
  for (let i = 0; i < value.length; i++) {
    if (kind === 0) value[i] = 0x78
    else if (kind === 1) value[i] = text[i % text.length] as number
    else if (kind === 2) value[i] = fresh.int(1, 255)
    else if (kind === 3) value[i] = fresh.int(1, 31)
    else if (kind === 4) value[i] = fresh.chance(0.001) ? 0x22 : 0x2f
    else value[i] = fresh.pick([0x22, 0x5c, 0x2f, 0x61])
  }
  return value
}

type Value = Buffer | null | "unchanged"

/** Both in one message, as the stream has them. */
const rowsOf = (...rows: ReadonlyArray<ReadonlyArray<Value>>): ReadonlyArray<Tuple> => {
  const buffer = Buffer.concat(rows.flat().flatMap((value) => (value instanceof Buffer ? [value] : [])))
  let at = 0
  const tuples: Array<Tuple> = []
  for (const values of rows) {
    const tuple = makeTuple(values.length)
    tuple.buffer = buffer
    tuple.columnCount = values.length
    values.forEach((value, i) => {
      tuple.starts[i] = at
      tuple.lengths[i] = value === null ? -1 : value === "unchanged" ? unchangedToastLength : value.length
      if (value instanceof Buffer) at += value.length
      else if (value === "unchanged") {
        tuple.starts[i] = tuples[0]?.starts[i] as number
        tuple.lengths[i] = tuples[0]?.lengths[i] as number
      }
    })
    tuples.push(tuple)
  }
  return tuples
}

const idsOf = (ids: ReadonlyArray<number>): IdList => {
  const list = new IdList()
  for (const id of ids) list.push(id)
  return list
}

const someOf = (random: Random, shapes: ReadonlyArray<ShapeState>): IdList =>
  idsOf(shapes.filter(() => random.chance(0.7)).map(({ id }) => id))

interface Change {
  readonly oldRow: Tuple | undefined
  readonly row: Tuple | undefined
  readonly before: IdList
  readonly after: IdList
}

const changeOf = (random: Random, shapes: ReadonlyArray<ShapeState>): Change => {
  const none = idsOf([])
  const id = Buffer.from(String(random.int(1, 1000)))
  const old: ReadonlyArray<Value> = [id, random.chance(0.1) ? null : valueOf(random), valueOf(random)]
  const kind = random.int(0, 4)
  if (kind === 0) {
    const [row] = rowsOf(old)
    return { oldRow: undefined, row, before: none, after: someOf(random, shapes) }
  }
  if (kind === 1) {
    const [oldRow] = rowsOf(old)
    return { oldRow, row: undefined, before: someOf(random, shapes), after: none }
  }
  const next = (i: number): Value => {
    const before = old[i] as Value
    if (random.chance(0.3)) return before instanceof Buffer ? "unchanged" : before
    return random.chance(0.1) ? null : valueOf(random)
  }
  const [oldRow, row] = rowsOf(old, [random.chance(0.3) ? Buffer.from("new") : id, next(1), next(2)])
  const before = someOf(random, shapes)
  return { oldRow, row, before, after: kind === 2 ? before : someOf(random, shapes) }
}

const noForbidden = () => {
  throw new Error("Nothing is forbidden.")
}

const commit = ({ engine }: Side, lsn: bigint): void => {
  const { store, writer } = engine
  if (writer === undefined) throw new Error("not writing")
  const wrote = store.hasPending
  writer.ordinary.commitTransaction(lsn + 8n, wrote)
  if (wrote) store.commit(lsn, lsn + 8n, 7, writer.ordinary.segmentOfTransaction)
  else store.abandon()
  writer.flush()
}

const writerOf = ({ engine }: Side) => {
  if (engine.writer === undefined) throw new Error("not writing")
  return engine.writer
}

describe("large rows", () => {
  const seed = Number(process.env["LARGE_ROWS_SEED"] ?? freshSeed())

  it(`come to the same bytes as small ones, whatever is written meanwhile (LARGE_ROWS_SEED=${seed})`, async () => {
    const random = makeRandom(seed)
    const directory = temporaryDirectory()
    const names = ["one", "two", "three", "four", "five"]
    const paused = await sideOf(names, directory)
    const plain = await sideOf(names)
    const rows = new RowWriter({ engine: paused.engine, writer: writerOf(paused) }, noForbidden)
    const items = new ItemWriter(ordinaryTransaction(plain.engine, writerOf(plain)), noForbidden)
    let pauses = 0
    for (let tx = 1; tx <= 5; tx++) {
      const lsn = BigInt(tx) * 1000n
      for (const { engine } of [paused, plain]) engine.writer?.ordinary.beginTransaction(lsn, 7)
      rows.begin(lsn, 7)
      items.begin(lsn, 7)
      const meanwhile: Array<string> = []
      for (let op = 0; op < 2 * random.int(2, 5); op += 2) {
        const { after, before, oldRow, row } = changeOf(random, paused.shapes)
        rows.write(paused.target, op, oldRow, row, before, after)
        const rest = rows.rest()
        if (rest !== undefined) {
          const fiber = Effect.runFork(rest)
          while (fiber.pollUnsafe() === undefined) {
            pauses++
            if (random.chance(0.2)) writerOf(paused).notice({ t: "passed", xids: [] })
            if (random.chance(0.1)) meanwhile.push(createShape(paused.engine, `other ${pauses}`).handle)
            if (random.chance(0.1))
              writeLateTransaction(paused.engine, 1n, [{ op: 0, ids: [1_000_000] }], "abandon")
            await new Promise((resolve) => setImmediate(resolve))
          }
          await Effect.runPromise(Fiber.join(fiber))
        }
        if (before.count + after.count > 0) items.write(plain.target, op, oldRow, row, before, after)
      }
      for (const side of [paused, plain]) commit(side, lsn)
      for (const handle of meanwhile) assert.isDefined(paused.engine.store.byHandle(handle))
    }
    assert.isAbove(pauses, 10)
    await writerOf(paused).durable()
    const again = await openEngine(directory)
    for (const { id } of plain.shapes) {
      const expected = await logOf(plain.engine, id)
      assert.isAbove(expected.length, largeRowBytes)
      assert.isTrue(expected.equals(await logOf(paused.engine, id)), `shape ${id}, from memory`)
      assert.isTrue(expected.equals(await logOf(again, id)), `shape ${id}, from the file`)
    }
  })

  it("are for none of the shapes that leave in a pause, and for the others", async () => {
    let turns = 1
    for (let leavesAfter = 0; leavesAfter < turns; leavesAfter++) {
      const side = await sideOf(["one", "two", "three"])
      const rows = new RowWriter({ engine: side.engine, writer: writerOf(side) }, noForbidden)
      writerOf(side).ordinary.beginTransaction(1000n, 7)
      rows.begin(1000n, 7)
      const [row] = rowsOf([Buffer.from("1"), Buffer.alloc(1.5 * largeRowBytes, '"'), null])
      rows.write(side.target, 0, undefined, row, idsOf([]), idsOf(side.shapes.map(({ id }) => id)))
      const fiber = Effect.runFork(rows.rest() ?? Effect.void)
      const [one, two, three] = side.shapes
      if (one === undefined || two === undefined || three === undefined) throw new Error("no shapes")
      for (turns = 0; fiber.pollUnsafe() === undefined; turns++) {
        if (turns === leavesAfter) rows.leaves(two.id)
        await new Promise((resolve) => setImmediate(resolve))
      }
      commit(side, 1000n)
      assert.strictEqual(one.tail?.count, 1)
      assert.strictEqual(three.tail?.count, 1)
      assert.strictEqual(two.tail?.count ?? 0, leavesAfter < turns ? 0 : 1)
    }
    assert.isAbove(turns, 5)
  })

  it("leave nothing behind when they are cut off in the middle", async () => {
    const directory = temporaryDirectory()
    const side = await sideOf(["one"], directory)
    const rows = new RowWriter({ engine: side.engine, writer: writerOf(side) }, noForbidden)
    const [row] = rowsOf([Buffer.from("1"), Buffer.alloc(3 * largeRowBytes, "x"), null])
    const [one] = side.shapes
    if (one === undefined) throw new Error("no shape")
    for (let cutAfter = 0; cutAfter < 12; cutAfter++) {
      const lsn = 1000n * BigInt(cutAfter + 1)
      const { ordinary } = writerOf(side)
      ordinary.beginTransaction(lsn, 7)
      rows.begin(lsn, 7)
      rows.write(side.target, 0, undefined, row, idsOf([]), idsOf([one.id]))
      const fiber = Effect.runFork(rows.rest() ?? Effect.void)
      for (let turn = 0; turn < cutAfter; turn++) await new Promise((resolve) => setImmediate(resolve))
      await Effect.runPromise(Fiber.interrupt(fiber))
      const wrote = side.engine.store.hasPending
      ordinary.abandonTransaction()
      side.engine.store.abandon()
      assert.isFalse(wrote)
    }
    // The next one is whole.
    writerOf(side).ordinary.beginTransaction(100_000n, 7)
    rows.begin(100_000n, 7)
    rows.write(side.target, 0, undefined, row, idsOf([]), idsOf([one.id]))
    await Effect.runPromise(rows.rest() ?? Effect.void)
    commit(side, 100_000n)
    await writerOf(side).durable()
    const again = await openEngine(directory)
    const log = JSON.parse(`[${(await logOf(again, one.id)).toString()}]`) as ReadonlyArray<unknown>
    assert.lengthOf(log, 1)
  })
})

describe("rows that waited for a decision", () => {
  it.each([
    ["small", "x"],
    ["large", "x".repeat(1.5 * largeRowBytes)]
  ])("are for none of the shapes that have left meanwhile, %s ones", async (_, text) => {
    const side = await sideOf(["one", "of", "three", "others", "two"])
    const [one, , , , two] = side.shapes
    if (one === undefined || two === undefined) throw new Error("no shapes")
    // The rest are written the same.
    for (const shape of side.shapes) if (shape !== one && shape !== two) side.target.remove(shape)
    assert.isDefined(side.target.onlyVariant)
    const rows = new RowWriter({ engine: side.engine, writer: writerOf(side) }, noForbidden)
    writerOf(side).ordinary.beginTransaction(1000n, 7)
    rows.begin(1000n, 7)
    const [row] = rowsOf([Buffer.from("1"), Buffer.from(text), null])
    const decided = (op: number, before: IdList, after: IdList) => ({
      target: side.target,
      relation,
      op,
      oldRow: before.count > 0 ? row : undefined,
      row: after.count > 0 ? row : undefined,
      askBefore: [],
      askAfter: [],
      before,
      after
    })
    const both = () => idsOf([one.id, two.id])
    const put = [decided(0, idsOf([]), both()), decided(2, both(), idsOf([]))]
    side.target.remove(two)
    await Effect.runPromise(rows.writeDecided(put))
    commit(side, 1000n)
    assert.strictEqual(one.tail?.count, 2)
    assert.strictEqual(two.tail?.count ?? 0, 0)
  })
})
