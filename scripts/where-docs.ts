/** Writes the generated tables of `docs/where-clauses.md`: `npx node scripts/where-docs.ts`. */
import { readFile, writeFile } from "node:fs/promises"
import pg from "pg"
import { startCluster } from "../src/dev/EmbeddedPostgres.ts"
import { documentationTables, withTables } from "./support/WhereDocumentation.ts"
import { loadCatalogue } from "../test/where/support/oracle.ts"

const path = new URL("../docs/where-clauses.md", import.meta.url)
const cluster = await startCluster({ settings: { fsync: "off" } })
const { host, port, user, password } = cluster
const client = new pg.Client({ host, port, user, password, database: "postgres" })
await client.connect()
try {
  const catalogue = await loadCatalogue({
    queryText: async (text) => (await client.query<Record<string, string | null>>(text)).rows
  })
  const page = await readFile(path, "utf8")
  await writeFile(path, withTables(page, documentationTables(catalogue)))
} finally {
  await client.end()
  await cluster.destroy()
}
