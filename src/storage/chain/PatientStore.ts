import { BucketFault } from "../../bucket/BucketFault.ts"
import type { ObjectInfo, ObjectStore } from "../../bucket/ObjectStore.ts"
import type { Timers } from "../../shared/Timers.ts"

/** How the bucket answers, for health and metrics. Times are those of `Timers.nowMillis`. */
export interface BucketAnswers {
  /** How many faults there were. */
  readonly faults: number
  /** Of the first fault since it has last answered; `undefined` while it answers. */
  readonly failingSinceMillis: number | undefined
  /** When it has last answered; `undefined` before it ever has. */
  readonly answeredAtMillis: number | undefined
}

const firstPauseMillis = 100
/** Nobody waits for a single answer: what is late is late by so long at most once the bucket is back. */
const longestPauseMillis = 5_000

/** Asks a store, again if need be, and keeps count of how it answers. */
export class PatientStore {
  private readonly store: ObjectStore
  private readonly timers: Timers
  private readonly onTrouble: (fault: BucketFault) => void
  private counted: BucketAnswers = { faults: 0, failingSinceMillis: undefined, answeredAtMillis: undefined }
  private waiting: (() => void) | undefined

  constructor(store: ObjectStore, timers: Timers, onTrouble: (fault: BucketFault) => void) {
    this.store = store
    this.timers = timers
    this.onTrouble = onTrouble
  }

  get answers(): BucketAnswers {
    return this.counted
  }

  /** As messages call an object. */
  named(key: string): string {
    return `${this.store.name}/${key}`
  }

  /** Asks once. Fails as the store does. */
  async ask<A>(question: (store: ObjectStore) => Promise<A>): Promise<A> {
    try {
      const answer = await question(this.store)
      this.counted = {
        faults: this.counted.faults,
        failingSinceMillis: undefined,
        answeredAtMillis: this.timers.nowMillis()
      }
      return answer
    } catch (error) {
      if (error instanceof BucketFault)
        this.counted = {
          ...this.counted,
          faults: this.counted.faults + 1,
          failingSinceMillis: this.counted.failingSinceMillis ?? this.timers.nowMillis()
        }
      throw error
    }
  }

  /** As `ObjectStore.list`. */
  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    const entries = this.store.list(prefix, after)[Symbol.asyncIterator]()
    for (;;) {
      const entry = await this.ask(() => entries.next())
      if (entry.done === true) return
      yield entry.value
    }
  }

  /**
   * Asks until there is an answer, with pauses that grow from 100 ms to `longestMillis` (5 s), as long as `keepTrying` says so.
   * Fails with the last `BucketFault`: one that does not pass by itself, or when there is to be no further try.
   */
  async askOn<A>(
    question: (store: ObjectStore) => Promise<A>,
    keepTrying: () => boolean,
    longestMillis = longestPauseMillis
  ): Promise<A> {
    for (let pauseMillis = firstPauseMillis; ; pauseMillis = Math.min(2 * pauseMillis, longestMillis)) {
      try {
        return await this.ask(question)
      } catch (error) {
        if (!(error instanceof BucketFault) || !error.passing || !keepTrying()) throw error
        this.onTrouble(error)
        await this.wait(pauseMillis)
        if (!keepTrying()) throw error
      }
    }
  }

  private wait(millis: number): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        this.waiting = undefined
        resolve()
      }
      const cancel = this.timers.after(millis, go)
      this.waiting = () => {
        cancel()
        go()
      }
    })
  }

  /** What waits for its next try is tried now, or given up if `keepTrying` says so. */
  hurry(): void {
    this.waiting?.()
  }
}
