import { bucketSides } from "../bucket/BucketWatch.ts"
import type { BucketStatus } from "./BucketStatus.ts"

/** What an operator is told of a bucket who asks for it. */
export const describeBucket = ({ mirror, unshipped, watch }: BucketStatus) => {
  const troubles = bucketSides.flatMap((side) => {
    const trouble = watch.trouble(side)
    return trouble === undefined ? [] : [{ side, ...trouble }]
  })
  const [first] = troubles.toSorted((a, b) => a.sinceMillis - b.sinceMillis)
  const { bytes, millis } = unshipped()
  const following = mirror()
  return {
    ...(first === undefined
      ? { status: "ok" as const }
      : {
          status: "failing" as const,
          cannot: first.side,
          since: new Date(first.sinceEpochMillis).toISOString(),
          message: first.fault.message
        }),
    ...(following === undefined
      ? { role: "writer" as const, unshipped: { bytes, millis: Math.round(millis) } }
      : {
          role: "mirror" as const,
          tailAlive: following.isTailAlive,
          behindMillis: Math.round(following.behindMillis)
        })
  }
}
