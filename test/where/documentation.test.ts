import { readFile } from "node:fs/promises"
import { afterAll, assert, beforeAll, describe, inject, it } from "vitest"
import type { TypeCatalogue } from "../../src/where/catalogue/TypeCatalogue.ts"
import { documentationTables, withTables } from "../../scripts/support/WhereDocumentation.ts"
import { natives } from "../../src/where/native/index.ts"
import { builtinKey } from "../../src/where/resolve/Volatility.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { loadCatalogue } from "./support/oracle.ts"

describe("docs/where-clauses.md", () => {
  let database: TestDatabase
  let catalogue: TypeCatalogue
  beforeAll(async () => {
    database = await createDatabase()
    catalogue = await loadCatalogue(database)
  })
  afterAll(() => database.drop())

  // The page is about the newest version.
  it.skipIf(inject("pg").majorVersion < 18)(
    "lists what is registered (otherwise run `npx node scripts/where-docs.ts`)",
    async () => {
      const page = await readFile(new URL("../../docs/where-clauses.md", import.meta.url), "utf8")
      assert.strictEqual(page, withTables(page, documentationTables(catalogue)))
    }
  )

  it("and every registered function exists in Postgres", () => {
    const known = new Set(catalogue.allFunctions().map((entry) => builtinKey(catalogue, entry)))
    const missing = [...natives.keys()].filter((key) => !known.has(key))
    assert.deepStrictEqual(missing, [])
  })
})
