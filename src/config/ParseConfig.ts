import { Redacted, Result } from "effect"
import { randomUUID } from "node:crypto"
import { acceptedVariables } from "./AcceptedVariables.ts"
import type { BatonConfig, DatabaseTarget } from "./BatonConfig.ts"
import { ConfigError } from "./ConfigError.ts"
import { parseDatabaseUrl } from "./DatabaseUrl.ts"
import { EnvironmentReader, type Environment } from "./EnvironmentReader.ts"
import { limits, mapLimits } from "./Limits.ts"
import { publicationPrefix, slotPrefix } from "./Kind.ts"
import { readBucket } from "./ReadBucket.ts"
import { readCompaction, readMaxStorage } from "./ReadCompaction.ts"
import { readOtlp, readResource, readStatsd } from "./ReadTelemetry.ts"
import { nearestName } from "../shared/NearestName.ts"
import type { Variable } from "./Variable.ts"
import { variables } from "./Variables.ts"

/** Everything is known. `warnings` are for the log, one line each, and hold no secrets. */
export interface CompleteConfig {
  readonly _tag: "Complete"
  readonly config: BatonConfig
  readonly warnings: ReadonlyArray<string>
}

/** All is well but there is no `DATABASE_URL`: the caller starts the development database and completes with its URL. */
export interface ConfigWithoutDatabase {
  readonly _tag: "NeedsDatabase"
  /** Where the development database keeps its data. */
  readonly developmentDir: string
  readonly complete: (databaseUrl: string) => Result.Result<CompleteConfig, ConfigError>
}

/** Random parts of a configuration, replaceable so that a result can be compared. */
export interface Randomness {
  readonly uuid: () => string
}

/** What the environment cannot say of the program that it configures. */
export interface HostFacts {
  /** Something in this program decides who may ask: an `authorize` hook, or a server in front of the API. */
  readonly guarded: boolean
}

/** What a configuration consists of beside the database. */
type Settings = Omit<BatonConfig, "database" | "pooledDatabase">

/**
 * Turns the environment into a configuration, or says everything that is wrong with it at once. Reads nothing else:
 * files that variables name are looked at by those who use them.
 */
export const parseConfig = (
  env: Environment,
  random: Randomness = { uuid: randomUUID },
  host: HostFacts = { guarded: false }
): Result.Result<CompleteConfig | ConfigWithoutDatabase, ConfigError> => {
  const reader = new EnvironmentReader(env)
  const database = reader.optional(variables.databaseUrl)
  const pooledDatabase = readPooledDatabase(reader)
  const access = readAccess(reader, reader.isSet(variables.databaseUrl), host)
  const settings = readSettings(reader, random, access)
  const developmentDir = reader.read(variables.devDir)
  reader.optional(variables.devPostgres)
  checkTogether(reader, settings, database)
  for (const variable of [...Object.values(variables), ...acceptedVariables])
    warnIfWithoutEffect(reader, variable)
  warnAboutUnknown(reader, env)

  const { problems, warnings } = reader
  if (problems.length > 0) return Result.fail(new ConfigError({ problems }))
  const complete = (target: DatabaseTarget): CompleteConfig => ({
    _tag: "Complete",
    config: { ...settings, database: target, pooledDatabase: pooledDatabase ?? target },
    warnings
  })
  if (database !== undefined) return Result.succeed(complete(database))
  return Result.succeed({
    _tag: "NeedsDatabase",
    developmentDir,
    complete: (databaseUrl) =>
      parseDatabaseUrl(databaseUrl).pipe(
        Result.map(complete),
        Result.mapError(
          (reason) => new ConfigError({ problems: [`${variables.databaseUrl.name}: ${reason}`] })
        )
      )
  })
}

