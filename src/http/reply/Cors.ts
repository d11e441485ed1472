import type { Route } from "../request/Route.ts"

/** Which pages of other origins may read answers. */
export interface NamedOrigins {
  /** Origins as browsers send them, such as `https://app.example.com`, or a function that knows them. */
  readonly origins: ReadonlyArray<string> | ((origin: string) => boolean)
  /** Whether their requests may carry cookies, which `authorize` can then decide by. */
  readonly credentials?: boolean
}

/**
 * `everybody`: any page may read, and no browser sends cookies along. `false`: the host says it, and Baton only names the
 * headers that pages may see, which means nothing by itself. Source: Fetch standard, "CORS protocol".
 */
export type Cors = "everybody" | false | NamedOrigins

const exposedHeaders =
  "electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,electric-snapshot,electric-up-to-date," +
  "electric-internal-known-error,electric-server,baton-where,baton-where-reason,x-request-id,retry-after"
const shapeMethods = "GET, POST, HEAD, DELETE, OPTIONS"
const otherMethods = "GET, HEAD"

/** The headers that are the same for every origin, names and values in turn. */
export const corsHeaders = (cors: Cors, route: Route): ReadonlyArray<string> => {
  const exposed = ["access-control-expose-headers", exposedHeaders]
  if (cors === false) return exposed
  const methods = ["access-control-allow-methods", route === "shape" ? shapeMethods : otherMethods]
  return cors === "everybody"
    ? ["access-control-allow-origin", "*", ...exposed, ...methods]
    : [...exposed, ...methods]
}

/** What an origin that may read gets besides; nothing for others, and for requests without one. */
export const originHeaders = (cors: NamedOrigins, origin: string | undefined): ReadonlyArray<string> => {
  if (origin === undefined) return []
  if (!isAllowed(cors, origin)) return []
  const allowed = ["access-control-allow-origin", origin]
  return cors.credentials === true ? [...allowed, "access-control-allow-credentials", "true"] : allowed
}

/** A function that throws knows no origin: this one may not read. */
const isAllowed = ({ origins }: NamedOrigins, origin: string): boolean => {
  if (typeof origins !== "function") return origins.includes(origin)
  try {
    return origins(origin)
  } catch {
    return false
  }
}

/** What cannot be meant by `cors`: an origin that no browser would send, which would silently let nobody in. */
export const corsProblem = (cors: Cors): string | undefined => {
  if (cors === "everybody" || cors === false || typeof cors.origins === "function") return undefined
  const wrong = cors.origins.find((origin) => !isOrigin(origin))
  return wrong === undefined
    ? undefined
    : `cors.origins: ${JSON.stringify(wrong)} is no origin. Browsers send scheme, host and port, without a slash at the ` +
        "end, such as https://app.example.com or http://localhost:5173."
}

const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text
