import { BucketFault } from "../../bucket/BucketFault.ts"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import { pause, type Timers } from "../../shared/Timers.ts"

const firstPauseMillis = 200
const longestPauseMillis = 5000
/** All together for about half a minute: then who asked hears of it. */
const defaultTries = 10
/** Compared at a time. */
const comparedBytes = 4 << 20

/** What of a bucket is asked again and again until it answers, or until nobody wants the answer any more. */
export interface Asking {
  readonly store: ObjectStore
  readonly timers: Timers
  readonly isOver: () => boolean
  /** By default as many as take half a minute. */
  readonly tries?: number
}

/** Does what is asked of a bucket again after a fault that passes. Fails with the last one, and at once with one that does not pass. */
export const patiently = async <A>(asking: Asking, work: () => Promise<A>): Promise<A> => {
  const { isOver, timers, tries = defaultTries } = asking
  let pauseMillis = firstPauseMillis
  for (let left = tries; ; left--) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof BucketFault) || !error.passing || left <= 1 || isOver()) throw error
    }
    await pause(timers, pauseMillis)
    pauseMillis = Math.min(longestPauseMillis, 2 * pauseMillis)
  }
}

/**
 * Creates an object under a key that nobody else makes objects of. It is there, with these bytes, when this completes: one that is
 * there already is what an attempt without an answer has left. Fails with a `BucketFault`.
 */
export const createOwn = async (
  asking: Asking,
  key: string,
  content: ReadonlyArray<Uint8Array>
): Promise<void> => {
  const { store } = asking
  if ((await patiently(asking, () => store.create(key, content))) === "created") return
  if (await patiently(asking, () => holds(store, key, content))) return
  throw new Error(
    `${store.name} holds another object as ${key} than the one that this instance makes. This is a bug, or somebody else writes there.`
  )
}

/** Whether the object begins with these bytes: what has been created once has its length. */
const holds = async (
  store: ObjectStore,
  key: string,
  content: ReadonlyArray<Uint8Array>
): Promise<boolean> => {
  let from = 0
  for (const part of content) {
    for (let at = 0; at < part.length; at += comparedBytes) {
      const expected = part.subarray(at, at + comparedBytes)
      const found = await store.get(key, { from: from + at, to: from + at + expected.length })
      if (found === undefined || !found.equals(expected)) return false
    }
    from += part.length
  }
  return true
}
