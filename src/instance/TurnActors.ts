import { Effect } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { Conditions } from "../http/shape/Conditions.ts"
import { LockActor } from "../lock/LockActor.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { Publication } from "../postgres/publication/Publication.ts"
import { SnapshotSessions } from "../registry/snapshot/SnapshotSessions.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { ShapeLogs } from "../storage/ShapeLogs.ts"
import { CurrentSession } from "../registry/CurrentSession.ts"
import { ReplicationStream } from "../replication/ReplicationStream.ts"
import { StreamActor } from "../replication/StreamActor.ts"
import { Storage } from "../storage/Storage.ts"
import { Metrics } from "../telemetry/Metrics.ts"
import { StorageLevels } from "./duties/StorageLevels.ts"
import { Warmth } from "./duties/Warmth.ts"
import { SessionServices } from "./SessionServices.ts"
import { Verifier } from "./verify/Verifier.ts"

const actors = {
  admin: AdminPool,
  config: Config,
  health: HealthRef,
  replication: StreamActor,
  publication: Publication,
  lock: LockActor,
  storage: Storage,
  sessions: CurrentSession,
  services: SessionServices,
  warmth: Warmth,
  levels: StorageLevels,
  metrics: Metrics,
  logs: ShapeLogs,
  snapshots: SnapshotSessions,
  inspector: Inspector,
  conditions: Conditions,
  verifier: Verifier,
  // Beside that of the stream, which one actor has.
  connections: ReplicationStream
}
type Tags = typeof actors

export type Actors = { readonly [Name in keyof Tags]: Effect.Success<Tags[Name]> }

/** The actors that a turn brings together. Each owns its state and its fibers; the turn owns their order. */
export const turnActors: Effect.Effect<Actors, never, Effect.Services<Tags[keyof Tags]>> = Effect.all(actors)
