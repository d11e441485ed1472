import { randomUUID } from "node:crypto"
import { BucketFault } from "../../bucket/BucketFault.ts"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import type { Timers } from "../../shared/Timers.ts"
import { ChainBroken } from "./ChainBroken.ts"
import { decodeChainObject, encodeChainObject } from "./ChainCodec.ts"
import { type ChainContent, type ChainObject, type ChainPlace, walKey, walNumber } from "./ChainObject.ts"
import { type BucketAnswers, PatientStore } from "./PatientStore.ts"
import { readAhead } from "./ReadAhead.ts"
import { chainStart, misfit, placeAfter, placeAfterTold, type ToldLink } from "./PlaceAfter.ts"

/**
 * For how long it is certain that nothing was collected behind a place that was the end of the chain. Objects are collected when
 * they are an hour old, and not before.
 */
const certainMillis = 10 * 60_000

/** By both clocks: the one that is never set stands still while the machine sleeps. */
interface Moment {
  readonly nowMillis: number
  readonly epochMillis: number
}

type ApplyObject = (object: ChainObject) => Promise<void>

/**
 * One reader or writer of the chain. Objects are numbered, each is created once, and every number is tried by each writer that wants to
 * write next: who is told "created" has its object at that number for ever, before everything that is created after it, and
 * everybody reads the same objects in the same order. So the first object of a writer fences its predecessor off, which can only
 * create that very number next, as long as the fence is there: fences are never collected.
 *
 * Ordinary objects are collected when they are an hour old and below a checkpoint that is announced in the chain, so that an object
 * stands above each of them. A number that was collected is free to be created again. So a place that has not been seen to be the end
 * of the chain for some minutes is compared with a listing: before it is taken for the end, before anything is created there,
 * and before what took long to be created counts.
 *
 * Reading and appending take turns. Failures are `BucketFault` and `ChainBroken`; `place` is where to go on after each.
 */
export class Chain {
  private readonly patient: PatientStore
  private readonly timers: Timers
  private known: ChainPlace
  /** Every object from `place.next` on was created after this. */
  private endAt: Moment | undefined
  /** Somebody else has created this number, or it is behind the end: nothing is appended there. */
  private lostNumber: number | undefined
  /** The number that is being applied or appended. */
  private busyWith: number | undefined
  private turn: Promise<unknown> = Promise.resolve()

  constructor(options: {
    readonly store: ObjectStore
    readonly timers: Timers
    /** Where to go on; the beginning if it is left out. */
    readonly place?: ChainPlace
    /** A fault after which it is tried again. */
    readonly onTrouble?: (fault: BucketFault) => void
  }) {
    this.patient = new PatientStore(options.store, options.timers, options.onTrouble ?? (() => undefined))
    this.timers = options.timers
    this.known = options.place ?? chainStart
  }

  /** What is known: everything before it was applied, created here, or told. */
  get place(): ChainPlace {
    return this.known
  }

  /** How the bucket answers, for health and metrics. */
  get answers(): BucketAnswers {
    return this.patient.answers
  }

  /** Goes on from somewhere else: that of a checkpoint. Not while an object is applied or appended. */
  resume(place: ChainPlace): void {
    if (this.busyWith !== undefined)
      throw new Error(`Object ${this.busyWith} of the chain is being dealt with.`)
    this.known = place
    this.endAt = undefined
    this.lostNumber = undefined
  }

  /** An `append` that waits for its next try makes it now, or gives up if its `keepTrying` says so. */
  hurry(): void {
    this.patient.hurry()
  }

  /**
   * Applies every object from `place.next` on, each once and in order, until there is none, and gives how many. An object counts
   * as read once `apply` has completed; what it fails with is passed on. Fails with a `BucketFault` when the bucket cannot be
   * asked, which is tried once, and with `ChainBroken`.
   */
  readOn(apply: ApplyObject): Promise<number> {
    return this.inTurn(() => this.readToEnd(apply))
  }

