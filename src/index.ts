/**
 * Baton as a library: the services that the command line is made of, as Effect Layers. `docs/library.md` shows how to
 * mount the API in a server of your own, and names the services that a program may replace. What stands here is kept
 * stable; what does not is nobody's but ours.
 */

// All of it.
export { Baton, catalogueLayer, type BatonOptions, type Part, type PartBase } from "./Baton.ts"
export { embed, type EmbeddedBaton, type EmbeddedHealth, type EmbedOptions } from "./Embed.ts"
export { batonVersion } from "./shared/ServerIdentity.ts"

// Configuration.
export { Config, type BatonConfig, type DatabaseTarget } from "./config/BatonConfig.ts"
export { configFromEnvironment } from "./config/ConfigFromEnvironment.ts"
export { ConfigError } from "./config/ConfigError.ts"
export {
  parseConfig,
  type CompleteConfig,
  type HostFacts,
  type ConfigWithoutDatabase,
  type Randomness
} from "./config/ParseConfig.ts"

// What operators are told.
export { activeFaults, recentFaults } from "./telemetry/faults/RecentFaults.ts"
export type { ActiveFault, FaultSeverity, RecordedFault } from "./shared/FaultRecord.ts"
export { Progress, type ProgressReport } from "./telemetry/Progress.ts"

// An instance: lock, takeover, stream, shutdown, and its state.
export {
  instanceInBackground,
  instanceInBackgroundWith,
  type InstanceInBackgroundOptions
} from "./instance/Background.ts"
export { Instance, InstanceFailed } from "./instance/Instance.ts"
export { runUntil } from "./instance/Process.ts"
export { schemaMemoryLayer } from "./instance/SchemaMemoryLive.ts"
export { SessionServices } from "./instance/SessionServices.ts"
export { Warmth } from "./instance/duties/Warmth.ts"
export { Verifier } from "./instance/verify/Verifier.ts"
export { HealthRef } from "./health/HealthRef.ts"
export type { HealthEvent, HealthState } from "./health/HealthState.ts"
export { LockService, type LockConnection } from "./lock/LockService.ts"

// The HTTP API, without a server and with several.
export { BodyTaken, BodyTooLarge, BodyUnreadable, type ApiRequest } from "./http/request/ApiRequest.ts"
export { replyHeader, type ApiReply, type ReplyBody } from "./http/reply/ApiReply.ts"
export {
  Refused,
  type Authorize,
  type AuthorizedShape,
  type AuthorizeRequest,
  type HookParameter
} from "./http/hook/Authorize.ts"
export type { Cors, NamedOrigins } from "./http/reply/Cors.ts"
export { Conditions, type CatalogueUnavailable, type ConditionRefused } from "./http/shape/Conditions.ts"
export { conditionsLayer } from "./http/shape/ConditionsLive.ts"
export { makeFetchHandler, type FetchHandler } from "./http/mount/FetchHandler.ts"
export { HttpServer, ListenError } from "./http/node/HttpServer.ts"
export type { NodeRequest, NodeResponse } from "./http/node/Exchange.ts"
export {
  makeNodeHandler,
  type GivenBody,
  type NodeHandler,
  type NodeHandlerOptions
} from "./http/node/NodeHandler.ts"
export { HttpWorkers } from "./workers/HttpWorkers.ts"
export { mountShapeApi } from "./http/mount/RouterMount.ts"
export { ShapeApi, type ApiStats, type ShapeApiOptions } from "./http/shape/ShapeApi.ts"
export type { ReadPosition, ShapeSelection } from "./http/request/ShapeParams.ts"

// Shapes: finding, making and filling them.
export { formatOffset, parseOffset, type LogOffset } from "./shapes/LogOffset.ts"
export type { ShapeDefinition } from "./shapes/ShapeDefinition.ts"
export { NotActive, ShapeRegistry, SnapshotFailed } from "./registry/ShapeRegistry.ts"
export { CurrentSession } from "./registry/CurrentSession.ts"
export { shapeRegistryLayer } from "./registry/ShapeRegistryLive.ts"
export { SnapshotSessions } from "./registry/snapshot/SnapshotSessions.ts"
export { Snapshotter, type SnapshotRequest, type SnapshotSink } from "./registry/snapshot/Snapshotter.ts"
export {
  SubsetFailed,
  SubsetOutdated,
  SubsetReader,
  SubsetRefused,
  SubsetUnavailable,
  type SubsetError,
  type SubsetQuery,
  type SubsetSnapshot
} from "./registry/subset/SubsetReader.ts"

// Storage, and what readers see of it.
export {
  ShapeLogs,
  ShapeReadError,
  type LogRead,
  type LogSlice,
  type ShapeHandle
} from "./storage/ShapeLogs.ts"
export { shapeLogsLayer } from "./storage/ShapeLogsLive.ts"
export { Storage } from "./storage/Storage.ts"
export { StorageUnusable } from "./storage/StorageUnusable.ts"

// Postgres: replication, publication, catalogue, connections.
export type { ChangeSink } from "./replication/ChangeSink.ts"
export type { ReplicationConnection } from "./replication/stream/ReplicationConnection.ts"
export { ReplicationStream } from "./replication/ReplicationStream.ts"
export { Inspector } from "./postgres/catalogue/Inspector.ts"
export type { Lsn } from "./shared/Lsn.ts"
export { PgError, type PgErrorKind } from "./postgres/errors/PgError.ts"
export { AdminPool } from "./postgres/connection/Pools.ts"
export {
  Publication,
  type EnsuredPublication,
  type EnsuredTable
} from "./postgres/publication/Publication.ts"
export { PublicationError } from "./postgres/publication/PublicationError.ts"
export { SchemaMemory, type RememberedSchema } from "./postgres/catalogue/SchemaMemory.ts"
export type { Relation, RelationColumn } from "./postgres/Relation.ts"
export type { ColumnInfo, TableInfo } from "./postgres/catalogue/TableInfo.ts"

// Conditions: what types, operators and functions there are.
export { Catalogue } from "./where/index.ts"

// Metrics, and the port for them.
export { MetricsServer } from "./metrics/MetricsServer.ts"

// The page for operators, and its API.
export { dashboardLayer, mountDashboard, type DashboardOptions } from "./operator/OperatorLive.ts"

// Log lines as the command line writes them.
export * as Logs from "./telemetry/Logs.ts"
export {
  hostLoggerLayer,
  type HostLogger,
  type HostLogLevel,
  type HostLogLine
} from "./telemetry/HostLogger.ts"