const readSettings = (reader: EnvironmentReader, random: Randomness, access: Access): Settings => {
  const v = variables
  const replicationStreamId = reader.read(v.replicationStreamId)
  const temporarySlot = reader.read(v.temporarySlot)
  const randomName = reader.read(v.randomSlotName) && temporarySlot
  const idleTimeoutMillis = reader.optional(v.replicationIdleTimeout)
  const listenOnIpv6 = reader.read(v.listenOnIpv6)
  return {
    databaseUseIpv6: reader.read(v.databaseUseIpv6),
    databaseCaCertificateFile: reader.optional(v.databaseCaCertificateFile),
    dbPoolSize: reader.read(v.dbPoolSize),
    tcpKeepaliveIdleMillis: reader.optional(v.tcpKeepaliveIdle),
    tcpKeepaliveIntervalMillis: reader.optional(v.tcpKeepaliveInterval),
    tcpKeepaliveCount: reader.optional(v.tcpKeepaliveCount),
    tcpUserTimeoutMillis: reader.optional(v.tcpUserTimeout),
    replicationStreamId,
    slotName: slotPrefix + (randomName ? random.uuid().replaceAll("-", "") : replicationStreamId),
    publicationName: publicationPrefix + replicationStreamId,
    temporarySlot,
    replicationIdleTimeoutMillis: idleTimeoutMillis === 0 ? undefined : idleTimeoutMillis,
    failoverSlot: reader.read(v.failoverSlot),
    heartbeatMillis: reader.read(v.heartbeatInterval) || undefined,
    manualTablePublishing: reader.read(v.manualTablePublishing),
    publicationAlterDebounceMillis: reader.read(v.publicationAlterDebounce),
    publicationRefreshMillis: reader.read(v.publicationRefresh),
    schemaReconcilerMillis: reader.read(v.schemaReconciler),
    maxTransactionBytes: reader.read(v.maxTransactionBytes),
    secret: access.secret,
    port: reader.read(v.port),
    listenHost: access.loopbackOnly ? (listenOnIpv6 ? "::1" : "127.0.0.1") : listenOnIpv6 ? "::" : "0.0.0.0",
    instanceId: reader.optional(v.instanceId) ?? random.uuid(),
    tcpSendTimeoutMillis: reader.read(v.tcpSendTimeout),
    tcpReadTimeoutMillis: reader.read(v.tcpReadTimeout),
    longPollTimeoutMillis: reader.read(v.longPollTimeout),
    chunkBytesThreshold: reader.read(v.chunkBytesThreshold),
    cacheMaxAgeSeconds: reader.read(v.cacheMaxAge),
    cacheStaleAgeSeconds: reader.read(v.cacheStaleAge),
    maxConcurrentRequests: reader.read(v.maxConcurrentRequests),
    maxShapes: reader.optionalWithOldName(v.maxShapes, v.experimentalMaxShapes),
    allowShapeDeletion: reader.read(v.allowShapeDeletion),
    maxRequestsPerConnection: reader.read(v.maxRequestsPerConnection),
    rollbackWindowMillis: reader.read(v.rollbackWindow),
    rollbackFloor: reader.optional(v.rollbackFloor),
    shutdownGraceMillis: reader.read(v.shutdownGrace),
    httpWorkers: reader.read(v.httpWorkers),
    tlsCertFile: reader.optional(v.tlsCertFile),
    tlsKeyFile: reader.optional(v.tlsKeyFile),
    limits: mapLimits((limit) => reader.read(limit)),
    storageDir: reader.read(v.storageDir),
    storage: reader.read(v.storage),
    shapeDbStorageDir: reader.optional(v.shapeDbStorageDir),
    shapeDbCacheBytes: reader.read(v.shapeDbCacheSize),
    cleanupIntervalMillis: reader.read(v.cleanupInterval),
    journalSegmentBytes: reader.read(v.journalSegmentBytes),
    compaction: readCompaction(reader),
    shapeDormantAfterMillis: reader.read(v.shapeDormantAfter),
    shapeDropAfterMillis: reader.optional(v.shapeDropAfter),
    maxStorageBytes: readMaxStorage(reader),
    bucket: readBucket(reader, access.secret),
    role: reader.read(v.role),
    walSenderTimeoutMillis: reader.optional(v.walSenderTimeout),
    logLevel: reader.read(v.logLevel),
    logFormat: reader.read(v.logFormat),
    accessLog: reader.read(v.accessLog),
    slowRequestMillis: reader.read(v.slowRequest) || undefined,
    logColors: reader.optional(v.logColors),
    prometheusPort: reader.optional(v.prometheusPort),
    telemetryResource: readResource(reader),
    otlp: readOtlp(reader),
    statsd: readStatsd(reader),
    dashboard: reader.read(v.dashboard)
  }
}

const readPooledDatabase = (reader: EnvironmentReader): DatabaseTarget | undefined => {
  const pooled = reader.optionalWithOldName(variables.pooledDatabaseUrl, variables.queryDatabaseUrl)
  for (const variable of [variables.pooledDatabaseUrl, variables.queryDatabaseUrl]) {
    if (reader.isSet(variable) && !reader.isSet(variables.databaseUrl)) {
      reader.problem(`${variable.name} is set but ${variables.databaseUrl.name} is not: set both or neither`)
    }
  }
  return pooled
}

interface Access {
  readonly secret: Redacted.Redacted<string> | undefined
  readonly loopbackOnly: boolean
}

