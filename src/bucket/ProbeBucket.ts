import { randomUUID } from "node:crypto"
import { pause, type Timers } from "../shared/Timers.ts"
import { BucketFault, type BucketOperation } from "./BucketFault.ts"
import type { ObjectInfo, ObjectStore } from "./ObjectStore.ts"

const folder = "probe/"

const rounds = 2
const racers = 8

/** A create that fails may have succeeded, and a store may ask for another try of two at once. */
const triesEach = 5
const pauseMillis = 100

/** What a probe that was killed has left is removed after that long, by the clock of the store. */
const leftAfterMillis = 3_600_000

type Outcome = "created" | "exists"

/**
 * Tries whether a bucket keeps what Baton relies on: of several creates of one key at once exactly one succeeds, and what it has
 * created can be read, in part too, listed and removed. Others may do the same at the same time. Fails with a `BucketFault`: `unsafe`
 * with what was seen, or what a request has failed with, which names what the key may not do.
 */
export const probeBucket = async (store: ObjectStore, timers: Timers): Promise<void> => {
  const outcomes = await Promise.allSettled(Array.from({ length: rounds }, () => probeNewKey(store, timers)))
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason
}

const probeNewKey = async (store: ObjectStore, timers: Timers): Promise<void> => {
  const key = `${folder}${randomUUID()}`
  try {
    await probeKey(store, key, timers)
  } catch (error) {
    // It would be removed by a later probe; what this one has failed with is what counts.
    await store.remove([key]).catch(() => {})
    throw error
  }
}

const unsafe = (store: ObjectStore, operation: BucketOperation, said: string): BucketFault =>
  new BucketFault({ operation, object: `${store.name}/${folder}`, kind: "unsafe", said })

const probeKey = async (store: ObjectStore, key: string, timers: Timers): Promise<void> => {
  const absent = await readAbsent(store, key)
  if (absent !== undefined) throw unsafe(store, "read", "a key that nobody has made can be read")
  const bodies = Array.from({ length: racers }, (_, racer) => Buffer.from(`${racer} of ${key}`))
  // All of them are waited for: none may land after the object was removed.
  const outcomes = await Promise.allSettled(bodies.map((body) => createPatiently(store, key, body, timers)))
  const failed = outcomes.find((outcome) => outcome.status === "rejected")
  if (failed !== undefined) throw failed.reason
  const winners = bodies.filter((_, i) => {
    const outcome = outcomes[i]
    return outcome?.status === "fulfilled" && outcome.value === "created"
  })
  const [winner] = winners
  if (winner === undefined || winners.length > 1) {
    throw unsafe(
      store,
      "create",
      `of ${racers} creates of one new key at once ${winners.length} have succeeded, and it must be one: If-None-Match is not honoured`
    )
  }
  const content = await store.get(key)
  if (content === undefined || !content.equals(winner)) {
    throw unsafe(store, "read", "what a create has made is not what is read after it")
  }
  const part = await store.get(key, { from: 5, to: 9 })
  if (part === undefined || !part.equals(winner.subarray(5, 9))) {
    throw unsafe(store, "read", "a part of an object is not what was asked for")
  }
  const own = await findListed(store, key)
  if (own === undefined) throw unsafe(store, "list", "what was created before is not listed")
  await store.remove([key, ...(await leftovers(store, own))])
}

/** Who may read but not list is told of a key that is not there that access is denied. */
const readAbsent = async (store: ObjectStore, key: string): Promise<Buffer | undefined> => {
  try {
    return await store.get(key)
  } catch (error) {
    if (!(error instanceof BucketFault) || error.kind !== "denied") throw error
    const said = `${error.said}; a key that is not there is answered like this to one who may not list the bucket`
    throw new BucketFault({ operation: "read", object: error.object, kind: "denied", said, cause: error })
  }
}

const createPatiently = async (
  store: ObjectStore,
  key: string,
  body: Buffer,
  timers: Timers
): Promise<Outcome> => {
  for (let attempt = 1; ; attempt++) {
    try {
      const outcome = await store.create(key, [body])
      // One that was given up may have been done all the same.
      const isOurs = outcome === "exists" && attempt > 1 && (await store.get(key))?.equals(body) === true
      return isOurs ? "created" : outcome
    } catch (error) {
      if (!(error instanceof BucketFault) || !error.passing || attempt === triesEach) throw error
      await pause(timers, pauseMillis * attempt)
    }
  }
}

const findListed = async (store: ObjectStore, key: string): Promise<ObjectInfo | undefined> => {
  for await (const info of store.list(key)) if (info.key === key) return info
  return undefined
}

const leftovers = async (store: ObjectStore, own: ObjectInfo): Promise<ReadonlyArray<string>> => {
  const old: Array<string> = []
  for await (const { key, modifiedMillis } of store.list(folder))
    if (own.modifiedMillis - modifiedMillis > leftAfterMillis) old.push(key)
  return old
}
