/** `requested` and `next` are offsets in canonical text. `suffix` makes answers without news never validate. */
export const logEtag = (handle: string, requested: string, next: string, suffix?: string): string =>
  suffix === undefined ? `"${handle}:${requested}:${next}"` : `"${handle}:${requested}:${next}:${suffix}"`

/** The tag of the same answer in gzip: other bytes, so another tag. */
export const gzipEtag = (etag: string): string => `${etag.slice(0, -1)};gzip"`

export const conflictEtag = (handle: string): string => `"${handle}::"`

/**
 * Whether an `If-None-Match` line names the tag. Items are compared as text without their quotes; weak tags and
 * `*` never match.
 */
export const matchesEtag = (ifNoneMatch: string, etag: string): boolean => {
  const wanted = etag.slice(1, -1)
  for (const item of ifNoneMatch.split(",")) {
    const trimmed = item.trim()
    let start = 0
    let end = trimmed.length
    while (start < end && trimmed.charCodeAt(start) === 34) start++
    while (end > start && trimmed.charCodeAt(end - 1) === 34) end--
    if (trimmed.slice(start, end) === wanted) return true
  }
  return false
}
