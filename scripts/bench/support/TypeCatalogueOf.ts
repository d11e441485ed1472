import { Effect } from "effect"
import { Client } from "pg"
import { startCluster } from "../../../src/dev/EmbeddedPostgres.ts"
import { loadParser, loadTypeCatalogue, type TypeCatalogue } from "../../../src/where/index.ts"

/** The types and functions of an embedded Postgres, which has ended by then; the parser is loaded too. */
export const typeCatalogue = async (): Promise<TypeCatalogue> => {
  const cluster = await startCluster({ settings: { fsync: "off" } })
  const client = new Client({ connectionString: cluster.url("postgres") })
  await client.connect()
  const catalogue = await Effect.runPromise(
    loadTypeCatalogue((sql) =>
      Effect.promise(async () => (await client.query<Record<string, unknown>>(sql)).rows)
    )
  )
  await client.end()
  await cluster.destroy()
  await Effect.runPromise(loadParser)
  return catalogue
}
