/** How often a mirror looks at the chain: what an operator pays for each look stands in docs/bucket.md. */
const pollMillis = {
  /** While clients wait, and the writer cannot be heard. */
  awaited: 250,
  /** The same, when the writer has only just ended: its successor opens an epoch in a moment, and clients wait for what it brings. */
  succession: 50,
  otherwise: 5_000
}
/** No writer takes longer to come, or else something is wrong. */
const successionMillis = 3_000
const failurePauseMillis = { first: 500, longest: 30_000 }

interface Now {
  readonly isTailAlive: boolean
  /** Clients wait. */
  readonly awaited: boolean
  /** Milliseconds since the writer was heard for the last time, or was this process itself. */
  readonly aloneMillis: number
}

/** Milliseconds until the next look at the chain, after one that has gone well. */
export const untilNextLook = ({ aloneMillis, awaited, isTailAlive }: Now): number => {
  if (!awaited || isTailAlive) return pollMillis.otherwise
  return aloneMillis < successionMillis ? pollMillis.succession : pollMillis.awaited
}

/** Milliseconds until it is tried again, after one that has failed, and so many before it in a row. */
export const afterFailure = (before: number): number =>
  Math.min(failurePauseMillis.first * 2 ** Math.min(before, 16), failurePauseMillis.longest)
