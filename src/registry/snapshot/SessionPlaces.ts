/** A place for one session. */
export interface Place {
  /** The shape whose subset is read; undefined for the first rows of a shape. */
  readonly shape: string | undefined
  readonly sinceMillis: number
  /** Ends its query, so that the place becomes free. Set by the query that has the place. */
  end: (() => void) | undefined
  isEnding: boolean
}

interface Waiter {
  readonly shape: string | undefined
  readonly granted: (place: Place) => void
}

interface PlacesOptions {
  readonly size: number
  /** How many of them subset queries may have. */
  readonly subsets: number
  /** A query is long from then on: it may be ended for others. */
  readonly longMillis: number
  readonly now: () => number
}

/** Long queries may have half of what there is, but not be kept from ever being done. */
const forLong = (places: number): number => Math.max(1, Math.floor(places / 2))

/**
 * Who gets a session next, and who has to give one up.
 *
 * - A free place goes to the query that has waited longest of those whose shape has the fewest sessions. First rows of a shape are
 *   read by one session, so they come before a second subset of the same shape.
 * - While somebody waits, long queries have half of the places. Of those beyond the youngest is ended: it has the least to
 *   lose, and the others come to their end. Subsets give way before first rows.
 *
 * Plain data: `makeRoom` has to be called now and then while somebody waits.
 */
export class SessionPlaces {
  private readonly options: PlacesOptions
  private readonly held = new Set<Place>()
  private waiters: Array<Waiter> = []

  constructor(options: PlacesOptions) {
    this.options = options
  }

  get isAwaited(): boolean {
    return this.waiters.length > 0
  }

  /** Calls `granted` once there is a place, which may be at once. The result withdraws the wish. */
  take(shape: string | undefined, granted: (place: Place) => void): () => void {
    const waiter: Waiter = { shape, granted }
    this.waiters.push(waiter)
    this.fill()
    return () => {
      this.waiters = this.waiters.filter((other) => other !== waiter)
    }
  }

  release(place: Place): void {
    place.end = undefined
    if (this.held.delete(place)) this.fill()
  }

  /** Ends long queries, as many as somebody waits for and no more than are too many. */
  makeRoom(): void {
    const { size, subsets } = this.options
    const waitsForAny = this.waiters.length
    if (waitsForAny === 0) return
    const long = [...this.held].filter((place) => this.isLong(place))
    const longSubsets = long.filter(({ shape }) => shape !== undefined)
    if (this.held.size >= size) {
      // Those of subsets are the cheaper ones to run again.
      const youngestFirst = [...long.filter(({ shape }) => shape === undefined), ...longSubsets].toReversed()
      this.endSome(youngestFirst, long.length - forLong(size), waitsForAny)
    } else if (this.subsetsHeld() >= subsets)
      this.endSome(longSubsets.toReversed(), longSubsets.length - forLong(subsets), waitsForAny)
  }

  /** `youngestFirst`: of subsets before others. */
  private endSome(youngestFirst: ReadonlyArray<Place>, tooMany: number, wanted: number): void {
    const ending = [...this.held].filter(({ isEnding }) => isEnding).length
    for (const place of youngestFirst.slice(0, Math.max(0, Math.min(tooMany, wanted - ending)))) {
      place.isEnding = true
      place.end?.()
    }
  }

  private isLong({ end, isEnding, sinceMillis }: Place): boolean {
    return !isEnding && end !== undefined && this.options.now() - sinceMillis >= this.options.longMillis
  }

  private subsetsHeld(): number {
    let count = 0
    for (const { shape } of this.held) if (shape !== undefined) count++
    return count
  }

  private fill(): void {
    for (let next = this.next(); next !== undefined; next = this.next()) {
      const { granted, shape } = next
      this.waiters = this.waiters.filter((other) => other !== next)
      const place = { shape, sinceMillis: this.options.now(), end: undefined, isEnding: false }
      this.held.add(place)
      // It may take and release others meanwhile.
      granted(place)
    }
  }

  /** Whose turn it is, if there is a place. */
  private next(): Waiter | undefined {
    const { size, subsets } = this.options
    if (this.held.size >= size) return undefined
    const isFull = this.subsetsHeld() >= subsets
    let best: Waiter | undefined
    let fewest = Infinity
    for (const waiter of this.waiters) {
      if (waiter.shape !== undefined && isFull) continue
      const has = waiter.shape === undefined ? 0 : this.heldBy(waiter.shape)
      if (has >= fewest) continue
      best = waiter
      fewest = has
      if (has === 0) break
    }
    return best
  }

  private heldBy(shape: string): number {
    let count = 0
    for (const place of this.held) if (place.shape === shape) count++
    return count
  }
}
