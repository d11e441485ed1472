import { baseUrl, bucketUrl } from "./BucketKinds.ts"
import { databaseUrl } from "./DatabaseUrl.ts"
import {
  boolean,
  concurrentRequests,
  integer,
  matching,
  nonEmptyBoolean,
  nonEmptyText,
  oneOf,
  path,
  publicationPrefix,
  size,
  slotPrefix,
  streamId,
  text,
  time
} from "./Kind.ts"
import { logVariables } from "./LogVariables.ts"
import { telemetryVariables } from "./TelemetryVariables.ts"
import { defaulted, optional } from "./Variable.ts"

const port = integer(0, 65_535)

const roles = new Map([
  ["instance", "instance"],
  ["replica", "replica"]
] as const)

const storages = new Map([
  ["FAST_FILE", "file"],
  ["MEMORY", "memory"]
] as const)

/**
 * Every variable that `parseConfig` turns into a part of the configuration. Names, units and defaults are those of
 * Electric, so that a deployment can swap one service for the other; `BATON_*` are ours.
 */
export const variables = {
  // Database
  databaseUrl: optional("DATABASE_URL", {
    group: "Database",
    kind: databaseUrl,
    secret: true,
    about:
      "The database to replicate from. Its role needs REPLICATION. `sslmode` is one of disable, allow, prefer (the " +
      "default), require; other parameters are ignored. Unset: an embedded development database."
  }),
  pooledDatabaseUrl: optional("ELECTRIC_POOLED_DATABASE_URL", {
    group: "Database",
    kind: databaseUrl,
    secret: true,
    about:
      "For the queries that read the first rows of a shape, through a pooler for example. Must reach the same server. " +
      "Unset: `DATABASE_URL`."
  }),
  queryDatabaseUrl: optional("ELECTRIC_QUERY_DATABASE_URL", {
    group: "Database",
    kind: databaseUrl,
    secret: true,
    about: "Old name of `ELECTRIC_POOLED_DATABASE_URL`, which wins."
  }),
  databaseUseIpv6: defaulted("ELECTRIC_DATABASE_USE_IPV6", "false", {
    group: "Database",
    kind: boolean,
    about: "Connect over IPv6, and over IPv4 where that fails."
  }),
  databaseCaCertificateFile: optional("ELECTRIC_DATABASE_CA_CERTIFICATE_FILE", {
    group: "Database",
    kind: path,
    about: "Certificate authority (PEM). Turns on verification of the server's certificate and host name."
  }),
  dbPoolSize: defaulted("ELECTRIC_DB_POOL_SIZE", "20", {
    group: "Database",
    kind: integer(1, 10_000),
    about:
      "Connections beside the replication connection: a quarter (at most 4) for administration, the rest for first rows. " +
      "Subset queries have three quarters of those at most, so that new shapes always find one."
  }),
  tcpKeepaliveIdle: optional("ELECTRIC_DATABASE_TCP_KEEPALIVE_IDLE", {
    group: "Database",
    kind: time(),
    about:
      "Silence before the first TCP keepalive probe. Setting any of the three turns keepalive on. Linux only."
  }),
  tcpKeepaliveInterval: optional("ELECTRIC_DATABASE_TCP_KEEPALIVE_INTERVAL", {
    group: "Database",
    kind: time(),
    about: "Time between keepalive probes."
  }),
  tcpKeepaliveCount: optional("ELECTRIC_DATABASE_TCP_KEEPALIVE_COUNT", {
    group: "Database",
    kind: integer(1, 127),
    about: "Unanswered probes after which the connection is lost."
  }),
  tcpUserTimeout: optional("ELECTRIC_DATABASE_TCP_USER_TIMEOUT", {
    group: "Database",
    kind: time(),
    about: "How long sent data may stay unacknowledged before the connection is lost. Linux only."
  }),
  replicationStreamId: defaulted("ELECTRIC_REPLICATION_STREAM_ID", "default", {
    group: "Database",
    kind: streamId,
    about:
      `Names the replication stream: slot \`${slotPrefix}<id>\`, publication \`${publicationPrefix}<id>\`, and the ` +
      "lock between instances. Lower-cased; `-`, `.` and `$` become `_`."
  }),
  temporarySlot: defaulted("CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN", "false", {
    group: "Database",
    kind: boolean,
    about:
      "Use a TEMPORARY replication slot, which ends with its connection. After each restart all shapes are compared with the database."
  }),
  randomSlotName: defaulted("ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME", "false", {
    group: "Database",
    kind: boolean,
    about:
      "Give the temporary slot a random name. Only together with `CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN`."
  }),
  replicationIdleTimeout: optional("ELECTRIC_REPLICATION_IDLE_TIMEOUT", {
    group: "Database",
    kind: time({ minimumMillis: 30_000, zero: "is off" }),
    about:
      "Close all database connections after this long without a change in the replication stream, so that the database can scale to zero; the next request opens them again. Held live requests end with their time-out. Unset: never."
  }),
  failoverSlot: defaulted("BATON_FAILOVER_SLOT", "true", {
    group: "Database",
    kind: boolean,
    about:
      "From Postgres 17 on: make the replication slot one that standbys keep (`failover`), so that a promoted standby goes on where the " +
      "primary was. The standby needs `sync_replication_slots`; see [the failover drill](upgrade.md#failover-drill)."
  }),
  heartbeatInterval: defaulted("BATON_HEARTBEAT_INTERVAL", "5s", {
    group: "Database",
    kind: time({ zero: "is off" }),
    about:
      "How often the active instance writes a few bytes to the WAL (`pg_logical_emit_message`) that have to come round through " +
      "the replication slot. Where nothing proves for 10 s that changes come, `/v1/health?verbose`, `baton_stream_state` and " +
      "the log say so, and why. Nothing is written while all database connections are closed (`ELECTRIC_REPLICATION_IDLE_TIMEOUT`)."
  }),
  manualTablePublishing: defaulted("ELECTRIC_MANUAL_TABLE_PUBLISHING", "false", {
    group: "Database",
    kind: boolean,
    about: "Never alter the publication or a table's replica identity; the operator does both."
  }),
  publicationAlterDebounce: defaulted("ELECTRIC_PUBLICATION_ALTER_DEBOUNCE_TIME", "0", {
    group: "Database",
    kind: time({ zero: "is at once" }),
    about: "How long to collect tables before the publication is altered."
  }),
  publicationRefresh: defaulted("ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD", "60s", {
    group: "Database",
    kind: time(),
    about:
      "How often the publication is compared with what the shapes need, unless nothing in the catalogue has been altered."
  }),
  schemaReconciler: defaulted("ELECTRIC_TWEAKS_SCHEMA_RECONCILER_PERIOD", "60s", {
    group: "Database",
    kind: time(),
    about:
      "How often tables are compared with what their shapes were made for, 500 of them at a time; what is altered in tables with shapes is noticed sooner."
  }),
  maxTransactionBytes: defaulted("ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE", "262144000", {
    group: "Database",
    kind: integer(1),
    about:
      "Bytes of one transaction above which it is not read: a new slot is made, and all shapes are compared with the database."
  }),

  // Service
  secret: optional("ELECTRIC_SECRET", {
    group: "Service",
    kind: nonEmptyText("at least one character"),
    secret: true,
    about: "Every request for a shape must carry it as `secret`. Required unless `ELECTRIC_INSECURE=true`."
  }),
  insecure: defaulted("ELECTRIC_INSECURE", "false", {
    group: "Service",
    kind: boolean,
    about: "Serve without a secret: every client that reaches the port can read every table."
  }),
  port: defaulted("ELECTRIC_PORT", "3000", {
    group: "Service",
    kind: port,
    about: "Port of the HTTP API; 0 lets the system choose."
  }),
  listenOnIpv6: defaulted("ELECTRIC_LISTEN_ON_IPV6", "false", {
    group: "Service",
    kind: boolean,
    about: "Listen on `::` (usually IPv4 as well) instead of `0.0.0.0`."
  }),
  instanceId: optional("ELECTRIC_INSTANCE_ID", {
    group: "Service",
    kind: nonEmptyText("at least one character"),
    about: "Identity of this instance in logs and telemetry. Unset: a random UUID."
  }),
  tcpSendTimeout: defaulted("ELECTRIC_TCP_SEND_TIMEOUT", "30s", {
    group: "Service",
    kind: time(),
    about: "How long a client may take nothing of a response before the connection is closed."
  }),
  tcpReadTimeout: defaulted("ELECTRIC_TCP_READ_TIMEOUT", "60s", {
    group: "Service",
    kind: time(),
    about:
      "How long to wait for a request, also between two on one connection. Must exceed the idle time-out of a proxy in front."
  }),
  longPollTimeout: defaulted("ELECTRIC_LONG_POLL_TIMEOUT", "20000", {
    group: "Service",
    kind: integer(1, 2 ** 31 - 1),
    about: "Milliseconds that a live request waits for a change."
  }),
  chunkBytesThreshold: defaulted("ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD", "10485760", {
    group: "Service",
    kind: integer(1),
    about: "Bytes of a shape's log after which a response ends and the next one continues."
  }),
  cacheMaxAge: defaulted("ELECTRIC_CACHE_MAX_AGE", "60", {
    group: "Service",
    kind: integer(0, 2 ** 31 - 1),
    about: "Seconds for which caches may keep responses that are not live."
  }),
  cacheStaleAge: defaulted("ELECTRIC_CACHE_STALE_AGE", "300", {
    group: "Service",
    kind: integer(0, 2 ** 31 - 1),
    about: "Seconds for which they may serve them stale while they fetch again."
  }),
  maxConcurrentRequests: defaulted("ELECTRIC_MAX_CONCURRENT_REQUESTS", '{"initial":300,"existing":10000}', {
    group: "Service",
    kind: concurrentRequests,
    about:
      "Requests in progress at once for shapes that have to be created and for those that exist; more get 503."
  }),
  maxShapes: optional("ELECTRIC_MAX_SHAPES", {
    group: "Service",
    kind: integer(1),
    about: "Above this many shapes the least recently used ones are dropped. Unset: no limit."
  }),
  experimentalMaxShapes: optional("ELECTRIC_EXPERIMENTAL_MAX_SHAPES", {
    group: "Service",
    kind: integer(1),
    about: "Old name of `ELECTRIC_MAX_SHAPES`, which wins."
  }),
  allowShapeDeletion: defaulted("ELECTRIC_ENABLE_INTEGRATION_TESTING", "false", {
    group: "Service",
    kind: boolean,
    about: "Allow `DELETE /v1/shape`."
  }),
  maxRequestsPerConnection: defaulted("ELECTRIC_TWEAKS_CONN_MAX_REQUESTS", "50", {
    group: "Service",
    kind: integer(0),
    about: "Requests after which an HTTP connection is closed; 0 is unlimited."
  }),
  httpWorkers: defaulted("BATON_HTTP_WORKERS", "0", {
    group: "Service",
    kind: integer(0, 64),
    about:
      "Processes that answer requests on the same port beside the main one, when its processor core is not enough. " +
      "`ELECTRIC_MAX_CONCURRENT_REQUESTS` then counts in each of them. Linux and FreeBSD only."
  }),
  tlsCertFile: optional("BATON_TLS_CERT_FILE", {
    group: "Service",
    kind: path,
    about:
      "Certificate chain (PEM). With it the API speaks HTTPS, HTTP/2 included. Needs `BATON_TLS_KEY_FILE`."
  }),
  tlsKeyFile: optional("BATON_TLS_KEY_FILE", {
    group: "Service",
    kind: path,
    about: "Private key (PEM) of that certificate."
  }),

  // Storage
  storageDir: defaulted("ELECTRIC_STORAGE_DIR", "./persistent", {
    group: "Storage",
    kind: path,
    about:
      "Where shapes are kept. Instances that take over from each other share it, or a bucket; with a bucket it is a copy."
  }),
  storage: defaulted("ELECTRIC_STORAGE", "FAST_FILE", {
    group: "Storage",
    kind: oneOf(storages, { ignoreCase: true }),
    about: "FAST_FILE keeps shapes in the storage directory, MEMORY nowhere. Upper or lower case."
  }),
  shapeDbExclusiveMode: defaulted("ELECTRIC_SHAPE_DB_EXCLUSIVE_MODE", "false", {
    group: "Storage",
    kind: boolean,
    about:
      "Electric needs it on network file systems. Here every checkpoint file has one writer and no second file in any case, so both values are safe; `true` is needed for `:memory:`."
  }),
  shapeDbStorageDir: optional("ELECTRIC_SHAPE_DB_STORAGE_DIR", {
    group: "Storage",
    kind: path,
    about:
      "Another directory for the metadata database, or `:memory:` (needs `ELECTRIC_SHAPE_DB_EXCLUSIVE_MODE`). Unset: the " +
      "storage directory."
  }),
  shapeDbCacheSize: defaulted("ELECTRIC_SHAPE_DB_CACHE_SIZE", "4096 KiB", {
    group: "Storage",
    kind: size,
    about: "Page cache of the metadata database."
  }),
  cleanupInterval: defaulted("ELECTRIC_CLEANUP_INTERVAL_MS", "10s", {
    group: "Storage",
    kind: time(),
    about: "How often files that nothing refers to are deleted. A time with any unit, despite the name."
  }),

  journalSegmentBytes: defaulted("BATON_JOURNAL_SEGMENT_BYTES", "32 MiB", {
    group: "Storage",
    kind: size,
    about:
      "Size at which a journal file is finished; a few finished ones stay before they are moved to the shapes' own files."
  }),
  ...logVariables,

  // Bucket
  bucket: optional("BATON_BUCKET", {
    group: "Bucket",
    kind: bucketUrl,
    about:
      "Where instances that share no disk keep what they share: see [bucket.md](bucket.md). `file://` is a directory in its " +
      "place, for tests. Unset: the storage directory is all there is."
  }),
  bucketEndpoint: optional("BATON_BUCKET_ENDPOINT", {
    group: "Bucket",
    kind: baseUrl,
    about: "Address of the store's S3 API. Unset: AWS, in the region."
  }),
  bucketRegion: optional("BATON_BUCKET_REGION", {
    group: "Bucket",
    kind: matching("the name of a region, such as eu-central-1 or auto", /^[A-Za-z0-9_-]+$/),
    about: "Region of the bucket. Unset: `AWS_REGION`, else `us-east-1`."
  }),
  bucketPathStyle: optional("BATON_BUCKET_PATH_STYLE", {
    group: "Bucket",
    kind: nonEmptyBoolean,
    about:
      "The bucket's name stands in the path of a request and not before the host. Unset: true with an endpoint, and for names " +
      "that are no part of a host name."
  }),
  bucketFlush: defaulted("BATON_BUCKET_FLUSH", "250ms", {
    group: "Bucket",
    kind: time(),
    about:
      "Changes are written to the bucket at most once in so long, unless somebody waits for them. Longer costs less; a successor " +
      "on another machine has to be sent more again by Postgres."
  }),
  bucketPatience: optional("BATON_BUCKET_PATIENCE", {
    group: "Bucket",
    kind: time(),
    about:
      "The active instance hands over to another one that waits when the bucket has taken nothing from it for so long. Unset: never. " +
      "Only where instances reach the bucket by ways of their own: see [bucket.md](bucket.md#when-the-bucket-does-not-answer)."
  }),
  bucketCache: defaulted("BATON_BUCKET_CACHE", "10 GB", {
    group: "Bucket",
    kind: size,
    about:
      "Files of shapes that are kept in the storage directory; the least recently used ones are fetched again when asked for."
  }),
  role: defaulted("BATON_ROLE", "instance", {
    group: "Bucket",
    kind: oneOf(roles),
    about:
      "`replica`: an instance that never becomes active, and serves the shapes that there are, with a bucket or a shared directory."
  }),
  replicaForward: defaulted("BATON_REPLICA_FORWARD", "true", {
    group: "Bucket",
    kind: nonEmptyBoolean,
    about:
      "A replica hands requests for new shapes on to the active instance; otherwise, and without a bucket, it answers them with 503."
  }),
  advertiseUrl: optional("BATON_ADVERTISE_URL", {
    group: "Bucket",
    kind: baseUrl,
    about:
      "Address at which other instances reach the HTTP API of this one. Unset: made of the first address of this machine that " +
      "others may reach, and `ELECTRIC_PORT`."
  }),
  tailSecret: optional("BATON_TAIL_SECRET", {
    group: "Bucket",
    kind: nonEmptyText("at least one character"),
    secret: true,
    about:
      "What instances show each other to be sent all changes as they are written; the same for all of them. Unset: `ELECTRIC_SECRET`."
  }),
  awsAccessKeyId: optional("AWS_ACCESS_KEY_ID", {
    group: "Bucket",
    kind: text,
    secret: true,
    about: "Key for the bucket. Unset: what the machine's role gives, as [bucket.md](bucket.md) describes."
  }),
  awsSecretAccessKey: optional("AWS_SECRET_ACCESS_KEY", {
    group: "Bucket",
    kind: text,
    secret: true,
    about: "The secret that belongs to it."
  }),
  awsSessionToken: optional("AWS_SESSION_TOKEN", {
    group: "Bucket",
    kind: text,
    secret: true,
    about: "Belongs to keys that are valid for some time only."
  }),
  awsRegion: optional("AWS_REGION", {
    group: "Bucket",
    kind: text,
    about: "Region of the bucket, unless `BATON_BUCKET_REGION` says it."
  }),

  // Handover
  rollbackWindow: defaulted("BATON_ROLLBACK_WINDOW", "1440min", {
    group: "Handover",
    kind: time({ zero: "finalises as soon as no older instance is there" }),
    about:
      "For how long after the last older instance was seen storage stays such that its release can take over again. Then " +
      "it is finalised: see [upgrade.md](upgrade.md#finalising)."
  }),
  rollbackFloor: optional("BATON_ROLLBACK_FLOOR", {
    group: "Handover",
    kind: matching("a release such as 0.1.0", /^\d+\.\d+\.\d+$/),
    about: "The oldest release that must be able to take over: storage is not finalised beyond what it reads."
  }),
  shutdownGrace: defaulted("BATON_SHUTDOWN_GRACE", "25s", {
    group: "Handover",
    kind: time({ zero: "is at once" }),
    about:
      "After SIGTERM: how long requests in progress may take to end. Keep it below the grace period of the orchestrator."
  }),
  walSenderTimeout: optional("BATON_WAL_SENDER_TIMEOUT", {
    group: "Handover",
    kind: time({ minimumMillis: 1000 }),
    about:
      "`wal_sender_timeout` of the replication session: the time after which Postgres takes the lock from an instance " +
      "that is frozen or cut off. Unset: what the server is configured with."
  }),

  ...telemetryVariables,

  // Development
  devDir: defaulted("BATON_DEV_DIR", "./.baton", {
    group: "Development",
    kind: path,
    about: "Where the embedded database that stands in for `DATABASE_URL` keeps its data."
  }),
  devPostgres: optional("BATON_DEV_POSTGRES", {
    group: "Development",
    kind: path,
    about:
      "Installation of Postgres to use for the embedded database and for tests: the directory that holds `bin/postgres`, such as `/usr/lib/postgresql/15`. Unset: the one that comes with the development dependencies."
  })
} as const
