import type { Redacted } from "effect"

/** Keys for a bucket. */
export interface BucketKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: Redacted.Redacted<string>
  /** Of keys that are lent for some time. */
  readonly sessionToken: Redacted.Redacted<string> | undefined
}

/** A bucket behind the S3 API. */
export interface S3Place {
  readonly _tag: "S3"
  readonly bucket: string
  /** What all keys begin with, without slashes at its ends; may be empty. */
  readonly prefix: string
  /** Base URL of the API, without a slash at its end; unset: that of AWS for the region. */
  readonly endpoint: string | undefined
  readonly region: string
  /** `https://endpoint/bucket/key` rather than `https://bucket.endpoint/key`. */
  readonly pathStyle: boolean
  /** Unset: what the machine has been lent, by its role for one. */
  readonly keys: BucketKeys | undefined
}

/** A directory in place of a bucket, which instances share. */
export interface DirectoryPlace {
  readonly _tag: "Directory"
  /** Absolute. */
  readonly path: string
}

/** What instances share instead of a storage directory, and how they meet there. */
export interface BucketConfig {
  readonly place: S3Place | DirectoryPlace
  /** At most one object is made in so long, unless somebody waits for it. */
  readonly flushMillis: number
  /** How long the active instance keeps the lock while the bucket takes nothing; unset: for ever. */
  readonly patienceMillis: number | undefined
  /** Bytes of files of shapes that are kept on the local disk. */
  readonly cacheBytes: number
  /** Does a replica hand on to the active instance what only that can do? */
  readonly forwards: boolean
  /** Base URL at which other instances reach this one, without a slash at its end; unset: made of its address and port. */
  readonly advertiseUrl: string | undefined
  /** What instances show each other; unset: `ELECTRIC_SECRET`. */
  readonly tailSecret: Redacted.Redacted<string> | undefined
}
