import type { Timers } from "../shared/Timers.ts"
import { BucketFault } from "./BucketFault.ts"

/** What of a store may fail by itself: what creates objects, or all that only reads, lists and removes them. */
export const bucketSides = ["write", "read"] as const
export type BucketSide = (typeof bucketSides)[number]

/** Requests by what they ask for; each page of a listing is one. */
export const requestKinds = ["put", "get", "list", "delete"] as const
export type RequestKind = (typeof requestKinds)[number]

/** All since the process began. */
interface RequestCount {
  readonly asked: number
  readonly failed: number
}

/** Something that was asked does not succeed. */
export interface BucketTrouble {
  /** When the first request was sent that has failed, and after which none has succeeded; by `Timers.nowMillis`. */
  readonly sinceMillis: number
  /** The same as a date. */
  readonly sinceEpochMillis: number
  /** The latest one. */
  readonly fault: BucketFault
}

/** A store that has failed for so long, with nothing in between that has succeeded, is away; before that it may have been a moment. */
const graceMillis = 2000
/** So is one that has not answered for so long, and longer by what it was sent. */
const silenceMillis = 5000
/** It may be failing after so long without an answer. */
const doubtMillis = 1000
const bytesPerMilli = 1000
/** What has failed longer ago than this, while nothing is under way, is no reason not to try. */
const freshMillis = 10_000

/** A request under way. */
interface Underway {
  readonly side: BucketSide
  readonly beganMillis: number
  readonly bytes: number
}

interface SideState {
  /** In the order of their beginnings. */
  readonly underway: Set<Underway>
  failing: BucketTrouble | undefined
  endedMillis: number
}

const newSide = (): SideState => ({ underway: new Set(), failing: undefined, endedMillis: -Infinity })

/**
 * What is known of a store from all that this process asks of it: how much, and whether it succeeds. Decides when a store that fails
 * is taken for one that is away.
 */
export class BucketWatch {
  /** The store, as messages call it. */
  readonly name: string
  private readonly timers: Pick<Timers, "nowMillis" | "epochMillis">
  private readonly sides: Readonly<Record<BucketSide, SideState>> = { write: newSide(), read: newSide() }
  private readonly counts: Record<RequestKind, { asked: number; failed: number }> = {
    put: { asked: 0, failed: 0 },
    get: { asked: 0, failed: 0 },
    list: { asked: 0, failed: 0 },
    delete: { asked: 0, failed: 0 }
  }
  /** Objects that were created here. */
  created = 0
  sentBytes = 0
  receivedBytes = 0

  constructor(name: string, timers: Pick<Timers, "nowMillis" | "epochMillis">) {
    this.name = name
    this.timers = timers
  }

  /** Of one kind. */
  requests(kind: RequestKind): RequestCount {
    return this.counts[kind]
  }

  began(kind: RequestKind, bytes = 0): Underway {
    this.counts[kind].asked++
    this.sentBytes += bytes
    const side = kind === "put" ? "write" : "read"
    const request = { side, beganMillis: this.timers.nowMillis(), bytes } as const
    this.sides[side].underway.add(request)
    return request
  }

  succeeded(request: Underway, receivedBytes = 0): void {
    this.ended(request).failing = undefined
    this.receivedBytes += receivedBytes
  }

  failed(kind: RequestKind, request: Underway, fault: BucketFault): void {
    this.counts[kind].failed++
    const side = this.ended(request)
    side.failing =
      side.failing === undefined ? this.since(request.beganMillis, fault) : { ...side.failing, fault }
  }

  private since(sinceMillis: number, fault: BucketFault): BucketTrouble {
    const { epochMillis, nowMillis } = this.timers
    return { sinceMillis, sinceEpochMillis: epochMillis() - (nowMillis() - sinceMillis), fault }
  }

  /** It says nothing of the store: it was given up here. */
  gaveUp(request: Underway): void {
    this.sides[request.side].underway.delete(request)
  }

  private ended(request: Underway): SideState {
    const side = this.sides[request.side]
    side.underway.delete(request)
    side.endedMillis = this.timers.nowMillis()
    return side
  }

  /** How long the oldest request has had no answer, beyond what its size explains. */
  private silentMillis({ underway }: SideState): number {
    for (const { beganMillis, bytes } of underway)
      return this.timers.nowMillis() - beganMillis - bytes / bytesPerMilli
    return 0
  }

  /** Whether something fails, be it only since a moment. */
  trouble(which: BucketSide): BucketTrouble | undefined {
    const side = this.sides[which]
    if (side.failing !== undefined) return side.failing
    const silent = this.silentMillis(side)
    if (silent < silenceMillis) return undefined
    const fault = new BucketFault({
      operation: which === "write" ? "create" : "read",
      object: `objects of ${this.name}`,
      kind: "timedOut",
      said: `nothing was heard for ${Math.round(silent / 1000)} s`
    })
    return this.since(this.timers.nowMillis() - silent, fault)
  }

  /** The store is away, for all that is known: to ask for more would be to wait. It is seen anew when something is asked all the same. */
  away(which: BucketSide): BucketTrouble | undefined {
    const trouble = this.trouble(which)
    if (trouble === undefined) return undefined
    const { endedMillis, failing, underway } = this.sides[which]
    const nowMillis = this.timers.nowMillis()
    if (underway.size === 0 && nowMillis - endedMillis > freshMillis) return undefined
    const mayPassSoon = failing?.fault.passing !== false && nowMillis - trouble.sinceMillis < graceMillis
    return mayPassSoon ? undefined : trouble
  }

  /** It is not certain that what is asked now succeeds: it will be known in some seconds. */
  isInDoubt(which: BucketSide): boolean {
    const side = this.sides[which]
    return side.failing !== undefined || this.silentMillis(side) > doubtMillis
  }
}
