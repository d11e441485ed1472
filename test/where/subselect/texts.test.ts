import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import {
  codecOf,
  evaluate,
  filterSql,
  loadParser,
  makeRunnable,
  type Plan,
  type StoredExpression
} from "../../../src/where/index.ts"
import { useMembership, noMembership } from "../../../src/where/evaluate/Membership.ts"
import { subselectsOf } from "../../../src/where/evaluate/SubselectsOf.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import { patient } from "../../../testing/Load.ts"
import { compileOver, type Database, readDatabase } from "../support/members.ts"
import { naiveMembership } from "../support/naiveMembership.ts"
import { Random } from "../support/random.ts"
import { randomTables, rowsOf, schemaOf, SubselectGenerator } from "../support/subselectGenerator.ts"

const seed = Number(process.env["WHERE_SEED"] ?? Date.now() % 1_000_000)

/** What is stored beside a condition for those who look for rows in Postgres. */
describe("texts of sub-selects", () => {
  let database: TestDatabase
  let known: Database
  const tables = randomTables(new Random(seed))

  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    known = await readDatabase(
      database,
      `${schemaOf(tables)};\n${rowsOf(new Random(seed), tables)}`,
      tables.map(({ name }) => name)
    )
  })
  afterAll(() => database.drop())

  const idsIn = async (name: string, condition: string): Promise<ReadonlyArray<string>> =>
    (await database.queryText(`SELECT id FROM ONLY ${name} WHERE ${condition} ORDER BY id`)).map(
      (row) => row["id"] ?? ""
    )

  it("a filter holds for every row that a sub-select selects", { timeout: patient(60_000) }, async () => {
    let filters = 0
    for (let i = 0; i < 150; i++) {
      const sql = new SubselectGenerator(new Random(seed + i), tables).clause()
      const compiled = compileOver(known, sql)
      if (Result.isFailure(compiled)) continue
      const expression = compiled.success.expression as StoredExpression
      const membership = (() => {
        try {
          return naiveMembership(compiled.success, known.tables)
        } catch {
          return undefined
        }
      })()
      if (membership === undefined) continue
      for (const { slot, sub } of subselectsOf((JSON.parse(expression.plan) as Plan).root)) {
        const list = expression.constants[slot] ?? "[]"
        const filter = filterSql(sub.filter, list)
        const at = known.tables.findIndex(({ info }) => info.oid === sub.table.oid)
        const table = known.tables[at] ?? assert.fail()
        if (filter === undefined) continue
        filters++
        const ids = new Set(await idsIn(tables[at]?.name ?? "", filter))
        const stored = {
          version: 1,
          plan: JSON.stringify(sub.plan),
          constants: JSON.parse(list) as ReadonlyArray<string>,
          columns: []
        }
        const runnable = makeRunnable({ sql: "", expression: stored }, table.columns)
        useMembership(membership)
        const all = await idsIn(tables[at]?.name ?? "", "true")
        for (const [row, tuple] of table.rows.entries()) {
          useMembership(membership)
          if (evaluate(runnable, tuple).kind === "true")
            assert.isTrue(
              ids.has(all[row] ?? ""),
              `WHERE_SEED=${seed + i}: ${sql}: ${filter}, row ${all[row] ?? ""}`
            )
        }
      }
    }
    useMembership(noMembership)
    assert.isAbove(filters, 10)
  })

  it("what is asked with is the same in Postgres", async () => {
    const clauses = [
      "id + 1 IN (SELECT id FROM t1)",
      "EXISTS (SELECT 1 FROM t1 WHERE t1.id::numeric = t0.id)",
      "coalesce(id, 5)::numeric IN (SELECT t2.id FROM t2 WHERE t2.id = t0.id)"
    ]
    const [own] = known.tables
    const texts: Array<unknown> = []
    for (const sql of clauses) {
      const compiled = compileOver(known, sql)
      if (Result.isFailure(compiled) || own === undefined) return assert.fail(sql)
      const { constants, moves, plan } = compiled.success.expression as StoredExpression
      texts.push(...(moves ?? []))
      const runnable = makeRunnable(compiled.success, own.columns)
      const values = runnable.compiled.load(constants)
      for (const [i, form] of subselectsOf((JSON.parse(plan) as Plan).root).entries())
        for (const [j, part] of [...form.group, ...form.probe].entries()) {
          const text = [...(moves?.[i]?.group ?? []), ...(moves?.[i]?.probe ?? [])][j]
          if (text == null) continue
          const { read, write } = codecOf(form.sub.keys[j]?.type ?? "text", "c")
          const rows = await database.queryText(`SELECT ${text} AS v FROM ONLY t0 ORDER BY id`)
          const closure = runnable.compiled.closureOf(part)
          for (const [row, tuple] of own.rows.entries()) {
            runnable.reader.load(tuple)
            const value = closure(values)
            const theirs = rows[row]?.["v"] ?? null
            assert.strictEqual(
              value === null ? null : write(value),
              theirs === null ? null : write(read(theirs)),
              sql
            )
          }
        }
    }
    // What can overflow is not computed for other rows than those of the shape.
    assert.deepStrictEqual(texts, [
      { group: [], probe: [null], types: ["bigint"] },
      { group: ["(id)::numeric"], probe: [], types: ["numeric"] },
      { group: ["id"], probe: ["(COALESCE(id, 5))::numeric"], types: ["bigint", "numeric"] }
    ])
  })
})
