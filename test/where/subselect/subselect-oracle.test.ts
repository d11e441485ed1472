import { Effect, Result } from "effect"
import { afterEach, assert, beforeAll, describe, it } from "vitest"
import { loadParser } from "../../../src/where/index.ts"
import { patient } from "../../../testing/Load.ts"
import { createDatabase, type TestDatabase } from "../../../testing/postgres/Database.ts"
import {
  compileOver,
  type Database,
  readDatabase,
  readTables,
  verdictsOf,
  verdictsOfPostgres
} from "../support/members.ts"
import { Random } from "../support/random.ts"
import {
  randomTables,
  rowsOf,
  schemaOf,
  SubselectGenerator,
  type TableOf
} from "../support/subselectGenerator.ts"

/** `WHERE_SEED=n` replays a run; without it every run tries other clauses. */
const firstSeed = Number(process.env["WHERE_SEED"] ?? Math.floor(Date.now() / 1000) % 100_000_000)
const wanted = Number(process.env["WHERE_CLAUSES"] ?? 600)
const schemas = Number(process.env["WHERE_SCHEMAS"] ?? 4)

interface Tally {
  compared: number
  /** Clauses that we refuse, by why. */
  readonly refused: Map<string, number>
  /** Clauses with an error in some row. */
  failed: number
  readonly differences: Array<string>
  /** Rows for which clauses were true, false and NULL. */
  readonly verdicts: { t: number; f: number; n: number }
}

/** Whether it is Postgres' opinion that this is a condition. */
const acceptedByPostgres = (known: Database, sql: string): Promise<boolean> =>
  verdictsOfPostgres(known, sql).then(
    () => true,
    () => false
  )

const compareOne = async (
  known: Database,
  tables: ReadonlyArray<TableOf>,
  seed: number,
  tally: Tally
): Promise<void> => {
  const sql = new SubselectGenerator(new Random(seed), tables).clause()
  const differs = (what: string): void => void tally.differences.push(`WHERE_SEED=${seed}: ${sql}\n  ${what}`)
  const compiled = compileOver(known, sql)
  if (Result.isFailure(compiled)) {
    const isOurs = / this sub-select | a sub-select /.test(compiled.failure.message)
    if (!isOurs && (await acceptedByPostgres(known, sql))) differs(`refused: ${compiled.failure.message}`)
    const why = compiled.failure.message.replaceAll(/At location \d+: |\b(?:t\d|[a-f]|id|"E e")\b/g, "")
    tally.refused.set(why, (tally.refused.get(why) ?? 0) + 1)
    return
  }
  const ask = (text: string): Promise<string | undefined> =>
    verdictsOfPostgres(known, text).catch((failure: unknown) => String(failure))
  const expected = await ask(sql)
  const printed = await ask(compiled.success.sql)
  const ours = verdictsOf(known, compiled.success)
  if (expected === undefined || printed === undefined || ours.includes("e")) {
    tally.failed++
    return
  }
  tally.compared++
  for (const verdict of expected) tally.verdicts[verdict as "t"]++
  if (printed !== expected) differs(`Postgres says ${expected}, and ${printed} to ${compiled.success.sql}`)
  if (ours !== expected) differs(`Postgres says ${expected}, we say ${ours}: ${compiled.success.sql}`)
}

describe("random conditions with sub-selects mean what Postgres says", () => {
  let database: TestDatabase | undefined
  beforeAll(() => Effect.runPromise(loadParser))
  afterEach(() => database?.drop())

  it.each(Array.from({ length: schemas }, (_, i) => firstSeed + i * 1_000_003))(
    "over tables of seed %i",
    { timeout: patient(120_000) },
    async (seed) => {
      database = await createDatabase()
      const tables = randomTables(new Random(seed))
      const tally: Tally = {
        compared: 0,
        refused: new Map(),
        failed: 0,
        differences: [],
        verdicts: { t: 0, f: 0, n: 0 }
      }
      const names = tables.map(({ name }) => name)
      let known = await readDatabase(database, schemaOf(tables), names)
      for (let i = 0; i < wanted / schemas && tally.differences.length < 5; i++) {
        if (i % 30 === 0) {
          for (const statement of rowsOf(new Random(seed + i), tables).split(";\n"))
            await database.queryText(statement)
          known = { ...known, tables: await readTables(database, names) }
        }
        await compareOne(known, tables, seed + i, tally)
      }
      if (process.env["WHERE_VERBOSE"] !== undefined) console.log(tally)
      assert.deepStrictEqual(tally.differences, [], `WHERE_SEED=${seed}`)
      assert.isAbove(tally.compared, (wanted / schemas) * 0.5, JSON.stringify([...tally.refused]))
      assert.isBelow(tally.failed, wanted / schemas / 5)
      for (const count of Object.values(tally.verdicts)) assert.isAbove(count, tally.compared / 5)
    }
  )
})
