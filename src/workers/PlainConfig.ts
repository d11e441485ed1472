import { Redacted } from "effect"
import type { BatonConfig, DatabaseTarget } from "../config/BatonConfig.ts"
import type { OtlpConfig } from "../config/OtlpConfig.ts"
import type { BucketConfig, BucketKeys, DirectoryPlace, S3Place } from "../config/BucketConfig.ts"
import type { StoragePaths } from "../storage/disk/StorageDir.ts"

interface PlainTarget extends Omit<DatabaseTarget, "password"> {
  readonly password: string | undefined
}

interface PlainKeys extends Omit<BucketKeys, "secretAccessKey" | "sessionToken"> {
  readonly secretAccessKey: string
  readonly sessionToken: string | undefined
}

interface PlainS3 extends Omit<S3Place, "keys"> {
  readonly keys: PlainKeys | undefined
}

interface PlainBucket extends Omit<BucketConfig, "place" | "tailSecret"> {
  readonly place: PlainS3 | DirectoryPlace
  readonly tailSecret: string | undefined
}

interface PlainOtlp extends Omit<OtlpConfig, "headers"> {
  readonly headers: Readonly<Record<string, string>>
}

/**
 * A configuration as it travels to a worker, through a pipe between the two processes that nobody else can read. Holds
 * the secrets as text: it must not be logged.
 */
export interface PlainConfig extends Omit<
  BatonConfig,
  "database" | "pooledDatabase" | "secret" | "bucket" | "otlp"
> {
  readonly database: PlainTarget
  readonly pooledDatabase: PlainTarget
  readonly secret: string | undefined
  readonly bucket: PlainBucket | undefined
  readonly otlp: PlainOtlp | undefined
}

const opened = (secret: Redacted.Redacted<string> | undefined): string | undefined =>
  secret === undefined ? undefined : Redacted.value(secret)

const closed = (secret: string | undefined): Redacted.Redacted<string> | undefined =>
  secret === undefined ? undefined : Redacted.make(secret)

const openedKeys = (keys: BucketKeys): PlainKeys => ({
  ...keys,
  secretAccessKey: Redacted.value(keys.secretAccessKey),
  sessionToken: opened(keys.sessionToken)
})

const closedKeys = (keys: PlainKeys): BucketKeys => ({
  ...keys,
  secretAccessKey: Redacted.make(keys.secretAccessKey),
  sessionToken: closed(keys.sessionToken)
})

const openedBucket = ({ place, tailSecret, ...rest }: BucketConfig): PlainBucket => ({
  ...rest,
  place: place._tag === "S3" ? { ...place, keys: place.keys && openedKeys(place.keys) } : place,
  tailSecret: opened(tailSecret)
})

const closedBucket = ({ place, tailSecret, ...rest }: PlainBucket): BucketConfig => ({
  ...rest,
  place: place._tag === "S3" ? { ...place, keys: place.keys && closedKeys(place.keys) } : place,
  tailSecret: closed(tailSecret)
})

/**
 * The configuration of the workers: that of the main process, with the port that it got and the directory that it uses.
 * Storage that goes with the process is a directory like any other for them, which they leave alone.
 */
export const plainConfig = (config: BatonConfig, port: number, paths: StoragePaths): PlainConfig => ({
  ...config,
  database: { ...config.database, password: opened(config.database.password) },
  pooledDatabase: { ...config.pooledDatabase, password: opened(config.pooledDatabase.password) },
  secret: opened(config.secret),
  bucket: config.bucket && openedBucket(config.bucket),
  otlp: config.otlp && { ...config.otlp, headers: Redacted.value(config.otlp.headers) },
  port,
  ...(paths.mirror === undefined ? {} : { storageMirror: paths.mirror }),
  ...(config.storage === "memory"
    ? { storage: "file", storageDir: paths.storageDir, shapeDbStorageDir: undefined }
    : {})
})

export const configOfPlain = (plain: PlainConfig): BatonConfig => ({
  ...plain,
  database: { ...plain.database, password: closed(plain.database.password) },
  pooledDatabase: { ...plain.pooledDatabase, password: closed(plain.pooledDatabase.password) },
  secret: closed(plain.secret),
  bucket: plain.bucket && closedBucket(plain.bucket),
  otlp: plain.otlp && { ...plain.otlp, headers: Redacted.make(plain.otlp.headers) }
})
