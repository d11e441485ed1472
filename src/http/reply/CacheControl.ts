/** What a response is, as far as caches are concerned. */
export type CacheClass =
  | "initial"
  | "catchUp"
  | "live"
  | "sse"
  | "subset"
  | "conflictWithHandle"
  | "error"
  | "deletion"
  | "health"
  | "unspecific"

export interface CacheSettings {
  readonly maxAgeSeconds: number
  readonly staleAgeSeconds: number
  readonly sseLifetimeSeconds: number
  /** For so long rows that others have taken the place of can still be gone on from; `undefined`: as long as the shape lives. */
  readonly rowsSeconds: number | undefined
  /**
   * Who may keep an answer. `everybody`: it depends on the URL alone. `client`: on headers that `vary` names, too, so
   * the client's own cache may. `nobody`: on headers that we do not know, so another user of the same browser could be
   * given it; it may be stored, but not used before we have been asked, and then the hook decides again.
   */
  readonly keeps: "everybody" | "client" | "nobody"
}

/**
 * The `cache-control` of a response. POST responses and deletions are never stored; errors neither, except a 409
 * that names the shape to read instead, which spares the service the same question from many clients.
 */
export const cacheControl = (kind: CacheClass, method: string, settings: CacheSettings): string => {
  if (kind === "unspecific") return "max-age=0, private, must-revalidate"
  if (kind === "health") return "no-cache, no-store, must-revalidate"
  if (kind === "subset" || kind === "deletion" || (method !== "GET" && method !== "HEAD")) return "no-cache"
  if (kind === "error") return "no-store"
  if (settings.keeps === "nobody") return "private, no-cache"
  const shared = settings.keeps === "everybody"
  const scope = shared ? "public" : "private"
  switch (kind) {
    case "initial":
      return initial(shared, settings.rowsSeconds)
    case "catchUp":
      return `${scope}, max-age=${settings.maxAgeSeconds}, stale-while-revalidate=${settings.staleAgeSeconds}`
    case "live":
      return `${scope}, max-age=5, stale-while-revalidate=5`
    case "sse":
      return `${scope}, max-age=${Math.max(1, settings.sseLifetimeSeconds - 1)}`
    case "conflictWithHandle":
      return `${scope}, max-age=60, must-revalidate`
  }
}

/** The beginning of the rows: used for half as long as it can be gone on from, and stale for the other half. */
const initial = (shared: boolean, rowsSeconds = Infinity): string => {
  const half = Math.floor(rowsSeconds / 2)
  const [age, sharedAge, staleAge] = [604_800, 3600, 2_629_746].map((seconds) => Math.min(half, seconds))
  return shared
    ? `public, max-age=${age}, s-maxage=${sharedAge}, stale-while-revalidate=${staleAge}`
    : `private, max-age=${age}, stale-while-revalidate=${staleAge}`
}

/** Surrogates (CDNs) get the same answer as `cache-control: no-store` where they have a header of their own. */
export const forbidsSurrogates = (kind: CacheClass, method: string): boolean =>
  kind === "error" && (method === "GET" || method === "HEAD")
