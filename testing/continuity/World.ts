import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import pg from "pg"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { eventually } from "../Eventually.ts"
import { type ClusterFiles, filesOf } from "../postgres/Copies.ts"
import { connectForText, selectText } from "../postgres/RowText.ts"
import type { TextRow } from "../postgres/Rows.ts"
import { type Balancer, startBalancer } from "../services/Balancer.ts"
import { startDatabaseProxy } from "../services/DatabaseProxy.ts"
import { type Instances, makeInstances } from "../services/Instances.ts"

/** A database whose server may change behind one address, a service at it, and an address for clients of the service. */
export interface World {
  /** What stands behind the address at the moment. */
  readonly cluster: Cluster
  /** Another one stands behind it from now on; the one before is not needed any more. */
  readonly turnTo: (next: Cluster) => Promise<void>
  /** Files of the database as it was some time ago. */
  readonly backup: ClusterFiles
  /** Takes another one, for which the database is stopped. */
  readonly takeBackup: () => Promise<void>
  readonly instances: Instances
  readonly balancer: Balancer
  readonly slotName: string
  readonly publicationName: string
  /** Runs SQL in a session of its own; without values it may be several statements. */
  readonly query: (sql: string, values?: ReadonlyArray<unknown>) => Promise<void>
  readonly select: (sql: string) => Promise<ReadonlyArray<TextRow>>
  readonly close: () => Promise<void>
}

export const databaseName = "app"
const streamId = "continuity"

const withSession = async <A>(cluster: Cluster, work: (client: pg.Client) => Promise<A>): Promise<A> => {
  const client = await connectForText(cluster.url(databaseName))
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** False when two have waited for one another; throws what else went wrong. */
const falseForDeadlock = (error: unknown): false => {
  if (error instanceof pg.DatabaseError && error.code === "40P01") return false
  throw error
}

/** A database of its own with the tables of `ddl`, and one active instance, with these settings besides. */
export const makeWorld = async (
  ddl: string,
  settings: Readonly<Record<string, string>> = {}
): Promise<World> => {
  let cluster = await startCluster()
  const storageDir = mkdtempSync(path.join(tmpdir(), "baton-continuity-"))
  const admin = await connectForText(cluster.url("postgres"))
  await admin.query(`CREATE DATABASE ${databaseName}`)
  await admin.end()
  await withSession(cluster, (client) => client.query(ddl))
  const copied = async () => {
    await cluster.stop()
    const files = filesOf(cluster)
    await cluster.start()
    return files
  }
  let backup = await copied()
  const front = await startDatabaseProxy(() => cluster.port)
  const instances = await makeInstances({
    databaseUrl: front.url(cluster.url(databaseName)),
    streamId,
    storageDir,
    places: 2,
    env: {
      // Chunks and segments end within a round.
      ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000",
      ELECTRIC_CLEANUP_INTERVAL_MS: "100ms",
      BATON_COMPACTION_MIN_SIZE: "4 KiB",
      BATON_SHUTDOWN_GRACE: "1s",
      ...settings
    }
  })
  const balancer = await startBalancer({ backends: instances.ports, prefers: "active" })
  const world: World = {
    get cluster() {
      return cluster
    },
    turnTo: async (next) => {
      const before = cluster
      cluster = next
      front.cut()
      await before.destroy()
    },
    get backup() {
      return backup
    },
    takeBackup: async () => {
      backup.remove()
      backup = await copied()
    },
    instances,
    balancer,
    slotName: `electric_slot_${streamId}`,
    publicationName: `electric_publication_${streamId}`,
    query: (sql, values) =>
      withSession(cluster, async (client) => {
        const run = () => client.query(sql, values === undefined ? undefined : [...values])
        // The writer locks the same tables in another order; which of the two has to try again, chance decides.
        while (!(await run().then(() => true, falseForDeadlock)));
      }),
    select: (sql) => withSession(cluster, (client) => selectText(client, sql)),
    close: async () => {
      await balancer.close()
      await instances.close()
      await front.close()
      await cluster.destroy()
      backup.remove()
      rmSync(storageDir, { recursive: true, force: true })
    }
  }
  await instances.start()
  await instances.active(60_000)
  return world
}

/** Until the slot is there no more, whoever reads from it. */
export const dropSlot = async ({ query, select, slotName }: World): Promise<void> => {
  await eventually(
    "the slot to be gone",
    async () => {
      await query("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", [
        slotName
      ])
      // One that is in use again cannot be dropped.
      await query(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active",
        [slotName]
      )
      return (
        (await select(`SELECT 1 AS one FROM pg_replication_slots WHERE slot_name = '${slotName}'`)).length ===
        0
      )
    },
    30_000
  )
}