/** Who may ask. Without a secret only an explicit word opens the service, or a database made for this very process. */
const readAccess = (reader: EnvironmentReader, ownDatabase: boolean, { guarded }: HostFacts): Access => {
  const { secret: secretVariable, insecure: insecureVariable } = variables
  const secret = reader.optional(secretVariable)
  const insecure = reader.read(insecureVariable)
  if (insecure && reader.isSet(secretVariable)) {
    reader.problem(
      `${secretVariable.name} and ${insecureVariable.name}=true exclude each other: remove one of them`
    )
  } else if (insecure && !guarded) {
    reader.warn(
      `${insecureVariable.name}=true: every client that reaches the port of this service can read every table. ` +
        "Use it only for development, or when something in front of the service decides who may ask"
    )
  } else if (!insecure && !reader.isSet(secretVariable) && !reader.isBad(insecureVariable)) {
    if (ownDatabase || reader.isSet(insecureVariable)) {
      reader.problem(
        `${secretVariable.name} is not set: choose a secret that every request has to carry, or set ` +
          `${insecureVariable.name}=true, with which every client that reaches the port can read every table`
      )
    } else {
      reader.warn(
        `The development database is served without a secret, and therefore on this machine only. Set ` +
          `${secretVariable.name}, or ${insecureVariable.name}=true, to serve it to others`
      )
      return { secret: undefined, loopbackOnly: true }
    }
  }
  return { secret: secret === undefined ? undefined : Redacted.make(secret), loopbackOnly: false }
}

/** Rules about more than one variable. */
const checkTogether = (
  reader: EnvironmentReader,
  settings: Settings,
  database: DatabaseTarget | undefined
): void => {
  const v = variables
  if (database?.sslMode === "disable" && settings.databaseCaCertificateFile !== undefined) {
    reader.problem(
      `When ${v.databaseCaCertificateFile.name} is set, sslmode must be omitted from ${v.databaseUrl.name} or set to a ` +
        "value other than 'disable'"
    )
  }
  if (reader.isSet(v.tlsCertFile) !== reader.isSet(v.tlsKeyFile)) {
    reader.problem(`${v.tlsCertFile.name} and ${v.tlsKeyFile.name} belong together: set both or neither`)
  }
  if (settings.shapeDbStorageDir === ":memory:" && !reader.read(v.shapeDbExclusiveMode)) {
    reader.problem(`${v.shapeDbStorageDir.name}=":memory:" needs ${v.shapeDbExclusiveMode.name}=true`)
  }
  if (settings.bucket !== undefined && settings.storage === "memory") {
    reader.problem(
      `${v.bucket.name} and ${v.storage.name}=MEMORY exclude each other: what is in a bucket is there to stay. The storage ` +
        `directory is only a copy then: for one in memory, set ${v.storageDir.name} to a directory such as /dev/shm/baton`
    )
  }
  if (reader.read(v.randomSlotName) && !settings.temporarySlot) {
    reader.warn(`${v.randomSlotName.name} has no effect without ${v.temporarySlot.name}=true`)
  }
  if (settings.dbPoolSize < 2) {
    reader.warn(
      `${v.dbPoolSize.name}=${settings.dbPoolSize}: administration and the first rows of shapes share one connection, ` +
        "so each waits for the other; 2 is the least that separates them"
    )
  }
  const given = reader.text(v.replicationStreamId)
  if (given !== undefined && given !== settings.replicationStreamId && !reader.isBad(v.replicationStreamId)) {
    reader.warn(`${v.replicationStreamId.name}="${given}" is used as "${settings.replicationStreamId}"`)
  }
}

const warnIfWithoutEffect = (reader: EnvironmentReader, variable: Variable<unknown>): void => {
  const { treatment } = variable
  if (treatment._tag === "Implemented" || !reader.isSet(variable)) return
  reader.optional(variable)
  if (reader.text(variable) === "") return
  reader.warn(`${variable.name} is ignored: ${treatment.why}`)
}

/** A misspelt name would otherwise silently leave its default in place. */
const warnAboutUnknown = (reader: EnvironmentReader, env: Environment): void => {
  const known = new Set(
    [...Object.values(variables), ...Object.values(limits), ...acceptedVariables].map(({ name }) => name)
  )
  for (const name of Object.keys(env)) {
    if (/^(ELECTRIC|BATON)_/.test(name) && env[name] !== undefined && !known.has(name)) {
      const near = nearestName(name, known)
      const hint = near === undefined ? "is it misspelt?" : `did you mean ${near}?`
      reader.warn(`${name} is not a variable of this service and has no effect; ${hint}`)
    }
  }
}
