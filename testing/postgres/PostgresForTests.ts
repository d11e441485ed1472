import type { TestProject } from "vitest/node"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { majorVersionOf, postgresBinaries, postgresUser } from "../../src/dev/PostgresBinaries.ts"

/** The Postgres 18 cluster that all test files share; each makes a database of its own in it (`database.ts`). */
export interface TestCluster {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

export interface SharedCluster extends TestCluster {
  /** 18, unless `BATON_DEV_POSTGRES` names another installation. */
  readonly majorVersion: number
}

declare module "vitest" {
  export interface ProvidedContext {
    pg: SharedCluster
  }
}

/** Started once per run. It ends with the run, also when that is interrupted or killed. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const cluster = await startCluster({
    settings: {
      fsync: "off",
      full_page_writes: "off",
      max_connections: "300",
      max_wal_senders: "64",
      max_replication_slots: "64"
    }
  })
  const { host, port, user, password } = cluster
  const postgres = postgresUser()
  const majorVersion = Number(majorVersionOf(await postgresBinaries(18, postgres), postgres))
  project.provide("pg", { host, port, user, password, majorVersion })
  return () => cluster.destroy()
}
