import type { BucketFaultKind, BucketOperation } from "./BucketFault.ts"
import type { ObjectInfo } from "./ObjectStore.ts"
import { childText, parseXml } from "./XmlElement.ts"

/** What an answer other than a success says. */
interface S3Refusal {
  readonly status: number
  /** Of the store's own error, such as `NoSuchKey`; empty when it has none. */
  readonly code: string
  readonly message: string
}

const longestMessage = 300

const oneLine = (text: string): string =>
  text
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .trim()
    .slice(0, longestMessage)

/** Of the body of an answer that is no success: an `Error` of the S3 API, or whatever stands between. */
export const readRefusal = (status: number, body: string): S3Refusal => {
  const error = parseXml(body)
  if (error?.name === "Error") {
    return {
      status,
      code: oneLine(childText(error, "Code") ?? ""),
      message: oneLine(childText(error, "Message") ?? "")
    }
  }
  return { status, code: "", message: oneLine(body.replaceAll(/<[^>]*>/g, " ")) }
}

/** How a message calls it. */
export const refusalText = ({ code, message, status }: S3Refusal): string =>
  [`${status}${code === "" ? "" : ` ${code}`}`, message].filter((part) => part !== "").join(", ")

/**
 * Kinds by the store's own code, which says more than the status.
 * Source: Amazon S3 API Reference, "Error responses"; MinIO, Ceph and R2 have taken the codes over.
 */
const kinds: Readonly<Record<string, BucketFaultKind>> = {
  AccessDenied: "denied",
  AccountProblem: "denied",
  AllAccessDisabled: "denied",
  InvalidObjectState: "denied",
  AuthorizationHeaderMalformed: "wrongRegion",
  IllegalLocationConstraintException: "wrongRegion",
  InvalidRegion: "wrongRegion",
  PermanentRedirect: "wrongRegion",
  ExpiredToken: "wrongKey",
  InvalidAccessKeyId: "wrongKey",
  InvalidSecurity: "wrongKey",
  InvalidToken: "wrongKey",
  NotSignedUp: "wrongKey",
  SignatureDoesNotMatch: "wrongKey",
  TokenRefreshRequired: "wrongKey",
  Unauthorized: "wrongKey",
  UnauthorizedAccess: "denied",
  RequestExpired: "clockSkew",
  RequestTimeTooSkewed: "clockSkew",
  InvalidBucketName: "noBucket",
  NoSuchBucket: "noBucket",
  BadDigest: "failing",
  ConditionalRequestConflict: "failing",
  IncompleteBody: "failing",
  InternalError: "failing",
  OperationAborted: "failing",
  QuotaExceeded: "failing",
  ServiceUnavailable: "failing",
  TemporaryRedirect: "failing",
  XAmzContentSHA256Mismatch: "failing",
  RequestTimeout: "timedOut",
  RequestLimitExceeded: "throttled",
  SlowDown: "throttled",
  SlowDownRead: "throttled",
  SlowDownWrite: "throttled",
  Throttling: "throttled",
  ThrottlingException: "throttled",
  TooManyRequests: "throttled"
}

/** Where there is no code, or one that says nothing to us. */
const kindOfStatus = (operation: BucketOperation, status: number): BucketFaultKind => {
  if (status === 301) return "wrongRegion"
  if (status === 302 || status === 307 || status === 308) return "failing"
  if (status === 401) return "wrongKey"
  if (status === 403) return "denied"
  if (status === 404) return operation === "read" ? "refused" : "noBucket"
  if (status === 408) return "timedOut"
  if (status === 409 || status === 425) return "failing"
  if (status === 429) return "throttled"
  // The condition of a create is the one thing that a store may not know of.
  if (status === 501) return operation === "create" ? "unsafe" : "refused"
  return status >= 500 ? "failing" : "refused"
}

export const kindOfRefusal = (
  operation: BucketOperation,
  { code, message, status }: S3Refusal
): BucketFaultKind => {
  // The same code stands for a key in a form that is not known there.
  if (code === "AuthorizationHeaderMalformed" && !/region/i.test(message)) return "wrongKey"
  return (Object.hasOwn(kinds, code) ? kinds[code] : undefined) ?? kindOfStatus(operation, status)
}

/** Codes of a 409 that means that the object is there. */
const thereAlready = new Set([
  "PreconditionFailed",
  "ObjectAlreadyExists",
  "KeyAlreadyExists",
  "FileAlreadyExists"
])

/**
 * Is it the condition of a create that has not held? 412 of all stores that honour it, but for old MinIO (304) and some that say
 * 409; `ConditionalRequestConflict` and other 409s are of two requests at once, and leave it open.
 */
export const isConditionNotHeld = ({ code, status }: S3Refusal): boolean =>
  status === 412 || status === 304 || (status === 409 && thereAlready.has(code))

/** A page of a listing. */
interface ListPage {
  readonly objects: ReadonlyArray<ObjectInfo>
  readonly isTruncated: boolean
}

/** Of the answer to `ListObjectsV2`; `undefined` when it is none. */
export const readListPage = (body: string): ListPage | undefined => {
  const result = parseXml(body)
  const truncated = result && childText(result, "IsTruncated")?.trim()
  if (result?.name !== "ListBucketResult" || (truncated !== "true" && truncated !== "false")) return undefined
  const objects: Array<ObjectInfo> = []
  for (const child of result.children) {
    if (child.name !== "Contents") continue
    const key = childText(child, "Key")
    const bytes = Number(childText(child, "Size")?.trim() || Number.NaN)
    const modifiedMillis = Date.parse(childText(child, "LastModified")?.trim() ?? "")
    if (key === undefined || !Number.isSafeInteger(bytes) || Number.isNaN(modifiedMillis)) return undefined
    objects.push({ key, bytes, modifiedMillis })
  }
  return { objects, isTruncated: truncated === "true" }
}
