import { Effect, type Scope } from "effect"
import type { BucketConfig } from "../config/BucketConfig.ts"
import { currentTimers, type Timers } from "../shared/Timers.ts"
import { DirectoryStore } from "./DirectoryStore.ts"
import { fixedKeys, lentKeys } from "./KeySource.ts"
import type { ObjectStore } from "./ObjectStore.ts"
import { S3Store } from "./S3Store.ts"

const storeOf = ({ place }: BucketConfig, folder: string, timers: Timers): ObjectStore => {
  if (place._tag === "Directory") return new DirectoryStore(place.path, folder)
  const keys = place.keys === undefined ? lentKeys(`s3://${place.bucket}`) : fixedKeys(place.keys)
  return new S3Store({ place, folder, keys, timers })
}

/**
 * The objects in the folder of a bucket, without slashes at its ends. Nothing is asked yet: `probeBucket` finds out whether it can be
 * used. Closed with the scope, which ends what is under way.
 */
export const openBucket = (
  config: BucketConfig,
  folder: string
): Effect.Effect<ObjectStore, never, Scope.Scope> =>
  Effect.gen(function* () {
    const timers = yield* currentTimers
    return yield* Effect.acquireRelease(
      Effect.sync(() => storeOf(config, folder, timers)),
      (store) => Effect.ignore(Effect.tryPromise(() => store.close()))
    )
  })
