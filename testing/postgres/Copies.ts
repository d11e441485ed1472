import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, statSync, chownSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { type Cluster, startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { eventually } from "../Eventually.ts"
import type { TextRow } from "./Rows.ts"
import { connectTo, selectText } from "./RowText.ts"

/** Files of a cluster as they were when it was stopped: a backup, and what a standby is made of. */
export interface ClusterFiles {
  /** Starts a cluster from a copy of them; it is removed with `destroy`. */
  readonly start: (settings?: Readonly<Record<string, string>>) => Promise<Cluster>
  /** The same as a standby that follows the primary. */
  readonly startStandby: (primary: Cluster, settings?: Readonly<Record<string, string>>) => Promise<Cluster>
  readonly remove: () => void
}

const copy = (from: string): string => {
  const directory = mkdtempSync(path.join(tmpdir(), "baton-copy-"))
  execFileSync("cp", ["-a", path.join(from, "data"), directory])
  execFileSync("chmod", ["755", directory])
  return directory
}

const startFrom = async (
  files: string,
  settings: Readonly<Record<string, string>>,
  prepare: (data: string) => void
): Promise<Cluster> => {
  const directory = copy(files)
  const data = path.join(directory, "data")
  rmSync(path.join(data, "postmaster.pid"), { force: true })
  prepare(data)
  const cluster = await startCluster({ directory, settings })
  return Object.defineProperty(Object.create(cluster) as Cluster, "destroy", {
    value: async () => {
      await cluster.stop("immediate")
      rmSync(directory, { recursive: true, force: true })
    }
  })
}

/** Of a cluster that is stopped. */
export const filesOf = ({ directory }: Cluster): ClusterFiles => {
  const files = copy(directory)
  return {
    start: (settings = {}) => startFrom(files, settings, () => {}),
    startStandby: ({ host, password, port, user }, settings = {}) =>
      startFrom(
        files,
        {
          // The database is for what keeps logical slots.
          primary_conninfo: `host=${host} port=${port} user=${user} password=${password} dbname=postgres`,
          ...settings
        },
        (data) => {
          const signal = path.join(data, "standby.signal")
          writeFileSync(signal, "")
          const { gid, uid } = statSync(data)
          chownSync(signal, uid, gid)
        }
      ),
    remove: () => rmSync(files, { recursive: true, force: true })
  }
}

/** One statement in a session of its own; values are texts. */
export const queryIn = async (
  cluster: Cluster,
  sql: string,
  database = "postgres"
): Promise<ReadonlyArray<TextRow>> => {
  const client = await connectTo(cluster.url(database))
  try {
    return await selectText(client, sql)
  } finally {
    await client.end()
  }
}

/** Until the standby has everything that the primary has written until now. */
export const caughtUp = async (primary: Cluster, standby: Cluster): Promise<void> => {
  const [end] = await queryIn(primary, "SELECT pg_current_wal_lsn() AS lsn")
  await eventually("the standby has all of it", async () => {
    const [row] = await queryIn(standby, `SELECT pg_last_wal_replay_lsn() >= '${end?.["lsn"]}' AS is`)
    return row?.["is"] === "t"
  })
}

/** Completes when the standby is a primary. */
export const promote = async (standby: Cluster): Promise<void> => {
  await queryIn(standby, "SELECT pg_promote()")
}
