/** A stream of pseudo-random choices that a seed reproduces. */
export interface Random {
  readonly seed: number
  /** In [0, 1). */
  readonly next: () => number
  /** A whole number in [from, to]. */
  readonly int: (from: number, to: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(items: ReadonlyArray<A>) => A
  /** A generator of its own, whose choices do not shift when this one is asked more or less often. */
  readonly fork: () => Random
}

/** Mulberry32 (public domain, Tommy Ettinger): small, and good enough to shuffle a workload. */
export const makeRandom = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const int = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  return {
    seed,
    next,
    int,
    chance: (probability) => next() < probability,
    pick: (items) => {
      const item = items[int(0, items.length - 1)]
      if (item === undefined) throw new Error("Nothing to pick from.")
      return item
    },
    fork: () => makeRandom(int(0, 0xffffffff))
  }
}

/** A new seed, for runs that were not given one; print it. */
export const freshSeed = (): number => Math.floor(Math.random() * 0xffffffff)
