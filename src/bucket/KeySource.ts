import { Redacted } from "effect"
import type { BucketKeys } from "../config/BucketConfig.ts"
import { BucketFault } from "./BucketFault.ts"

/** Keys as a request is signed with them. Must not be logged. */
interface SigningKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** Gives the keys that are valid now; asked for each request. Fails with a `BucketFault`. */
export type KeySource = () => Promise<SigningKeys>

export const fixedKeys = ({ accessKeyId, secretAccessKey, sessionToken }: BucketKeys): KeySource => {
  const keys: SigningKeys = {
    accessKeyId,
    secretAccessKey: Redacted.value(secretAccessKey),
    ...(sessionToken === undefined ? {} : { sessionToken: Redacted.value(sessionToken) })
  }
  return () => Promise.resolve(keys)
}

/** What finds keys as the programs of AWS do: in files, by the role of the machine, the container or the account. Not installed with us. */
const providersPackage = "@aws-sdk/credential-providers"

type Provider = () => Promise<unknown>

const isKeys = (found: unknown): found is SigningKeys =>
  typeof found === "object" &&
  found !== null &&
  "accessKeyId" in found &&
  "secretAccessKey" in found &&
  typeof found.accessKeyId === "string" &&
  typeof found.secretAccessKey === "string"

const providerOf = (loaded: unknown): Provider | undefined => {
  const make = (loaded as { readonly fromNodeProviderChain?: unknown }).fromNodeProviderChain
  return typeof make === "function" ? (make() as Provider) : undefined
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * Keys that the machine is lent. The package that finds them is loaded at the first request, keeps them while they are valid, and
 * may be absent. `bucket` is how messages call the bucket.
 */
export const lentKeys = (
  bucket: string,
  load: (name: string) => Promise<unknown> = (name) => import(name)
): KeySource => {
  let provider: Provider | undefined
  let hasFound = false
  const fault = (kind: "wrongKey" | "failing", said: string, cause?: unknown) =>
    new BucketFault({ operation: "probe", object: bucket, kind, said, cause })
  const find = async (): Promise<Provider> => {
    let loaded: unknown
    try {
      loaded = await load(providersPackage)
    } catch (cause) {
      throw fault(
        "wrongKey",
        `AWS_ACCESS_KEY_ID is not set, and the package ${providersPackage}, which finds keys by the role of a machine, cannot be ` +
          "loaded: set the keys, or install it beside Baton",
        cause
      )
    }
    const found = providerOf(loaded)
    if (found === undefined) {
      throw fault(
        "wrongKey",
        `the package ${providersPackage} has no fromNodeProviderChain: install its version 3`
      )
    }
    return found
  }
  return async () => {
    provider ??= await find()
    let found: unknown
    try {
      found = await provider()
    } catch (cause) {
      // Those that had keys are lent new ones before these end; where that fails, it may be for a while.
      throw fault(hasFound ? "failing" : "wrongKey", `no keys could be found: ${textOf(cause)}`, cause)
    }
    if (!isKeys(found))
      throw fault("wrongKey", `the package ${providersPackage} has found something that is no key`)
    hasFound = true
    const { accessKeyId, secretAccessKey, sessionToken } = found
    return { accessKeyId, secretAccessKey, ...(typeof sessionToken === "string" ? { sessionToken } : {}) }
  }
}
