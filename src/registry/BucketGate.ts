import type { BucketTrouble } from "../bucket/BucketWatch.ts"
import { type NotActive, notActive } from "./ShapeRegistry.ts"

/** What clients are told while the bucket takes nothing: names of buckets and objects are in the log. */
export const bucketAway = ({ fault, sinceEpochMillis }: BucketTrouble): NotActive =>
  notActive(
    "bucket",
    `The bucket cannot be written since ${new Date(sinceEpochMillis).toISOString()} (${fault.kind}), so no shapes can be made or ` +
      `deleted; those that exist are served. For the operator: ${fault.advice}. The log says more`
  )
