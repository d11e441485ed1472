/** Letters that have to be typed anew, left out or put in to make one text of the other. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** What a name says behind its prefix, which may be the wrong one of the two. */
const withoutPrefix = (name: string): string => name.replace(/^(?:ELECTRIC|BATON)_/, "")

/** Longest name that is compared: nobody mistypes a longer one into one of ours. */
const longestName = 100

/**
 * The known name that `name` was probably meant to be: a few letters away, or the same behind the other prefix.
 * `undefined` when none is near.
 */
export const nearestName = (name: string, known: Iterable<string>): string | undefined => {
  if (name.length > longestName) return undefined
  const own = withoutPrefix(name)
  let nearest: string | undefined
  let least = Math.max(2, Math.floor(own.length / 4)) + 1
  for (const candidate of known) {
    const away = distance(own, withoutPrefix(candidate))
    if (away < least) {
      least = away
      nearest = candidate
    }
  }
  return nearest
}
