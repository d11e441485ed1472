import pg from "pg"
import type { TextRow } from "./Rows.ts"

/** How the service has Postgres print values (HTTP protocol, value encoding). */
const displaySettings: Readonly<Record<string, string>> = {
  bytea_output: "hex",
  DateStyle: "ISO, DMY",
  TimeZone: "UTC",
  extra_float_digits: "1",
  IntervalStyle: "iso_8601"
}

const asText = { getTypeParser: () => (value: unknown) => value }

/** A session; losing it is no uncaught exception, the next query reports it. The caller ends it. */
export const connectTo = async (url: string): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: url, application_name: "workload" })
  client.on("error", () => {})
  await client.connect()
  return client
}

/** A session that prints values as the service does. */
export const connectForText = async (url: string): Promise<pg.Client> => {
  const client = await connectTo(url)
  for (const [name, value] of Object.entries(displaySettings)) await client.query(`SET ${name} = '${value}'`)
  return client
}

/** Rows by the text of their output functions. */
export const selectText = async (client: pg.Client, sql: string): Promise<ReadonlyArray<TextRow>> => {
  const result = await client.query<Record<string, string | null>>({ text: sql, types: asText })
  return result.rows
}
