import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import type { IncomingMessage } from "node:http"

/** What a store knows of its clients. */
export interface KnownKeys {
  readonly region: string
  /** Secrets by access key. */
  readonly secrets: ReadonlyMap<string, string>
  /** The store's clock, milliseconds since 1970. */
  readonly nowMillis: () => number
}

export interface SignatureProblem {
  readonly status: number
  readonly code: string
  readonly message: string
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest()
const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex")

const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`
  )

const authorization =
  /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/(\d{8})\/([^/,]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/

const mostSkewMillis = 15 * 60_000

const problem = (status: number, code: string, message: string): SignatureProblem => ({
  status,
  code,
  message
})

const header = (request: IncomingMessage, name: string): string => String(request.headers[name] ?? "")

const canonicalQuery = (search: URLSearchParams): string =>
  [...search]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .toSorted()
    .join("&")

/**
 * Checks a request as S3 does, and not with the library that signs it.
 * Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
 */
export const checkSignature = (
  request: IncomingMessage,
  url: URL,
  body: Buffer,
  { nowMillis, region, secrets }: KnownKeys
): SignatureProblem | undefined => {
  const found = authorization.exec(header(request, "authorization"))
  if (found === null) return problem(403, "AccessDenied", "Access Denied")
  const [, accessKeyId = "", day = "", givenRegion = "", signedHeaders = "", signature = ""] = found
  const secret = secrets.get(accessKeyId)
  if (secret === undefined) {
    return problem(
      403,
      "InvalidAccessKeyId",
      "The AWS Access Key Id you provided does not exist in our records."
    )
  }
  if (givenRegion !== region) {
    const message = `The authorization header is malformed; the region '${givenRegion}' is wrong; expecting '${region}'`
    return problem(400, "AuthorizationHeaderMalformed", message)
  }
  const stamp = header(request, "x-amz-date")
  const millis = Date.parse(stamp.replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5"))
  if (!(Math.abs(millis - nowMillis()) <= mostSkewMillis) || !stamp.startsWith(day)) {
    return problem(
      403,
      "RequestTimeTooSkewed",
      "The difference between the request time and the current time is too large."
    )
  }
  const sum = header(request, "x-amz-content-sha256")
  if (sum !== "UNSIGNED-PAYLOAD" && sum !== sha256(body)) {
    return problem(
      400,
      "XAmzContentSHA256Mismatch",
      "The provided 'x-amz-content-sha256' header does not match."
    )
  }
  const names = signedHeaders.split(";")
  if (
    !names.includes("host") ||
    (request.headers["if-none-match"] !== undefined && !names.includes("if-none-match"))
  ) {
    return problem(403, "AccessDenied", "There were headers present in the request which were not signed")
  }
  const canonical = [
    request.method,
    url.pathname
      .split("/")
      .map((part) => encoded(decodeURIComponent(part)))
      .join("/"),
    canonicalQuery(url.searchParams),
    ...names.map((name) => `${name}:${header(request, name).trim().replaceAll(/\s+/g, " ")}`),
    "",
    signedHeaders,
    sum
  ].join("\n")
  const scope = `${day}/${region}/s3/aws4_request`
  const key = [region, "s3", "aws4_request"].reduce(hmac, hmac(`AWS4${secret}`, day))
  const expected = hmac(key, ["AWS4-HMAC-SHA256", stamp, scope, sha256(canonical)].join("\n"))
  return timingSafeEqual(expected, Buffer.from(signature, "hex"))
    ? undefined
    : problem(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided."
      )
}
