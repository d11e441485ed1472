import { assert, describe, it, onTestFinished } from "vitest"
import type { Fate, Meeting } from "../../testing/bucket/BucketFaults.ts"
import { startFakeS3 } from "../../testing/bucket/FakeS3.ts"
import { patient } from "../../testing/Load.ts"
import { databaseForTest, serviceForTest } from "./support/faults.ts"

interface Row {
  readonly what: string
  readonly env?: Readonly<Record<string, string>>
  readonly fault?: readonly [Fate, Meeting]
  /** The store's clock, by so much. */
  readonly aheadMillis?: number
  readonly says: RegExp
}

const rows: ReadonlyArray<Row> = [
  {
    what: "a key that is not known",
    env: { AWS_ACCESS_KEY_ID: "nobody" },
    says: /InvalidAccessKeyId.*check AWS_ACCESS_KEY_ID/
  },
  {
    what: "a wrong secret",
    env: { AWS_SECRET_ACCESS_KEY: "wrong" },
    says: /SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY/
  },
  {
    what: "another region",
    env: { BATON_BUCKET_REGION: "eu-central-1" },
    says: /region.*set BATON_BUCKET_REGION/i
  },
  {
    what: "a clock that is wrong",
    aheadMillis: 3_600_000,
    says: /RequestTimeTooSkewed.*set this machine's clock/
  },
  {
    what: "no bucket",
    env: { BATON_BUCKET: "s3://elsewhere/" },
    says: /NoSuchBucket.*create the bucket, or correct BATON_BUCKET/
  },
  {
    what: "a key that may not list",
    fault: [{ _tag: "Refuse", kind: "denied" }, { operation: "list" }],
    says: /cannot list .*AccessDenied.*permissions that docs\/bucket\.md lists/
  },
  {
    what: "a key that may not write",
    fault: [{ _tag: "Refuse", kind: "denied" }, { operation: "create" }],
    says: /cannot create .*AccessDenied.*permissions that docs\/bucket\.md lists/
  },
  {
    what: "a store that ignores If-None-Match",
    fault: [{ _tag: "Unconditional" }, { operation: "create" }],
    says: /If-None-Match is not honoured.*use a store that honours/
  }
]

describe("a start on a bucket that cannot be used", () => {
  for (const { aheadMillis = 0, env, fault, says, what } of rows)
    it(`${what}: ends, and says why in one line`, { timeout: patient(30_000) }, async () => {
      const s3 = await startFakeS3({ nowMillis: () => Date.now() + aheadMillis })
      onTestFinished(() => s3.close())
      if (fault !== undefined) s3.faults.add(...fault)
      const service = await serviceForTest({
        database: await databaseForTest(),
        until: false,
        env: { ...s3.environment(), ...env }
      })
      assert.strictEqual((await service.ended).code, 1)
      const told = service
        .logs()
        .split("\n")
        .filter((line) => / (?:warning|error) .*(?:bucket|s3:\/\/)/i.test(line))
      assert.lengthOf(told, 1, service.logs())
      assert.match(told[0] ?? "", says)
      assert.notMatch(service.logs(), /\n\s+at /, "no stack")
    })

  it(
    "waits for one that cannot be reached, says so, and goes on when it can",
    { timeout: patient(60_000) },
    async () => {
      const s3 = await startFakeS3()
      onTestFinished(() => s3.close())
      const fault = s3.faults.add({ _tag: "Refuse", kind: "unreachable" })
      const service = await serviceForTest({
        database: await databaseForTest(),
        until: "starting",
        env: s3.environment()
      })
      await service.untilLogged(
        /cannot read s3:.*Nothing can be served before the bucket has answered; it is tried again/
      )
      const refused = await fetch(`${service.url}/v1/shape?table=items&offset=-1`)
      assert.strictEqual(refused.status, 503)
      fault.end()
      await service.until("active", 40_000)
    }
  )
})