  /**
   * `resume`, and then `readOn`, for a long way: what a listing shows is asked for up to 32 objects at once. After a fault it goes
   * on from `this.place`. Fails with `ChainBroken` ("collected") when objects on the way were collected meanwhile, or before:
   * then only a newer checkpoint leads further.
   */
  readFrom(place: ChainPlace, apply: ApplyObject): Promise<number> {
    return this.inTurn(async () => {
      this.resume(place)
      const began = this.moment()
      const listed = await this.readListed(apply)
      if (listed.all) this.endAt = began
      return listed.applied + (await this.readToEnd(apply))
    })
  }

  /**
   * Creates an object at `place.next`. "created": it stands there, was not there before, and everything up to it counts.
   * "overtaken": somebody else's object stands there; it is to be read and applied, and nothing was changed.
   * Passing faults are tried again, with the same bytes, as long as `keepTrying` says so, after `longestPauseMillis` at most (5 s);
   * otherwise the `BucketFault` is thrown, and the object may stand there or not: reading on tells, and a further append can be
   * overtaken by it. Fails with `ChainBroken` ("collected") when later objects are there: the chain has gone on without this writer.
   */
  append(
    content: ChainContent,
    keepTrying: () => boolean,
    longestPauseMillis?: number
  ): Promise<"created" | "overtaken"> {
    return this.inTurn(async () => {
      const place = this.known
      const n = place.next
      if (this.lostNumber === n) return "overtaken"
      this.busyWith = n
      try {
        const link = { stream: place.stream ?? randomUUID(), n, previousCrc: place.crc }
        const { bytes, crc } = await encodeChainObject(link, content)
        const ask = <A>(question: (store: ObjectStore) => Promise<A>) =>
          this.patient.askOn(question, keepTrying, longestPauseMillis)
        const answer = await ask((store) => this.create(store, n, bytes))
        if (answer === "created" && !this.isCertain()) await ask((store) => this.mustBeLast(store, n, crc))
        if (answer === "created") this.known = placeAfter(place, { ...content, ...link, crc })
        else this.lostNumber = n
        return answer
      } catch (error) {
        if (error instanceof ChainBroken) this.lostNumber = n
        throw error
      } finally {
        this.busyWith = undefined
      }
    })
  }

  /**
   * The writer has created this object, and everything that it holds has been received by another way. If it is the next one, it
   * counts as read from here on, and is not asked for. Otherwise, which the answer tells, nothing is changed.
   */
  told(link: ToldLink): boolean {
    if (link.n !== this.known.next || link.previousCrc !== this.known.crc) return false
    if (this.known.stream === undefined || this.busyWith !== undefined) return false
    this.known = placeAfterTold(this.known, link)
    return true
  }

  /** Whether somebody else has created the object that would be the next one here. Fails with a `BucketFault`. */
  isTaken(): Promise<boolean> {
    return this.inTurn(async () => {
      const { next } = this.known
      if (this.lostNumber === next) return true
      const first = await this.patient.ask((store) => store.get(walKey(next), { from: 0, to: 1 }))
      return first !== undefined
    })
  }

  /** One after the other, in the order of asking. */
  private inTurn<A>(work: () => Promise<A>): Promise<A> {
    const mine = this.turn.then(work)
    this.turn = mine.catch(() => undefined)
    return mine
  }

  private async readToEnd(apply: ApplyObject): Promise<number> {
    for (let applied = 0; ;) {
      const place = this.known
      const asked = this.moment()
      const bytes = await this.get(place.next)
      if (bytes !== undefined) applied += await this.take(place, bytes, apply)
      else if (place === this.known && (await this.isEnd(place))) {
        if (place === this.known) this.endAt = asked
        return applied
      }
    }
  }

  /** Whether `all` that a listing shows from here on were applied; otherwise there is a hole, or one of them is gone again. */
  private async readListed(apply: ApplyObject): Promise<{ readonly applied: number; readonly all: boolean }> {
    let applied = 0
    const get = (key: string) => this.patient.ask((store) => store.get(key))
    const listing = this.patient.list("wal/", keyBefore(this.known.next))
    for await (const { info, bytes } of readAhead(get, listing)) {
      const n = walNumber(info.key)
      if (n === undefined || n < this.known.next) continue
      if (n > this.known.next || bytes === undefined) return { applied, all: false }
      applied += await this.take(this.known, bytes, apply)
    }
    return { applied, all: true }
  }

