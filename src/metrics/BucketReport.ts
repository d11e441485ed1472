import { bucketSides, type BucketSide, type BucketWatch } from "../bucket/BucketWatch.ts"
import type { MirrorStatus, Unshipped } from "../storage/BucketStatus.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"

/** What is measured of a bucket, and of those who share it. */
export interface BucketReport {
  readonly watch: Pick<BucketWatch, "requests" | "created" | "sentBytes" | "receivedBytes">
  /** 0 while it works. */
  readonly failingMillis: Readonly<Record<BucketSide, number>>
  readonly unshipped: Unshipped
  readonly cacheBytes: number
  /** How many other instances are sent what this one writes. */
  readonly mirrors: number
  readonly mirror: MirrorStatus | undefined
  readonly checkpointAgeMillis: number | undefined
}

/** Nothing where storage stands in no bucket. */
export const bucketOf = (
  { bucketStatus, cache, timers }: Pick<StorageEngine, "bucketStatus" | "cache" | "timers">,
  mirrors: number
): { readonly bucket?: BucketReport } => {
  if (bucketStatus === undefined) return {}
  const { checkpointAgeMillis, mirror, unshipped, watch } = bucketStatus
  const failingMillis = { write: 0, read: 0 }
  for (const side of bucketSides) {
    const trouble = watch.trouble(side)
    if (trouble !== undefined) failingMillis[side] = timers.nowMillis() - trouble.sinceMillis
  }
  const bucket = {
    watch,
    failingMillis,
    unshipped: unshipped(),
    cacheBytes: cache?.totalBytes ?? 0,
    mirrors,
    mirror: mirror(),
    checkpointAgeMillis: checkpointAgeMillis()
  }
  return { bucket }
}
