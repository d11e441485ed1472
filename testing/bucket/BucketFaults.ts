import type { BucketFaultKind, BucketOperation } from "../../src/bucket/BucketFault.ts"

/** What becomes of a request that a fault meets. */
export type Fate =
  /** It is done after so long. */
  | { readonly _tag: "Delay"; readonly millis: number }
  /** Nothing is done, and nobody answers; who still waits when the fault ends is cut off. */
  | { readonly _tag: "Hang" }
  /** Nothing is done, and this is answered; `unreachable` cuts the connection. */
  | { readonly _tag: "Refuse"; readonly kind: BucketFaultKind }
  /** Nothing is done: the store sees two creates at once, and asks for another try (409). */
  | { readonly _tag: "Conflict" }
  /** It is done, and the connection is cut before the answer. */
  | { readonly _tag: "Unanswered" }
  /** The connection is cut; it is done when the test says `land`. */
  | { readonly _tag: "Late" }
  /** It is done and answered, and done once more when the test says `land`. */
  | { readonly _tag: "Doubled" }
  /** A create does not ask whether there is an object: the store does not honour the condition. */
  | { readonly _tag: "Unconditional" }

/** Which requests a fault meets: all that fit, from the `nth` of them on, `times` of them (for ever when absent). */
export interface Meeting {
  readonly operation?: BucketOperation
  readonly key?: RegExp
  /** Of one client, by its access key. */
  readonly client?: string
  readonly nth?: number
  readonly times?: number
}

export interface RequestMet {
  readonly operation: BucketOperation
  readonly key: string
  readonly client: string
}

/** A fault that a test has turned on. */
export interface TurnedOn {
  /** How many requests it has met. */
  readonly hits: () => number
  /** It meets no more. */
  readonly end: () => void
  /** Does what was held back, or what is done twice. */
  readonly land: () => void
}

/** A fault as it is carried out. */
export interface MetFault {
  readonly fate: Fate
  /** Runs when the test says `land`. */
  readonly later: (work: () => void) => void
  /** Runs when the fault ends. */
  readonly atEnd: (work: () => void) => void
}

interface Rule extends MetFault {
  readonly meets: (request: RequestMet) => boolean
}

/** The faults of a bucket, or of one client's way to it. The first that fits meets a request. */
export class BucketFaults {
  private readonly rules = new Set<Rule>()

  add(fate: Fate, meeting: Meeting = {}): TurnedOn {
    const held: Array<() => void> = []
    const waiting: Array<() => void> = []
    let seen = 0
    let hits = 0
    const rule: Rule = {
      fate,
      meets: ({ client, key, operation }) => {
        if (meeting.operation !== undefined && meeting.operation !== operation) return false
        if (meeting.client !== undefined && meeting.client !== client) return false
        if (meeting.key !== undefined && !meeting.key.test(key)) return false
        seen++
        if (seen < (meeting.nth ?? 1) || hits >= (meeting.times ?? Number.POSITIVE_INFINITY)) return false
        hits++
        return true
      },
      later: (work) => held.push(work),
      atEnd: (work) => waiting.push(work)
    }
    this.rules.add(rule)
    return {
      hits: () => hits,
      end: () => {
        this.rules.delete(rule)
        for (const work of waiting.splice(0)) work()
      },
      land: () => {
        for (const work of held.splice(0)) work()
      }
    }
  }

  meet(request: RequestMet): MetFault | undefined {
    for (const rule of this.rules) if (rule.meets(request)) return rule
    return undefined
  }
}
