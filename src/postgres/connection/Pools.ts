import { Context, Effect, Layer } from "effect"
import type { BatonConfig, DatabaseTarget } from "../../config/BatonConfig.ts"
import { Config } from "../../config/BatonConfig.ts"
import {
  type ConnectionConfig,
  displaySettings,
  errorSubject,
  poolOptions,
  serverTcpSettings
} from "./ConnectionOptions.ts"
import { makeSessionPool, type SessionPool } from "./SessionPool.ts"

/** How the connections of `ELECTRIC_DB_POOL_SIZE` are divided: a quarter, 1 to 4, for administration. */
export const splitPoolSize = (total: number): { readonly admin: number; readonly snapshot: number } => {
  const admin = Math.min(Math.max(Math.floor(total / 4), 1), 4)
  return { admin, snapshot: Math.max(total - admin, admin) }
}

/**
 * Connections for snapshots when HTTP workers read subsets by themselves: half of them stay with the main process, which
 * makes the shapes, and the workers share the rest. At least one for each, so a small pool may be exceeded.
 */
export const shareSnapshotPool = (
  total: number,
  workers: number
): { readonly main: number; readonly worker: number } => {
  const { snapshot } = splitPoolSize(total)
  if (workers === 0) return { main: snapshot, worker: 0 }
  const worker = Math.max(1, Math.floor(snapshot / 2 / workers))
  return { main: Math.max(1, snapshot - worker * workers), worker }
}

/** Waiting longer than this for a connection means that something else is wrong. */
const acquireTimeoutMillis = 15_000
/** Administrative statements are short; what may take long sets its own limits inside a transaction. */
const adminQueryTimeoutMillis = 15_000

/**
 * Statements that look at the catalogue want the same indexes whatever they are asked about, and however much there was in it when they
 * were first asked: what is kept must not be what is best for a publication without tables.
 */
const plansForCatalogue = { plan_cache_mode: "force_generic_plan", enable_seqscan: "off" }

/**
 * Connections of the main database URL for everything but replication and snapshots: catalogue, publication, lock
 * breaker, gauges. Snapshots can never use them up.
 */
export class AdminPool extends Context.Service<AdminPool, SessionPool>()("baton/postgres/AdminPool") {
  static readonly layer = Layer.effect(
    AdminPool,
    Effect.flatMap(Config, (config) => makeAdminPool(config.database, config, config.dbPoolSize))
  )
}

export const makeAdminPool = (
  target: DatabaseTarget,
  config: ConnectionConfig,
  totalSize: BatonConfig["dbPoolSize"]
) =>
  makeSessionPool(
    poolOptions(target, config, {
      size: splitPoolSize(totalSize).admin,
      applicationName: "baton admin",
      settings: { ...displaySettings, ...serverTcpSettings(config), ...plansForCatalogue },
      keepsStatements: true
    }),
    {
      subject: errorSubject(target),
      acquireTimeoutMillis,
      queryTimeoutMillis: adminQueryTimeoutMillis
    }
  )
