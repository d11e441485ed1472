import type { TestProject } from "vitest/node"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"

/** The Postgres 18 cluster that all test files share; each makes a database of its own in it (`database.ts`). */
export interface TestCluster {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

declare module "vitest" {
  export interface ProvidedContext {
    pg: TestCluster
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
  project.provide("pg", { host, port, user, password })
  return () => cluster.destroy()
}
