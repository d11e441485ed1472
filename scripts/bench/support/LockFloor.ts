import { Client, type ClientConfig } from "pg"
import type { Socket } from "node:net"
import { nowMillis } from "./Clock.ts"
import type { Database } from "./Cluster.ts"

const key = 7_771_771

interface Walsender {
  readonly lock: () => Promise<void>
  readonly release: () => Promise<void>
  readonly kill: () => void
}

const openWalsender = async (database: Database): Promise<Walsender> => {
  const options: ClientConfig & { readonly replication: "database" } = {
    connectionString: database.url,
    replication: "database"
  }
  const client = new Client(options)
  client.on("error", () => {}) // it is cut off on purpose
  await client.connect()
  const { stream } = (client as Client & { readonly connection: { readonly stream: Socket } }).connection
  return {
    lock: async () => void (await client.query(`SELECT pg_advisory_lock(${key})`)),
    release: () => client.end(),
    kill: () => stream.destroy()
  }
}

/**
 * How long a lock takes from one walsender connection to another that waits for it, with nothing else to do: `release` by
 * a goodbye, `kill` as the operating system ends the connections of a process that is killed.
 */
export const lockTransfer = async (
  database: Database,
  way: "release" | "kill",
  times: number
): Promise<ReadonlyArray<number>> => {
  const found: Array<number> = []
  let holder = await openWalsender(database)
  await holder.lock()
  for (let i = 0; i < times; i++) {
    const next = await openWalsender(database)
    const granted = next.lock().then(nowMillis)
    // It must stand in the queue before the lock is free.
    await waits(database)
    const began = nowMillis()
    if (way === "release") void holder.release()
    else holder.kill()
    found.push((await granted) - began)
    holder = next
  }
  await holder.release()
  return found
}

const waits = async (database: Database): Promise<void> => {
  for (;;) {
    const rows = await database.run(
      `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = ${key} AND NOT granted`
    )
    if (rows.length > 0) return
  }
}
