/** How often a mirror looks at the chain: what an operator pays for each look stands in docs/bucket.md. */
const pollMillis = {
  /** While clients wait, and the writer cannot be heard. */
  awaited: 250,
  otherwise: 5_000
}
const failurePauseMillis = { first: 500, longest: 30_000 }

/** Milliseconds until the next look at the chain, after one that has gone well. */
export const untilNextLook = (now: { readonly isTailAlive: boolean; readonly awaited: boolean }): number =>
  now.awaited && !now.isTailAlive ? pollMillis.awaited : pollMillis.otherwise

/** Milliseconds until it is tried again, after one that has failed, and so many before it in a row. */
export const afterFailure = (before: number): number =>
  Math.min(failurePauseMillis.first * 2 ** Math.min(before, 16), failurePauseMillis.longest)
