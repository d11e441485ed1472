import { readFileSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, inject, it } from "vitest"
import type { TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { ask, databaseForTest, roleForTest, serviceForTest } from "./support/faults.ts"
import { patient } from "../../testing/Load.ts"

const page = readFileSync(path.resolve(import.meta.dirname, "../../docs/database-role.md"), "utf8")

/** The statements of one of the page's blocks. */
const statementsOf = (block: string): ReadonlyArray<string> => {
  const found = new RegExp(`\`\`\`sql ${block}\n([^\`]*)\`\`\``).exec(page)?.[1]
  assert.isDefined(found, `the page has a block "${block}"`)
  return (found ?? "").trim().split("\n")
}

/** With the names that a test has, on the server that it has. */
const namedFor = (database: TestDatabase, role: string, statement: string): string => {
  const named = statement
    .replaceAll(/"(baton|reader)"/g, `"${role}"`)
    .replaceAll('"app"', `"${database.name}"`)
    .replaceAll("electric_publication_default", database.publicationName)
  return inject("pg").majorVersion < 18 ? named.replace(/ WITH \(publish_generated.*\)/, "") : named
}

const shop = `CREATE SCHEMA shop; CREATE TABLE shop.items (id int PRIMARY KEY, v int); INSERT INTO shop.items VALUES (1, 1)`

interface Case {
  readonly block: string
  readonly env?: Readonly<Record<string, string>>
  /** The page has a role that only reads. */
  readonly pooled?: boolean
}

/** A database and a fresh role to which the page's statements have been applied, but for one. */
const prepare = async ({ block, env, pooled }: Case, without: number | undefined) => {
  const database = await databaseForTest()
  const role = await roleForTest(database, "")
  const statements = statementsOf(block).map((statement) => namedFor(database, role.name, statement))
  await database.query(shop)
  for (const [i, statement] of statements.entries()) {
    // What builds upon the one that is left out fails with it.
    if (i !== without)
      await database.query(statement).catch((error: unknown) => assert.isDefined(without, String(error)))
  }
  const start = {
    database,
    env: {
      ...env,
      ...(pooled === true ? { ELECTRIC_POOLED_DATABASE_URL: role.url } : { DATABASE_URL: role.url })
    },
    until: false
  } as const
  return { database, start, missing: without === undefined ? "" : (statements[without] ?? "") }
}

const cases: ReadonlyArray<Case> = [
  { block: "automatic" },
  { block: "manual", env: { ELECTRIC_MANUAL_TABLE_PUBLISHING: "true" } },
  { block: "pooled", pooled: true }
]

describe('the SQL of the page "The database role"', () => {
  for (const given of cases) {
    it(`is all that is needed: ${given.block}`, async () => {
      const { database, start } = await prepare(given, undefined)
      const service = await serviceForTest(start)
      await service.until("active")
      const first = await ask(service.url, { table: "shop.items" })
      assert.strictEqual(first.status, 200, first.body)
      await database.query("UPDATE shop.items SET v = 2")
      await eventually("the change arrives", async () => {
        const more = await ask(service.url, {
          table: "shop.items",
          handle: first.handle ?? "",
          offset: "0_0"
        })
        return more.body.includes('"v":"2"')
      })
    })

    it(`is told by the log when it lacks: ${given.block}`, { timeout: patient(120_000) }, async () => {
      await Promise.all(
        statementsOf(given.block).map(async (_, without) => {
          const { missing, start } = await prepare(given, without)
          const service = await serviceForTest(start)
          await eventually(`the log has: ${missing}`, async () => {
            if (service.logs().includes(missing)) return true
            const { status } = await ask(service.url, { table: "shop.items" })
            if (status === 200) throw new Error("a shape can be had without it")
            return service.logs().includes(missing)
          })
          await service.dispose()
        })
      )
    })
  }

  it("lets a role read tables with row level security", async () => {
    const database = await databaseForTest()
    const role = await roleForTest(database, "")
    const run = async (block: string) => {
      for (const statement of statementsOf(block))
        await database.query(namedFor(database, role.name, statement))
    }
    await database.query(
      `${shop}; ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`
    )
    await run("automatic")
    const service = await serviceForTest({ database, env: { DATABASE_URL: role.url } })
    const told = async (block: string) => {
      assert.strictEqual((await ask(service.url, { table: "shop.items" })).status, 503)
      for (const statement of statementsOf(block))
        await eventually(statement, () => service.logs().includes(namedFor(database, role.name, statement)))
    }
    await told("row security")
    await told("forced row security")
    await run("forced row security")
    assert.strictEqual((await ask(service.url, { table: "shop.items" })).status, 200)
    await database.query("ALTER TABLE shop.items FORCE ROW LEVEL SECURITY")
    await run("row security")
    const all = await ask(service.url, { table: "shop.items", columns: "id" })
    assert.deepStrictEqual(all.rows, [{ id: "1" }])
  })
})
