import { Cause, Effect } from "effect"
import { Faults, type FaultSeverity } from "./FaultRecord.ts"
import { currentTimers } from "./Timers.ts"

/** What is to be known of a fault before it happens: a row of `docs/errors.md`. */
export interface FaultKind {
  /** `BATON-<AREA>-<WORD>`. It never changes its meaning. */
  readonly code: string
  readonly severity: FaultSeverity
  readonly title: string
  readonly happened: string
  /** Whether it passes by itself. */
  readonly heals: string
  /** What an operator can do. */
  readonly advice: string
  /** It lasts from its report until it is said to be over: `baton_fault_active` is 1 meanwhile. */
  readonly lasts?: true
  /** What other metric shows it. */
  readonly metric?: string
  /** The check of `baton doctor` that shows it. */
  readonly doctor?: string
}

/** One time that it happens. */
export interface FaultReport {
  /** The line of the log: what happened, whether it heals, what to do. No secrets. */
  readonly message: string
  /** Tells one thing from another that the same code has, such as a table. */
  readonly about?: string
  /** A line that comes again for the same thing is said once in this time, with how often it has come. By default always. */
  readonly everyMillis?: number
  /** How often it has happened, this time included, where that was counted before. */
  readonly times?: number
  readonly cause?: Cause.Cause<unknown>
}

const levels = { info: "Info", warning: "Warn", critical: "Error" } as const

/** The name under which a line of the log has its code. */
export const codeField = "code"

/** Says it in the log, in one line with its code, and counts it; one that lasts is active from now on. */
export const tellFault = (kind: FaultKind, report: FaultReport): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { advice, code, lasts, severity } = kind
    const { about = "", cause, everyMillis = 0, message, times = 1 } = report
    const record = yield* Faults
    const { epochMillis, nowMillis } = yield* currentTimers
    const atMillis = epochMillis()
    const unsaid = record.isDue(code, about, nowMillis(), everyMillis)
    if (lasts === true) record.begin({ code, about, sinceMillis: atMillis, message })
    record.note({ atMillis, code, severity, message, advice, isSaid: unsaid !== undefined, times })
    if (unsaid === undefined) return
    const line = unsaid === 0 ? message : `${message} (and ${unsaid} times more since this was last said)`
    const level = levels[severity]
    yield* (
      cause === undefined ? Effect.logWithLevel(level)(line) : Effect.logWithLevel(level)(line, cause)
    ).pipe(Effect.annotateLogs(codeField, code))
  })

/** How the end of a fault is told. */
export interface FaultEnd {
  /** As it was reported. */
  readonly about?: string
  /** By default how long it has lasted. */
  readonly message?: string
  /** Nothing is said. */
  readonly quietly?: boolean
}

/** One that lasted is over, which is said. Whether it did last: nothing happens otherwise. */
export const endFault = (
  { code }: FaultKind,
  { about = "", message, quietly = false }: FaultEnd = {}
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const record = yield* Faults
    const { epochMillis } = yield* currentTimers
    const known = record.end(code, about)
    if (known === undefined) return false
    if (quietly) return true
    const seconds = Math.max(0, Math.round((epochMillis() - known.sinceMillis) / 1000))
    yield* Effect.logInfo(message ?? `This is over, after ${seconds} s.`).pipe(
      Effect.annotateLogs(codeField, code)
    )
    return true
  })
