import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { tupleOf } from "../../testing/TupleOf.ts"
import {
  clearMatchList,
  compileWhere,
  evaluate,
  FilterIndex,
  loadParser,
  makeMatchList,
  makeRunnable,
  type CompiledWhere,
  type RunnableClause
} from "../../src/where/index.ts"
import { workedMillis } from "../../testing/Load.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { Generator } from "./support/generator.ts"
import { fillRows, makeOracle, oracleOver, type Oracle } from "./support/oracle.ts"
import { Random } from "./support/random.ts"
import { shopTable } from "./support/shop.ts"
import { columnName, edgeValues, type OracleType } from "./support/values.ts"

const firstSeed = Number(process.env["WHERE_SEED"] ?? Math.floor(Date.now() / 1000) % 100_000_000)

/** Of `LIKE`, with the beginning of some text or without one. */
const pattern = (random: Random): string => {
  const text = random.pick<string>(edgeValues.text).replaceAll("'", "''")
  const begins = text.slice(0, random.below(text.length + 1)).replaceAll(/[%_\\]$/g, "")
  return `${begins}${random.pick(["", "%", "%b%", "_", "_%", "\\%", "%\\_"])}`
}

/** Clauses of the kinds that an index answers, alone and combined. */
const indexable = (random: Random): string => {
  const types: ReadonlyArray<OracleType> = [
    "int4",
    "int8",
    "numeric",
    "float8",
    "text",
    "date",
    "timestamptz",
    "uuid",
    "bool",
    "mood",
    "inet",
    "interval",
    "bpchar"
  ]
  const literal = (type: OracleType): string =>
    `'${random.pick<string>(edgeValues[type]).replaceAll("'", "''")}'`
  const simple = (): string => {
    const type = random.pick(types)
    const column = `"${columnName(type, random.pick([1, 2]))}"`
    const array = `"${columnName("int4[]", random.pick([1, 2]))}"`
    return random.pick([
      () => `${column} = ${literal(type)}`,
      () => `${literal(type)} = ${column}`,
      () => `${column} IN (${literal(type)}, ${literal(type)}, NULL)`,
      () => `${column} IS NULL`,
      () => `${column} = ANY (ARRAY[${literal(type)}, ${literal(type)}]::${type}[])`,
      () => `${column} ${random.pick(["<", "<=", ">", ">="])} ${literal(type)}`,
      () => `${column} BETWEEN ${literal(type)} AND ${literal(type)}`,
      () => `${array} @> '{${random.pick(["1", "1,2", "", "NULL", "42"])}}'`,
      () => `'{${random.pick(["1", "2,1"])}}' <@ ${array}`,
      () => `${array} && '{${random.pick(["1,2", "", "7,NULL"])}}'`,
      () => `${random.pick(["1", "42"])} = ANY (${array})`,
      () => `lower("text_1") = 'abc'`,
      () => `"text_${random.pick([1, 2])}" LIKE '${pattern(random)}'`,
      () => `lower("text_1") LIKE '${pattern(random)}'`,
      () => `"bool_${random.pick([1, 2])}"`,
      () => `NOT "bool_${random.pick([1, 2])}"`,
      () => `"int4_1" = 5.0`,
      () => `"float8_1" = 1`,
      () => `length("text_2") = 3`
    ])()
  }
  const combined = (depth: number): string => {
    if (depth === 0 || random.chance(0.4)) return simple()
    const parts = Array.from({ length: 2 + random.below(2) }, () => combined(depth - 1))
    return `(${parts.join(random.pick([" AND ", " OR "]))})`
  }
  return combined(2)
}

const compile = (on: Oracle, sql: string): CompiledWhere | undefined => {
  const result = compileWhere({ sql, params: {}, table: on.table.info, catalogue: on.catalogue })
  return Result.isSuccess(result) ? result.success : undefined
}
const runnable = (on: Oracle, sql: string): RunnableClause => {
  const clause = compile(on, sql)
  if (clause === undefined) throw new Error(`refused: ${sql}`)
  return makeRunnable(clause, on.table.columns)
}

