import type { OtlpConfig, StatsdConfig, TelemetryResource } from "./OtlpConfig.ts"
import type { BucketConfig } from "./BucketConfig.ts"
import type { ConcurrentRequests } from "./Kind.ts"
import { Context, type Redacted } from "effect"
import type { Limits } from "./Limits.ts"

/** Where and how to reach Postgres. */
export interface DatabaseTarget {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly username: string
  readonly password: Redacted.Redacted<string> | undefined
  readonly sslMode: "disable" | "allow" | "prefer" | "require"
}

/**
 * Everything that the environment can set, parsed and checked (units in the names).
 * Defaults are those of Electric's configuration reference; `parseConfig` in `parseConfig.ts` makes one.
 */
export interface BatonConfig {
  // database
  readonly database: DatabaseTarget
  readonly pooledDatabase: DatabaseTarget
  readonly databaseUseIpv6: boolean
  readonly databaseCaCertificateFile: string | undefined
  readonly dbPoolSize: number
  readonly tcpKeepaliveIdleMillis: number | undefined
  readonly tcpKeepaliveIntervalMillis: number | undefined
  readonly tcpKeepaliveCount: number | undefined
  readonly tcpUserTimeoutMillis: number | undefined
  /** Sanitised: `[a-z0-9_]`, so that `slotName` is at most 63 bytes. */
  readonly replicationStreamId: string
  /** `electric_slot_<stream id>`, or a random one for temporary slots that ask for it. */
  readonly slotName: string
  readonly publicationName: string
  /** `CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN`: the slot is TEMPORARY and goes with its connection. */
  readonly temporarySlot: boolean
  readonly replicationIdleTimeoutMillis: number | undefined
  /** `BATON_FAILOVER_SLOT`: standbys are to have the slot, too. */
  readonly failoverSlot: boolean
  /** Undefined: none is sent. */
  readonly heartbeatMillis: number | undefined
  readonly manualTablePublishing: boolean
  readonly publicationAlterDebounceMillis: number
  readonly publicationRefreshMillis: number
  readonly schemaReconcilerMillis: number
  readonly maxTransactionBytes: number
  // service
  readonly secret: Redacted.Redacted<string> | undefined
  readonly port: number
  /** Address to listen on: all of them, or only this machine's own when a development database is served openly. */
  readonly listenHost: "0.0.0.0" | "::" | "127.0.0.1" | "::1"
  readonly instanceId: string
  readonly tcpSendTimeoutMillis: number
  readonly tcpReadTimeoutMillis: number
  readonly longPollTimeoutMillis: number
  readonly chunkBytesThreshold: number
  readonly cacheMaxAgeSeconds: number
  readonly cacheStaleAgeSeconds: number
  readonly maxConcurrentRequests: ConcurrentRequests
  readonly maxShapes: number | undefined
  readonly allowShapeDeletion: boolean
  readonly maxRequestsPerConnection: number
  /** After the last older instance was seen, see `storage/levels`. */
  readonly rollbackWindowMillis: number
  /** The oldest release that must be able to take over. */
  readonly rollbackFloor: string | undefined
  readonly shutdownGraceMillis: number
  /** Processes that answer requests beside the main one. */
  readonly httpWorkers: number
  readonly tlsCertFile: string | undefined
  readonly tlsKeyFile: string | undefined
  /** What a client may ask for at most. */
  readonly limits: Limits
  // storage
  readonly storageDir: string
  readonly storage: "file" | "memory"
  readonly shapeDbStorageDir: string | undefined
  /** The directory below that of storage which the main process has taken for itself. Its workers are told; nobody sets it. */
  readonly storageMirror?: string
  readonly shapeDbCacheBytes: number
  readonly cleanupIntervalMillis: number
  /** A journal segment that has reached this size is finished and another one begun. */
  readonly journalSegmentBytes: number
  /** When logs of shapes are compacted, and what of them is kept; see `CompactionSettings`. Undefined: never. */
  /** A shape that nobody has read for so long becomes dormant. */
  readonly shapeDormantAfterMillis: number
  /** A shape that nobody has read for so long is dropped; undefined: never. */
  readonly shapeDropAfterMillis: number | undefined
  readonly compaction:
    | {
        readonly garbagePercent: number
        readonly leastBytes: number
        readonly retentionMillis: number
        readonly retentionPercent: number
      }
    | undefined
  /** What storage may take; undefined: no limit. */
  readonly maxStorageBytes: number | undefined
  /** Set: instances share it, and the storage directory is a copy that each has for itself. */
  readonly bucket: BucketConfig | undefined
  /** A replica never becomes active. */
  readonly role: "instance" | "replica"
  // handover
  /** `wal_sender_timeout` of our own replication session: bound after which a frozen holder loses the lock. */
  readonly walSenderTimeoutMillis: number | undefined
  // telemetry
  readonly logLevel: "error" | "warning" | "info" | "debug"
  readonly logFormat: "auto" | "text" | "json"
  /** A line for each request. */
  readonly accessLog: boolean
  /** What takes longer is in the log; undefined: nothing is. */
  readonly slowRequestMillis: number | undefined
  readonly logColors: boolean | undefined
  readonly prometheusPort: number | undefined
  readonly telemetryResource: TelemetryResource
  /** Undefined: nothing is exported over OTLP; the next likewise. */
  readonly otlp: OtlpConfig | undefined
  readonly statsd: StatsdConfig | undefined
  /** Where the page for operators is served: `auto`, on every port of this service. */
  readonly dashboard: "auto" | "metrics" | "off"
}

export class Config extends Context.Service<Config, BatonConfig>()("baton/Config") {}
