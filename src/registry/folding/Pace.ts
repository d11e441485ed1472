/** Asked by whoever reads rows or messages how fast it may. */
export interface Pace {
  /** So many were taken since it was asked last. Where it gives a promise, no more are read until that is done; it never rejects. */
  readonly took: (count: number) => Promise<unknown> | undefined
}
