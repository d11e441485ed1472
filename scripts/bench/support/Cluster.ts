import { Client } from "pg"
import { type Cluster, startCluster } from "../../../src/dev/EmbeddedPostgres.ts"
import { onEnd } from "./Cleanup.ts"

/** A Postgres of the benchmark's own, set up as somebody would run it: `fsync` and `synchronous_commit` are on. */
export interface Database {
  readonly cluster: Cluster
  readonly url: string
  /** What it is, for the table: version and the settings that matter. */
  readonly description: string
  /** A further session; closed at the end. */
  readonly session: () => Promise<Client>
  /** Runs statements on a session of its own. */
  readonly run: (sql: string) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>
  readonly stop: () => Promise<void>
}

const settings: Readonly<Record<string, string>> = {
  max_connections: "200",
  shared_buffers: "512MB",
  // So that no checkpoint falls into one run and not into the other.
  max_wal_size: "8GB",
  checkpoint_timeout: "30min",
  autovacuum: "off"
}

export const startDatabase = async (): Promise<Database> => {
  const cluster = await startCluster({ version: 18, settings })
  const url = cluster.url("bench")
  const sessions = new Set<Client>()
  const stop = onEnd(async () => {
    await Promise.allSettled([...sessions].map((client) => client.end()))
    await cluster.destroy()
  })
  const open = async (connectionString: string) => {
    const client = new Client({ connectionString })
    client.on("error", () => {}) // the cluster may go first
    await client.connect()
    sessions.add(client)
    return client
  }
  const admin = await open(cluster.url("postgres"))
  await admin.query("CREATE DATABASE bench")
  const own = await open(url)
  const run = async (sql: string) => {
    const result = await own.query<Record<string, unknown>>(sql)
    return Array.isArray(result) ? ((result as Array<typeof result>).at(-1)?.rows ?? []) : result.rows
  }
  const [version] = await run(
    "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync"
  )
  return {
    cluster,
    url,
    description: `Postgres ${String(version?.["version"])}, fsync ${String(version?.["fsync"])}`,
    session: () => open(url),
    run,
    stop
  }
}

/** "16/B374D848" as a number of bytes. */
export const parseLsn = (text: string): bigint => {
  const [high = "0", low = "0"] = text.split("/")
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

/** The position in the log of Postgres at which the next record will be written. */
export const insertLsn = async (database: Database): Promise<bigint> => {
  const [row] = await database.run("SELECT pg_current_wal_insert_lsn()::text AS lsn")
  return parseLsn(String(row?.["lsn"]))
}