  /** Applies an object that was found at `place.next`, unless that has been told of meanwhile; gives how many were applied. */
  private async take(place: ChainPlace, bytes: Buffer, apply: ApplyObject): Promise<0 | 1> {
    const name = this.patient.named(walKey(place.next))
    const object = await decodeChainObject(bytes, name)
    if (place !== this.known) return 0
    const wrong = misfit(place, object)
    if (wrong !== undefined) throw new ChainBroken({ ...wrong, object: name })
    this.busyWith = object.n
    try {
      await apply(object)
      this.known = placeAfter(place, object)
    } finally {
      this.busyWith = undefined
    }
    return 1
  }

  private get(n: number): Promise<Buffer | undefined> {
    return this.patient.ask((store) => store.get(walKey(n)))
  }

  /** Nothing was found at `place.next`. Is that the end, or is it only now that something is there? Fails if it was collected. */
  private async isEnd(place: ChainPlace): Promise<boolean> {
    if (this.isCertain()) return true
    const n = place.next
    const first = await this.patient.ask((store) => firstFrom(store, n))
    if (first === undefined) return true
    // A listing need not be of one moment: what it lacks may have come before what it has.
    if (first === n || (await this.get(n)) !== undefined) return false
    throw this.collected(n, first)
  }

  /** Creates number n, where nothing has been created before, and tells whether what is there now is ours. */
  private async create(store: ObjectStore, n: number, bytes: Buffer): Promise<"created" | "overtaken"> {
    if (!this.isCertain()) {
      const asked = this.moment()
      const first = await firstFrom(store, n)
      if (first === undefined) this.endAt = asked
      else if (first !== n && (await store.get(walKey(n))) === undefined) throw this.collected(n, first)
    }
    return createdByUs(store, walKey(n), bytes)
  }

  /** Nothing stands behind an object that was just created, unless it was written behind that very object. */
  private async mustBeLast(store: ObjectStore, n: number, crc: number): Promise<void> {
    const first = await firstFrom(store, n + 1)
    if (first === undefined) return
    const bytes = await store.get(walKey(n + 1))
    const name = this.patient.named(walKey(n + 1))
    if (bytes !== undefined && (await decodeChainObject(bytes, name)).previousCrc === crc) return
    throw this.collected(n, first)
  }

  private collected(n: number, first: number): ChainBroken {
    const object = this.patient.named(walKey(n))
    return new ChainBroken({
      reason: "collected",
      object,
      said: `was collected, and ${walKey(first)} is there`
    })
  }

  private moment(): Moment {
    return { nowMillis: this.timers.nowMillis(), epochMillis: this.timers.epochMillis() }
  }

  /** Whether nothing can have been collected from `place.next` on. */
  private isCertain(): boolean {
    if (this.endAt === undefined) return false
    const now = this.moment()
    const passed = Math.max(
      now.nowMillis - this.endAt.nowMillis,
      Math.abs(now.epochMillis - this.endAt.epochMillis)
    )
    return passed < certainMillis
  }
}

/** Creates an object unless there is one, and tells whether the one that is there is ours. */
const createdByUs = async (
  store: ObjectStore,
  key: string,
  bytes: Buffer
): Promise<"created" | "overtaken"> => {
  if ((await store.create(key, [bytes])) === "created") return "created"
  const there = await store.get(key)
  if (there !== undefined) return there.equals(bytes) ? "created" : "overtaken"
  throw new BucketFault({
    operation: "read",
    object: `${store.name}/${key}`,
    kind: "failing",
    said: "the store says that it exists, and then that it does not"
  })
}

/** The number of the first object of the chain that a listing shows from number `n` on. */
const firstFrom = async (store: ObjectStore, n: number): Promise<number | undefined> => {
  for await (const { key } of store.list("wal/", keyBefore(n))) {
    const number = walNumber(key)
    if (number !== undefined) return number
  }
  return undefined
}

/** Behind which a listing begins with number `n`. */
const keyBefore = (n: number): string | undefined => (n === 0 ? undefined : walKey(n - 1))
