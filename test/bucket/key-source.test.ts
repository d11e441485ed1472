import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import { BucketFault } from "../../src/bucket/BucketFault.ts"
import { fixedKeys, lentKeys } from "../../src/bucket/KeySource.ts"

const failure = async (asked: Promise<unknown>): Promise<BucketFault> => {
  const found = await asked.then(
    () => undefined,
    (error: unknown) => error
  )
  if (found instanceof BucketFault) return found
  throw new Error("it was to fail with a fault")
}

/** The package, with a provider that gives one answer after the other. */
const packageWith = (...answers: ReadonlyArray<() => unknown>) => {
  let asked = 0
  let loads = 0
  return {
    load: async (name: string): Promise<unknown> => {
      assert.strictEqual(name, "@aws-sdk/credential-providers")
      loads++
      return { fromNodeProviderChain: () => async () => answers[asked++]?.() }
    },
    loads: () => loads
  }
}

const no = () => {
  throw new Error("Could not load credentials from any providers")
}

describe("keys of a bucket", () => {
  it("are those of the configuration", async () => {
    const secretAccessKey = Redacted.make("SK")
    assert.deepStrictEqual(
      await fixedKeys({ accessKeyId: "AK", secretAccessKey, sessionToken: undefined })(),
      {
        accessKeyId: "AK",
        secretAccessKey: "SK"
      }
    )
    const sessionToken = Redacted.make("T")
    assert.deepStrictEqual(await fixedKeys({ accessKeyId: "AK", secretAccessKey, sessionToken })(), {
      accessKeyId: "AK",
      secretAccessKey: "SK",
      sessionToken: "T"
    })
  })

  it("are lent anew as often as they are asked for, by a package that is loaded once", async () => {
    const expiration = new Date(0)
    const { load, loads } = packageWith(
      () => ({ accessKeyId: "A1", secretAccessKey: "S1", sessionToken: "T1", expiration }),
      () => ({ accessKeyId: "A2", secretAccessKey: "S2" })
    )
    const keys = lentKeys("s3://shop", load)
    assert.deepStrictEqual(await keys(), { accessKeyId: "A1", secretAccessKey: "S1", sessionToken: "T1" })
    assert.deepStrictEqual(await keys(), { accessKeyId: "A2", secretAccessKey: "S2" })
    assert.strictEqual(loads(), 1)
  })

  it("are missing for good when none were ever found, and for a while when some were", async () => {
    const never = lentKeys("s3://shop", packageWith(no).load)
    assert.include(await failure(never()), { kind: "wrongKey", passing: false })
    const once = lentKeys(
      "s3://shop",
      packageWith(() => ({ accessKeyId: "A", secretAccessKey: "S" }), no).load
    )
    await once()
    const fault = await failure(once())
    assert.include(fault, { kind: "failing", passing: true })
    assert.include(fault.message, "Could not load credentials from any providers")
  })

  it("need the package, and say so", async () => {
    // It is not installed with us.
    const fault = await failure(lentKeys("s3://shop")())
    assert.include(fault, { kind: "wrongKey", passing: false, object: "s3://shop" })
    assert.match(
      fault.message,
      /AWS_ACCESS_KEY_ID is not set, and the package @aws-sdk\/credential-providers/
    )
    const other = await failure(lentKeys("s3://shop", async () => ({ default: 1 }))())
    assert.include(other.message, "has no fromNodeProviderChain")
    const odd = await failure(lentKeys("s3://shop", packageWith(() => "keys").load)())
    assert.include(odd.message, "something that is no key")
  })
})
