import { Schema } from "effect"

/** What is stored cannot be used. Heals when the cause (permissions, disk, bucket) is removed and the service restarts. */
export class StorageUnusable extends Schema.TaggedError<StorageUnusable>()("StorageUnusable", {
  /** What could not be done with it, or why it may not: a newer release has finalised it. */
  reason: Schema.Literals(["cannotWrite", "cannotRead", "tooNew", "bucket"]),
  message: Schema.String,
  /** What the disk or the bucket has refused, a `StorageFault` as a rule. */
  cause: Schema.Defect(),
  /** One error of a disk may not come again. */
  mayPass: Schema.optional(Schema.Boolean)
}) {}
