import { Effect, Metric } from "effect"
import { BoundedMap } from "./BoundedMap.ts"

/** `critical`: clients or data are concerned until it is mended. `warning`: it will be, or less than all is. `info`: to be known. */
export type FaultSeverity = "info" | "warning" | "critical"

/** One time that something was reported, as the log has it. Holds no secrets. */
export interface RecordedFault {
  /** Milliseconds since 1970. */
  readonly atMillis: number
  readonly code: string
  readonly severity: FaultSeverity
  readonly message: string
  /** What an operator can do, in general: `message` may say it for the case at hand. */
  readonly advice: string
  /** The HTTP worker that it happened in; absent for the main process. */
  readonly worker?: number
}

/** A report with how it counts: not all that is counted `isSaid`. */
export interface NotedFault extends RecordedFault {
  readonly isSaid: boolean
  readonly times: number
}

/** A fault that lasts. */
export interface ActiveFault {
  readonly code: string
  /** What it is with, where there may be several at the same time. */
  readonly about: string
  /** Milliseconds since 1970. */
  readonly sinceMillis: number
  readonly message: string
}

/** When something was said last, and how often it has come since without being said. */
interface Said {
  readonly atMillis: number
  unsaid: number
}

const mostRecent = 200
/** Things that are remembered as said. Beyond it some are forgotten, and may be said again early. */
const mostSaid = 1000

/**
 * What was reported in one program: how often each code came, which last, the latest of them, and what was said in the log when.
 * Plain data; nothing of it is on the way of a row or of a request that succeeds.
 */
export class FaultRecord {
  /** Is told of everything that is reported here: an HTTP worker hands it on to the main process. */
  onNoted: (fault: NotedFault) => void = () => {}
  private readonly counts = new Map<string, number>()
  private readonly lasting = new Map<string, ActiveFault>()
  private readonly latest: Array<RecordedFault> = []
  private readonly said = new BoundedMap<string, Said>(mostSaid)

  /** Counts it, and keeps it among the latest ones where it was said. */
  note(noted: NotedFault): void {
    const { isSaid, times, ...fault } = noted
    this.counts.set(fault.code, this.total(fault.code) + times)
    if (isSaid) {
      this.latest.push(fault)
      if (this.latest.length > mostRecent) this.latest.shift()
    }
    this.onNoted(noted)
  }

  /** How often it was reported. */
  total(code: string): number {
    return this.counts.get(code) ?? 0
  }

  /** The latest that were said, oldest first, at most 200. */
  recent(): ReadonlyArray<RecordedFault> {
    return [...this.latest]
  }

  /** What lasts, oldest first. */
  active(): ReadonlyArray<ActiveFault> {
    return [...this.lasting.values()]
  }

  isActive(code: string): boolean {
    for (const fault of this.lasting.values()) if (fault.code === code) return true
    return false
  }

  /** It lasts from now on; false when it did already. */
  begin(fault: ActiveFault): boolean {
    const key = keyOf(fault.code, fault.about)
    const known = this.lasting.get(key)
    this.lasting.set(key, known === undefined ? fault : { ...known, message: fault.message })
    return known === undefined
  }

  /** It is over; what it was, if it lasted. */
  end(code: string, about: string): ActiveFault | undefined {
    const key = keyOf(code, about)
    const known = this.lasting.get(key)
    this.lasting.delete(key)
    this.said.delete(key)
    return known
  }

  /**
   * Whether to say it now: the first time, and then when `everyMillis` have passed since. Gives how often it has come since it was said
   * last, and undefined when it is not to be said.
   */
  isDue(code: string, about: string, nowMillis: number, everyMillis: number): number | undefined {
    const key = keyOf(code, about)
    const known = this.said.get(key)
    if (everyMillis > 0 && known !== undefined && nowMillis - known.atMillis < everyMillis) {
      known.unsaid++
      return undefined
    }
    this.said.set(key, { atMillis: nowMillis, unsaid: 0 })
    return known?.unsaid ?? 0
  }
}

const keyOf = (code: string, about: string): string => `${code} ${about}`

const records = new WeakMap<Metric.MetricRegistry, FaultRecord>()

/** The record of the registry of metrics that the Effect has which asks, as of all that is counted. */
export const Faults: Effect.Effect<FaultRecord> = Effect.map(Metric.MetricRegistry, (registry) => {
  const known = records.get(registry)
  if (known !== undefined) return known
  const made = new FaultRecord()
  records.set(registry, made)
  return made
})
