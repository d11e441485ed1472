import { acceptsGzip } from "../../http/reply/AcceptEncoding.ts"
import type { OperatorReply } from "../../http/shape/OperatorDoor.ts"
import type { ApiRequest } from "../../http/request/ApiRequest.ts"
import { pageAsset } from "../PageAssets.ts"
import { commonHeaders, notFound, problem } from "./OperatorReplies.ts"

/** Nothing from elsewhere, nothing that stands in the page itself, and no text becomes markup. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

/** A file of the page. */
export const assetReply = (request: Pick<ApiRequest, "header">, name: string): OperatorReply => {
  let asset: ReturnType<typeof pageAsset>
  try {
    asset = pageAsset(name)
  } catch {
    return problem(
      404,
      "no-page",
      "This program has the API for operators, and not the files of the page: they stand in the folder dashboard of the package."
    )
  }
  if (asset === undefined) return notFound
  const headers = commonHeaders()
  // The page is small, and a browser asks each time whether it is another one.
  headers[1] = "no-cache"
  headers.push("content-security-policy", policy, "etag", asset.etag, "vary", "accept-encoding")
  if (request.header("if-none-match") === asset.etag) return { status: 304, headers, body: { _tag: "Empty" } }
  headers.push("content-type", asset.type)
  const isGzip = acceptsGzip(request.header("accept-encoding"))
  if (isGzip) headers.push("content-encoding", "gzip")
  const bytes = isGzip ? asset.gzip : asset.bytes
  return { status: 200, headers, body: { _tag: "Bytes", pieces: [bytes], byteLength: bytes.length } }
}

/** From `/baton` to `/baton/`, whatever stands before it: what the page asks for is relative to that. */
export const toPage = (query: string): OperatorReply => ({
  status: 308,
  headers: [...commonHeaders(), "location", `baton/${query === "" ? "" : `?${query}`}`],
  body: { _tag: "Empty" }
})
