/** The part of Node's responses that holds what a host's middleware has set. */
export interface HeaderHolder {
  getHeaderNames(): ReadonlyArray<string>
  getHeader(name: string): unknown
}

const cors = "access-control-"
/** Lists of which both the host's and ours have to stand. */
const joined = new Set(["vary", "access-control-expose-headers"])
const requestId = "x-request-id"

/**
 * Fits the headers of a reply (names and values in turn; changed in place) to those that the host's middleware has set on
 * the response before: writing the head would replace them. Headers of CORS, and the request's id, stay as the host has
 * set them. `vary` and the headers that pages may see are both lists together. What is about content and caching is
 * Baton's.
 */
export const keepHostHeaders = (response: HeaderHolder, headers: Array<string>): void => {
  const names = response.getHeaderNames()
  if (names.length === 0) return
  const given = new Set(names)
  let length = 0
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? ""
    const own = headers[i + 1] ?? ""
    const isJoined = joined.has(name)
    const isGiven = given.has(name)
    if (isGiven && !isJoined && (name === requestId || name.startsWith(cors))) continue
    headers[length++] = name
    headers[length++] = isGiven && isJoined ? joinLists(response.getHeader(name), own) : own
  }
  headers.length = length
}

/** Both lists, without what both have. */
export const joinLists = (first: unknown, second: string): string => {
  const items = `${Array.isArray(first) ? first.join(",") : String(first)},${second}`.split(",")
  const found = new Map<string, string>()
  for (const item of items) {
    const text = item.trim()
    if (text !== "" && !found.has(text.toLowerCase())) found.set(text.toLowerCase(), text)
  }
  return found.has("*") ? "*" : [...found.values()].join(", ")
}
