/** The routes of the API. `none` is everything else: 404. */
export type Route = "root" | "shape" | "health" | "openapi" | "operator" | "none"

/** Path and query of a request target as the client sent them, undecoded. */
interface Target {
  readonly path: string
  /** Without the question mark; empty if there is none. */
  readonly query: string
}

const absoluteForm = /^https?:\/\/[^/?#]*/i

/** Splits a request target. The absolute form (`GET http://host/path`) loses its scheme and authority. */
export const splitTarget = (target: string): Target => {
  const local = target.charCodeAt(0) === 47 ? target : target.replace(absoluteForm, "")
  const mark = local.indexOf("?")
  return mark < 0 ? { path: local, query: "" } : { path: local.slice(0, mark), query: local.slice(mark + 1) }
}

const decodeSegment = (segment: string): string => {
  if (!segment.includes("%")) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

/**
 * The route a path means: empty segments do not count, each segment is decoded once after the split (so an
 * encoded slash never separates), a bad escape stays as it is, dots and upper case are ordinary characters.
 * Whatever asks for the secret or chooses CORS methods asks this function, never the raw path.
 */
export const routeOf = (path: string): Route => {
  if (path === "/v1/shape") return "shape"
  if (path !== "" && path.charCodeAt(0) !== 47) return "none"
  const segments: Array<string> = []
  for (const segment of path.split("/")) {
    if (segment === "") continue
    if (segments.length === 2) return "none"
    if (segments.length === 0 && segment === "baton") return "operator"
    segments.push(decodeSegment(segment))
  }
  if (segments.length === 0) return "root"
  if (segments.length === 1 || segments[0] !== "v1") return "none"
  switch (segments[1]) {
    case "shape":
      return "shape"
    case "health":
      return "health"
    case "openapi.json":
      return "openapi"
    default:
      return "none"
  }
}

/**
 * What a request asks for once its method is known. A method that a route does not have is `none` (404): the
 * API has no 405 except for a disabled DELETE.
 */
export type Operation =
  "root" | "health" | "openapi" | "readShape" | "deleteShape" | "preflight" | "operator" | "none"

export const operationOf = (route: Route, method: string): Operation => {
  const reads = method === "GET" || method === "HEAD"
  switch (route) {
    case "shape":
      if (reads || method === "POST") return "readShape"
      return method === "DELETE" ? "deleteShape" : method === "OPTIONS" ? "preflight" : "none"
    case "none":
      return "none"
    case "operator":
      return "operator"
    default:
      return reads ? route : "none"
  }
}
