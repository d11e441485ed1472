import type { Redacted } from "effect"
import type { OperatorReply, OperatorWay } from "../../http/shape/OperatorDoor.ts"
import type { ApiRequest } from "../../http/request/ApiRequest.ts"
import { makeSecretCheck } from "../../http/request/Secret.ts"
import { problem } from "./OperatorReplies.ts"

/** What a request does: `see` shows how the service is; `rows` shows something of a row; `change` drops a shape, or has something done. */
export type Deed = "see" | "rows" | "change"

type Request = Pick<ApiRequest, "header" | "method">

const basic = /^basic +([A-Za-z0-9+/=]+) *$/i
const bearer = /^bearer +(.+?) *$/i

/** The secret that a request carries: as a bearer token, as the password of a browser's dialogue, or in its query. */
const givenSecret = (request: Request, params: URLSearchParams): string | undefined => {
  const line = request.header("authorization")
  if (line !== undefined) {
    const token = bearer.exec(line)?.[1]
    if (token !== undefined) return token
    const pair = basic.exec(line)?.[1]
    if (pair !== undefined) {
      const text = Buffer.from(pair, "base64").toString("utf8")
      return text.slice(text.indexOf(":") + 1)
    }
  }
  return params.get("secret") ?? params.get("api_secret") ?? undefined
}

const unauthorized = problem(
  401,
  "unauthorized",
  "This needs the secret (ELECTRIC_SECRET): as the password of HTTP basic authentication with any user name, as a bearer token, or as the parameter secret.",
  "www-authenticate",
  'Basic realm="Baton: the password is ELECTRIC_SECRET", charset="UTF-8"'
)

const unauthorizedPage: OperatorReply = {
  ...unauthorized,
  headers: unauthorized.headers.filter((_, i, all) => all[i - (i % 2)] !== "www-authenticate")
}

const foreign = problem(
  403,
  "cross-site",
  "A page of another site asked for this. Only the page of this service, and programs, may change something."
)

/**
 * Whether a request is refused. The secret is compared in constant time. By way of metrics, what shows no rows and changes
 * nothing is free; a host has looked at who asks by itself, so the secret is needed for nothing.
 */
export const makeAccess = (secret: Redacted.Redacted<string> | undefined) => {
  const isRight = makeSecretCheck(secret)
  return (
    request: Request,
    params: URLSearchParams,
    way: OperatorWay,
    deed: Deed
  ): OperatorReply | undefined => {
    const site = request.header("sec-fetch-site")
    if (deed === "change" && site !== undefined && site !== "same-origin" && site !== "none") return foreign
    if (way === "host" || (way === "metrics" && deed === "see")) return undefined
    if (isRight({ secret: givenSecret(request, params) })) return undefined
    // The page asks by itself; a browser would do it over the page's head.
    return request.header("x-baton-page") === undefined ? unauthorized : unauthorizedPage
  }
}