describe("the filter index", () => {
  let database: TestDatabase
  let oracle: Oracle
  let shop: Oracle
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    oracle = await makeOracle(database)
    await fillRows(oracle, new Random(firstSeed), 60)
    shop = await oracleOver(database, "orders", shopTable)
  })
  afterAll(() => database.drop())

  it("finds exactly the shapes that evaluating all of them finds", () => {
    const random = new Random(firstSeed)
    const generator = new Generator(random)
    const index = new FilterIndex(oracle.table.columns)
    const clauses = new Map<number, { readonly sql: string; readonly clause: RunnableClause }>()
    const kinds = new Map<string, number>()
    for (let id = 1; id <= 1500; id++) {
      const sql = random.chance(0.8) ? indexable(random) : generator.condition(2)
      const compiled = compile(oracle, sql)
      if (compiled === undefined) continue
      kinds.set(compiled.classification, (kinds.get(compiled.classification) ?? 0) + 1)
      const clause = makeRunnable(compiled, oracle.table.columns)
      clauses.set(id, { sql, clause })
      index.add(id, clause)
      // Removal and replacement have to leave no trace.
      if (random.chance(0.2)) {
        const victim = 1 + random.below(id)
        index.remove(victim)
        clauses.delete(victim)
      }
    }
    assert.isAbove(kinds.get("indexed") ?? 0, 600)
    const out = makeMatchList()
    for (const [number, row] of oracle.rows.entries()) {
      clearMatchList(out)
      index.match(row, out)
      const found = [...out.ids.subarray(0, out.count)]
      assert.strictEqual(new Set(found).size, found.length, "a shape was found twice")
      const undecided = new Set(out.undecided)
      const failed = new Set(out.errors.map((error) => error.shapeId))
      const matches = new Set(found)
      for (const [id, { sql, clause }] of clauses) {
        const verdict = evaluate(clause, row).kind
        const shown = `seed ${firstSeed}, row ${number + 1}, ${sql}: ${verdict}`
        if (verdict === "true") assert.isTrue(matches.has(id), `missed: ${shown}`)
        else if (verdict === "failed") assert.isFalse(matches.has(id) || undecided.has(id), `wrong: ${shown}`)
        else if (verdict === "undecided") assert.isFalse(failed.has(id), `wrong: ${shown}`)
        else assert.isFalse(matches.has(id) || failed.has(id) || undecided.has(id), `found: ${shown}`)
      }
    }
    for (const id of clauses.keys()) index.remove(id)
    assert.strictEqual(index.size, 0)
    const row = oracle.rows[0]
    assert.isDefined(row)
    clearMatchList(out)
    if (row !== undefined) index.match(row, out)
    assert.strictEqual(out.count + out.errors.length + out.undecided.length, 0)
  })

  it("finds shapes without clause for every row", () => {
    const index = new FilterIndex(shop.table.columns)
    index.add(1, undefined)
    index.add(2, runnable(shop, "tenant_id = 1"))
    const out = makeMatchList()
    const row = shop.rows[2]
    if (row !== undefined) index.match(row, out)
    assert.deepStrictEqual([...out.ids.subarray(0, out.count)], [1])
    index.remove(1)
    assert.strictEqual(index.size, 1)
  })

  it("reports errors by shape, without losing the others", () => {
    const index = new FilterIndex(shop.table.columns)
    index.add(1, runnable(shop, "10 / quantity = 3"))
    index.add(2, runnable(shop, "10 / id > 0"))
    index.add(3, runnable(shop, "title::int = 1"))
    index.add(4, runnable(shop, "tenant_id = 1"))
    const out = makeMatchList()
    const row = shop.rows[4]
    if (row !== undefined) index.match(row, out)
    assert.sameMembers([...out.ids.subarray(0, out.count)], [2, 4])
    assert.sameMembers(
      out.errors.map((error) => error.shapeId),
      [1, 3]
    )
    assert.include(out.errors.map((error) => error.message).join(), "division by zero")
  })

  it("keeps clauses for Postgres away from rows that their other conditions rule out", () => {
    const index = new FilterIndex(shop.table.columns)
    const slow = "to_tsvector('english', title) @@ to_tsquery('english', 'hello')"
    index.add(1, runnable(shop, `tenant_id = 1 AND ${slow}`))
    index.add(2, runnable(shop, `id = 1 OR ${slow}`))
    const out = makeMatchList()
    const asked = shop.rows.map((row) => {
      clearMatchList(out)
      index.match(row, out)
      return [[...out.ids.subarray(0, out.count)], out.undecided.toSorted()]
    })
    assert.deepStrictEqual(asked, [
      [[2], [1]],
      [[], [1, 2]],
      [[], [2]],
      [[], [2]],
      [[], [1, 2]],
      [[], [2]]
    ])
  })

  it("shares one plan between clauses that differ in constants only, also when they come from storage", () => {
    const stored = [1, 2, 3].map(
      (n) => JSON.parse(JSON.stringify(compile(shop, `tenant_id = ${n}`))) as CompiledWhere
    )
    const made = stored.map((clause) => makeRunnable(clause, shop.table.columns))
    assert.strictEqual(new Set(made.map((clause) => clause.compiled)).size, 1)
  })

  it("reads the columns by name, wherever a partition has them", () => {
    const clause = compile(shop, "tenant_id = 1 AND title = 'x'")
    assert.isDefined(clause)
    if (clause === undefined) return
    const columns = shop.table.columns
      .filter((column) => ["id", "title", "tenant_id"].includes(column.name))
      .toReversed()
    const there = makeRunnable(clause, columns)
    const values: Readonly<Record<string, string>> = { id: "9", title: "x", tenant_id: "1" }
    assert.strictEqual(
      evaluate(there, tupleOf(columns.map((column) => values[column.name] ?? null))).kind,
      "true"
    )
    assert.throws(() => makeRunnable(clause, columns.slice(0, 1)))
  })

  it("finds shapes by the beginning of a text, however long it is, and forgets them", () => {
    const index = new FilterIndex(shop.table.columns)
    const path = `${"deep/".repeat(40)}er`
    const patterns = [
      "%",
      "",
      "d%",
      "de_p%",
      "deep/d%",
      `${path}%`,
      `${path}x%`,
      "e%",
      "%er",
      "deep\\%",
      path
    ]
    for (const [id, one] of patterns.entries()) index.add(id, runnable(shop, `title LIKE '${one}'`))
    // So many are found by nothing else: none of them is evaluated.
    for (let id = 100; id < 3000; id++) index.add(id, runnable(shop, `title LIKE 'item ${id}/%'`))
    const titled = (title: string) =>
      tupleOf(shop.table.columns.map(({ name }) => (name === "title" ? title : name === "id" ? "1" : null)))
    const out = makeMatchList()
    const found = (title: string) => {
      clearMatchList(out)
      index.match(titled(title), out)
      return [...out.ids.subarray(0, out.count)].toSorted((a, b) => a - b)
    }
    assert.deepStrictEqual(found(path), [0, 2, 3, 4, 5, 8, 10])
    assert.deepStrictEqual(found("item 777/files/1"), [0, 777])
    assert.deepStrictEqual(found(""), [0, 1])
    for (let id = 0; id < 3000; id++) index.remove(id)
    assert.strictEqual(index.size, 0)
    assert.deepStrictEqual(found(path), [])
  })

  it("chooses the condition that the fewest other shapes share", () => {
    const index = new FilterIndex(shop.table.columns)
    for (let id = 0; id < 2000; id++)
      index.add(id, runnable(shop, `title = 'open' AND tenant_id = ${id} AND price > 1`))
    const row = tupleOf(
      shop.table.columns.map(
        (column) => ({ title: "open", tenant_id: "77", price: "2", id: "1" })[column.name] ?? null
      )
    )
    const out = makeMatchList()
    const started = workedMillis()
    for (let i = 0; i < 100; i++) {
      clearMatchList(out)
      index.match(row, out)
    }
    assert.deepStrictEqual([...out.ids.subarray(0, out.count)], [77])
    assert.isBelow(
      workedMillis() - started,
      100,
      "2,000 shapes that share a status must not all be evaluated"
    )
  })
})
