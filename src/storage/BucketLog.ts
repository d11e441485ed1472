import { Effect } from "effect"
import { bucketSides, type BucketSide, type BucketTrouble } from "../bucket/BucketWatch.ts"
import { faultEnded, reportFault } from "../telemetry/faults/ReportFault.ts"
import type { BucketStatus, MirrorStatus, Unshipped } from "./BucketStatus.ts"
import { bucketLookMillis, bucketSayAgainMillis, bucketSayAfterMillis } from "./StorageTimings.ts"

/** What the log has of one side of the bucket; `undefined` when it has nothing, or that all is well. */
export interface SaidTrouble {
  readonly sinceMillis: number
  readonly saidMillis: number
  /** The most that has waited for it. */
  readonly mostBytes: number
}

interface Seen {
  readonly side: BucketSide
  readonly nowMillis: number
  readonly trouble: BucketTrouble | undefined
  readonly unshipped: Unshipped
  readonly mirror: MirrorStatus | undefined
}

interface News {
  readonly said: SaidTrouble | undefined
  readonly warning?: string
  readonly info?: string
}

const nothing: Unshipped = { bytes: 0, millis: 0 }
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
const seconds = (millis: number): string => `${Math.round(millis / 1000)} s`

const meanwhile = ({ mirror, side }: Seen): string => {
  if (mirror === undefined)
    return side === "write"
      ? "Changes go on to clients, nothing is acknowledged to Postgres, which keeps its WAL, and new shapes are refused"
      : "Shapes are served as far as their files are here"
  return `Shapes are served as far as their files are here; ${
    mirror.isTailAlive ? "changes come from the active instance itself" : "changes are not seen"
  }`
}

/**
 * What is to be said of one side of the bucket: one line when it has been failing for some seconds, one a minute as long as it does,
 * and one when it works again.
 */
export const newsOf = (said: SaidTrouble | undefined, seen: Seen): News => {
  const { nowMillis, side, trouble, unshipped } = seen
  const cannot = `The bucket cannot be ${side === "write" ? "written" : "read"}`
  if (trouble !== undefined) {
    const sinceMillis = said?.sinceMillis ?? trouble.sinceMillis
    if (said === undefined) {
      if (nowMillis - sinceMillis < bucketSayAfterMillis && trouble.fault.passing) return { said }
      return {
        said: { sinceMillis, saidMillis: nowMillis, mostBytes: unshipped.bytes },
        warning: `${cannot}: ${trouble.fault.message}. It is tried again. ${meanwhile(seen)}.`
      }
    }
    const mostBytes = Math.max(said.mostBytes, unshipped.bytes)
    if (nowMillis - said.saidMillis < bucketSayAgainMillis) return { said: { ...said, mostBytes } }
    const waiting = unshipped.bytes === 0 ? "" : ` ${megabytes(unshipped.bytes)} wait for it.`
    return {
      said: { sinceMillis, saidMillis: nowMillis, mostBytes },
      warning: `${cannot}, for ${seconds(nowMillis - sinceMillis)} now: ${trouble.fault.message}.${waiting} ${meanwhile(seen)}.`
    }
  }
  if (said === undefined) return { said }
  const mostBytes = Math.max(said.mostBytes, unshipped.bytes)
  const gathered = mostBytes === 0 ? "" : `; ${megabytes(mostBytes)} that had gathered are put there now`
  return {
    said: undefined,
    info: `The bucket is ${side === "write" ? "written" : "read"} again, after ${seconds(nowMillis - said.sinceMillis)}${gathered}.`
  }
}

/** Tells in the log when the bucket fails, and when it works again. To be run as a duty. */
export const tellOfBucket = ({ mirror, timers, unshipped, watch }: BucketStatus): Effect.Effect<never> => {
  const said: Record<BucketSide, SaidTrouble | undefined> = { write: undefined, read: undefined }
  const look = Effect.forEach(
    bucketSides,
    (side) =>
      Effect.suspend(() => {
        const seen = { side, nowMillis: timers.nowMillis(), trouble: watch.trouble(side) }
        const news = newsOf(said[side], {
          ...seen,
          unshipped: side === "write" ? unshipped() : nothing,
          mirror: mirror()
        })
        said[side] = news.said
        const code = side === "write" ? "BATON-BUCKET-WRITE" : "BATON-BUCKET-READ"
        if (news.warning !== undefined) return reportFault(code, news.warning)
        return news.info === undefined ? Effect.void : Effect.asVoid(faultEnded(code, { message: news.info }))
      }),
    { discard: true }
  )
  return Effect.forever(Effect.andThen(Effect.sleep(bucketLookMillis), look))
}
