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
      return shared
        ? "public, max-age=604800, s-maxage=3600, stale-while-revalidate=2629746"
        : "private, max-age=604800, stale-while-revalidate=2629746"
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

/** Surrogates (CDNs) get the same answer as `cache-control: no-store` where they have a header of their own. */
export const forbidsSurrogates = (kind: CacheClass, method: string): boolean =>
  kind === "error" && (method === "GET" || method === "HEAD")
