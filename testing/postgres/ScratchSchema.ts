import pg from "pg"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import type { Session } from "../../test/where/support/oracle.ts"

/** A schema of its own in some database, gone when it is disposed of. */
export interface ScratchSchema extends AsyncDisposable {
  readonly session: Session
}

/** Opens one in the database of the URL, or in an embedded Postgres that is started for it. */
export const openScratchSchema = async (
  prefix: string,
  databaseUrl: string | undefined
): Promise<ScratchSchema> => {
  const cluster = databaseUrl === undefined ? await startCluster({ settings: { fsync: "off" } }) : undefined
  const client = new pg.Client({ connectionString: cluster?.url("postgres") ?? databaseUrl })
  await client.connect()
  const schema = `${prefix}_${process.pid}`
  await client.query(`CREATE SCHEMA ${schema}; SET search_path = ${schema}`)
  const session: Session = {
    queryText: async (text, values) => {
      const result = await client.query<Record<string, string | null>>({
        text,
        types: { getTypeParser: () => (value: unknown) => value },
        ...(values === undefined ? {} : { values: [...values] })
      })
      return result.rows
    }
  }
  return {
    session,
    [Symbol.asyncDispose]: async () => {
      await client.query(`DROP SCHEMA ${schema} CASCADE`)
      await client.end()
      await cluster?.destroy()
    }
  }
}
