import type { MetricEvents } from "./MetricEvents.ts"

/** What the answers to requests are told apart by. */
export interface RequestLabels {
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
  /** Is told of each, too. */
  onAnswer: MetricEvents["answered"] | undefined
  private readonly onNew: (labels: RequestLabels, count: () => number) => void

  /** `onNew` is told when something is counted for the first time, and how to learn how often it has been. */
  constructor(
    entries: Iterable<readonly [number, number]> = [],
    onNew: (labels: RequestLabels, count: () => number) => void = () => {}
  ) {
    this.byKey = new Map(entries)
    this.onNew = onNew
  }

  add(status: number, knownError: boolean, live: boolean, empty: boolean): void {
    const key = status * 8 + (knownError ? 4 : 0) + (live ? 2 : 0) + (empty ? 1 : 0)
    const known = this.byKey.get(key)
    this.byKey.set(key, (known ?? 0) + 1)
    if (known === undefined) this.onNew(labelsOf(key), () => this.byKey.get(key) ?? 0)
    this.onAnswer?.(status, knownError, live, empty)
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
      .map(([key, count]) => [labelsOf(key), count])
  }
}

const labelsOf = (key: number): RequestLabels => ({
  status: Math.floor(key / 8),
  knownError: (key & 4) !== 0,
  live: (key & 2) !== 0,
  empty: (key & 1) !== 0
})
