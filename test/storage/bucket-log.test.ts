import { assert, describe, it } from "vitest"
import { BucketFault } from "../../src/bucket/BucketFault.ts"
import type { BucketSide } from "../../src/bucket/BucketWatch.ts"
import { newsOf, type SaidTrouble } from "../../src/storage/BucketLog.ts"

const fault = new BucketFault({ operation: "create", object: "s3://b/wal/7", kind: "failing", said: "500" })

/** What is said at each second of a bucket that fails from second 10 to second `until`. */
const told = (side: BucketSide, until: number, isTailAlive?: boolean): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let said: SaidTrouble | undefined
  for (let second = 0; second < until + 20; second++) {
    const isFailing = second >= 10 && second < until
    const news = newsOf(said, {
      side,
      nowMillis: second * 1000,
      trouble: isFailing ? { sinceMillis: 10_000, sinceEpochMillis: 0, fault } : undefined,
      unshipped:
        isTailAlive === undefined && isFailing
          ? { bytes: 1e6 * (second - 10), millis: 1 }
          : { bytes: 5e6, millis: 1 },
      mirror: isTailAlive === undefined ? undefined : { isTailAlive, behindMillis: 0 }
    })
    said = news.said
    for (const line of [news.warning, news.info]) if (line !== undefined) lines.push(`${second}: ${line}`)
  }
  return lines
}

describe("what the log says of a bucket", () => {
  it("is one line when it fails, one a minute, and one when it works again", () => {
    assert.deepStrictEqual(told("write", 140), [
      `12: The bucket cannot be written: ${fault.message}. It is tried again. Changes go on to clients, nothing is acknowledged to Postgres, which keeps its WAL, and new shapes are refused.`,
      `72: The bucket cannot be written, for 62 s now: ${fault.message}. 62.0 MB wait for it. Changes go on to clients, nothing is acknowledged to Postgres, which keeps its WAL, and new shapes are refused.`,
      `132: The bucket cannot be written, for 122 s now: ${fault.message}. 122.0 MB wait for it. Changes go on to clients, nothing is acknowledged to Postgres, which keeps its WAL, and new shapes are refused.`,
      "140: The bucket is written again, after 130 s; 129.0 MB that had gathered are put there now."
    ])
  })

  it("is nothing of a moment", () => assert.deepStrictEqual(told("write", 11), []))

  it("is what a mirror sees meanwhile", () => {
    assert.match(
      told("read", 20, true)[0] ?? "",
      /cannot be read: .*changes come from the active instance itself\.$/
    )
    assert.match(told("read", 20, false)[0] ?? "", /changes are not seen\.$/)
  })
})
