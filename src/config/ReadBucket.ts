import { Redacted } from "effect"
import type { BucketConfig, BucketKeys, DirectoryPlace, S3Place } from "./BucketConfig.ts"
import type { EnvironmentReader } from "./EnvironmentReader.ts"
import type { Variable } from "./Variable.ts"
import { variables as v } from "./Variables.ts"

/** What a bucket behind the S3 API needs beside its name. */
const ofS3 = [v.bucketEndpoint, v.bucketRegion, v.bucketPathStyle]

/** What has a meaning with any bucket. */
const ofBucket = [
  v.bucketFlush,
  v.bucketPatience,
  v.bucketCache,
  v.replicaForward,
  v.advertiseUrl,
  v.tailSecret
]

/** A bucket's name that can stand before the host of an endpoint: with a dot in it no certificate fits. */
const hostLabel = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/

const redacted = (text: string | undefined): Redacted.Redacted<string> | undefined =>
  text === undefined ? undefined : Redacted.make(text)

/**
 * The bucket, when there is one, and what follows from it. `secret` is what other requests have to carry: instances show it to each
 * other unless they have one of their own.
 */
export const readBucket = (
  reader: EnvironmentReader,
  secret: Redacted.Redacted<string> | undefined
): BucketConfig | undefined => {
  const url = reader.optional(v.bucket)
  const endpoint = reader.optional(v.bucketEndpoint)
  const region = reader.optional(v.bucketRegion)
  const pathStyle = reader.optional(v.bucketPathStyle)
  const settings = {
    flushMillis: reader.read(v.bucketFlush),
    patienceMillis: reader.optional(v.bucketPatience),
    cacheBytes: reader.read(v.bucketCache),
    forwards: reader.read(v.replicaForward),
    advertiseUrl: reader.optional(v.advertiseUrl),
    tailSecret: redacted(reader.optional(v.tailSecret)) ?? secret
  }
  if (!reader.isSet(v.bucket)) {
    warnWithout(reader, [...ofS3, ...ofBucket], `without ${v.bucket.name}: nothing is kept in a bucket`)
    return undefined
  }
  if (url === undefined) return undefined
  if (url._tag === "Directory") {
    warnWithout(reader, ofS3, `with ${v.bucket.name}=file://…, which is a directory`)
    return { place: url satisfies DirectoryPlace, ...settings }
  }
  const isHostLabel = hostLabel.test(url.bucket)
  if (pathStyle === false && !isHostLabel) {
    reader.problem(
      `${v.bucketPathStyle.name}=false: "${url.bucket}" cannot stand before the host of the store, as it is no part of a host ` +
        "name; remove the variable"
    )
  }
  const place: S3Place = {
    ...url,
    endpoint,
    region: region ?? unlessEmpty(reader, v.awsRegion) ?? "us-east-1",
    pathStyle: pathStyle ?? (endpoint !== undefined || !isHostLabel),
    keys: readKeys(reader)
  }
  return { place, ...settings }
}

const warnWithout = (
  reader: EnvironmentReader,
  useless: ReadonlyArray<Variable<unknown>>,
  why: string
): void => {
  const names = useless.filter((variable) => reader.isSet(variable)).map(({ name }) => name)
  if (names.length > 0) reader.warn(`${names.join(", ")}: of no effect ${why}`)
}

/** Other programs leave variables of AWS empty that are not to count. */
const unlessEmpty = (reader: EnvironmentReader, variable: Variable<string>): string | undefined =>
  reader.text(variable) === "" ? undefined : reader.optional(variable)

const readKeys = (reader: EnvironmentReader): BucketKeys | undefined => {
  const accessKeyId = unlessEmpty(reader, v.awsAccessKeyId)
  const secretAccessKey = unlessEmpty(reader, v.awsSecretAccessKey)
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    reader.problem(
      `${v.awsAccessKeyId.name} and ${v.awsSecretAccessKey.name} belong together: set both, or neither to use what the ` +
        "machine's role gives"
    )
  }
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined
  return {
    accessKeyId,
    secretAccessKey: Redacted.make(secretAccessKey),
    sessionToken: redacted(unlessEmpty(reader, v.awsSessionToken))
  }
}
