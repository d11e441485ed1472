/** What the answers to requests are told apart by. */
interface RequestLabels {
  readonly status: number
  /** Refused for a condition that is known and passes. */
  readonly knownError: boolean
  readonly live: boolean
  /** There was nothing new to say. */
  readonly empty: boolean
}

/** Answers to requests for shapes, counted by labels; as pairs it can be sent to another process. */
export class RequestCounts {
  private readonly byKey: Map<number, number>

  constructor(entries: Iterable<readonly [number, number]> = []) {
    this.byKey = new Map(entries)
  }

  add(status: number, knownError: boolean, live: boolean, empty: boolean): void {
    const key = status * 8 + (knownError ? 4 : 0) + (live ? 2 : 0) + (empty ? 1 : 0)
    this.byKey.set(key, (this.byKey.get(key) ?? 0) + 1)
  }

  /** Adds what was counted elsewhere. */
  addAll(entries: Iterable<readonly [number, number]>): void {
    for (const [key, count] of entries) this.byKey.set(key, (this.byKey.get(key) ?? 0) + count)
  }

  entries(): ReadonlyArray<readonly [number, number]> {
    return [...this.byKey]
  }

  labelled(): ReadonlyArray<readonly [RequestLabels, number]> {
    return this.entries()
      .toSorted(([a], [b]) => a - b)
      .map(([key, count]) => [
        {
          status: Math.floor(key / 8),
          knownError: (key & 4) !== 0,
          live: (key & 2) !== 0,
          empty: (key & 1) !== 0
        },
        count
      ])
  }
}
