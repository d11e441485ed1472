import { Effect } from "effect"
import type { BucketTrouble, BucketWatch } from "../bucket/BucketWatch.ts"
import type { Timers } from "../shared/Timers.ts"
import { awayLookMillis, doubtLookMillis } from "./StorageTimings.ts"

/** What is written here and not in the bucket yet: how much, and since when the first of it waits. */
export interface Unshipped {
  readonly bytes: number
  readonly millis: number
}

/** What a process that does not write has of what is written elsewhere. */
export interface MirrorStatus {
  /** The active instance sends what it writes. */
  readonly isTailAlive: boolean
  /** Since it last was certain to have everything, from the bucket or from the active instance: about zero while all is well. */
  readonly behindMillis: number
}

/** How storage in a bucket stands at the moment, as seen from the main process of one instance. */
export interface BucketStatus {
  readonly watch: BucketWatch
  readonly timers: Timers
  /** Nothing while this instance does not write. */
  readonly unshipped: () => Unshipped
  /** `undefined` while it writes. */
  readonly mirror: () => MirrorStatus | undefined
  /** Since the newest checkpoint in the bucket was put there, as far as this process has seen it; `undefined` when it has seen none. */
  readonly checkpointAgeMillis: () => number | undefined
}

/** Completes, in some seconds at most, once the bucket takes no objects. */
const untilAway = ({ watch }: BucketStatus): Effect.Effect<BucketTrouble> => {
  const look: Effect.Effect<BucketTrouble> = Effect.suspend(() => {
    const away = watch.away("write")
    return away === undefined ? Effect.andThen(Effect.sleep(awayLookMillis), look) : Effect.succeed(away)
  })
  return look
}

/**
 * Work that ends once something is in the bucket. While the bucket takes nothing it is not begun, and no longer waited for when that
 * turns out meanwhile: then it fails with what `failure` makes of that. What it has written counts for all that, once the bucket
 * is back.
 */
export const unlessAway = <A, E, R, F>(
  status: BucketStatus | undefined,
  work: Effect.Effect<A, E, R>,
  failure: (trouble: BucketTrouble) => F
): Effect.Effect<A, E | F, R> => {
  if (status === undefined) return work
  return Effect.suspend((): Effect.Effect<A, E | F, R> => {
    const away = status.watch.away("write")
    if (away !== undefined) return Effect.fail(failure(away))
    const turnsOut = Effect.flatMap(untilAway(status), (trouble) => Effect.fail(failure(trouble)))
    return Effect.raceFirst(work, turnsOut)
  })
}

/**
 * Before something is written that holds up others until it is in the bucket: completes when there is no doubt that the bucket takes
 * it, in a moment as a rule, and fails when it turns out not to.
 */
export const untilCertain = <F>(
  status: BucketStatus | undefined,
  failure: (trouble: BucketTrouble) => F
): Effect.Effect<void, F> => {
  if (status === undefined) return Effect.void
  const look: Effect.Effect<void, F> = Effect.suspend(() => {
    const away = status.watch.away("write")
    if (away !== undefined) return Effect.fail(failure(away))
    return status.watch.isInDoubt("write") ? Effect.andThen(Effect.sleep(doubtLookMillis), look) : Effect.void
  })
  return look
}
