import { aboveLimit, standardLimits } from "../../config/Limits.ts"
import { threadMillis } from "../../shared/Timers.ts"
import { EvaluationError, Undecided } from "./Failure.ts"

/**
 * What the evaluation at hand may still cost. The evaluator of a clause sets it, and every operation that can loop or
 * whose result can grow pays before it begins, or piece by piece; what costs no more than a comparison is free. A step is
 * about what one character costs in a loop: some ten nanoseconds. One evaluation runs at a time, so this is the state of
 * the module.
 */
let left = Infinity
let valueLength = Infinity
/** When fewer steps are left than these, the processor is asked what those before have really taken. */
let nextLook = -Infinity
let time: TimeLimit | undefined
let began: number | undefined
let rowBytes: (() => number) | undefined
let exhausted = false

/** Postgres is asked about values that are so many times as large as the row, but about none that are larger. */
const timesRow = 8

/**
 * Steps are prices of ordinary values: a search for what is nearly there at each place takes twenty times as long. So an
 * evaluation also has an end by the processor's time.
 */
export interface TimeLimit {
  readonly mostMillis: number
  /** Processor time of this thread: what others take from the machine does not count. */
  readonly now: () => number
}

/** The time of one evaluation beside which the process has other things to do. Its steps should take a third of it. */
export const evaluationTime: TimeLimit = { mostMillis: 15, now: threadMillis }

/** Steps between two looks at the time: at their price a sixth of a millisecond. */
const stepsPerLook = 16_384

/** This row has cost too much, or has made too large a value: Postgres decides it. Another row may cost less. */
export class TooCostly extends Undecided {}

const tooCostly = (): never => {
  exhausted = true
  throw new TooCostly("more work for one row than a condition may cause here")
}

const look = (): void => {
  if (time === undefined) return
  const now = time.now()
  began ??= now
  if (now - began > time.mostMillis) {
    left = 0
    tooCostly()
  }
  nextLook = left - stepsPerLook
}

const longValue = "a value longer than a condition may make here"

const tooLong = (length: number): never => {
  if (rowBytes !== undefined && length > valueLength + timesRow * rowBytes()) {
    const inForce = { ...standardLimits, clauseValueLength: valueLength }
    throw new EvaluationError(aboveLimit("clauseValueLength", inForce, length))
  }
  throw new TooCostly(longValue)
}

/**
 * Lets the next evaluation take so many steps and make values of so many characters. Where the size of the row is given,
 * texts that are out of all proportion to it are an error: Postgres is not to make them either. Without a limit of time
 * only steps count.
 */
export const allow = (
  steps: number,
  valueCharacters: number,
  bytesOfRow?: () => number,
  limit?: TimeLimit
): void => {
  left = steps
  time = limit
  began = undefined
  nextLook = limit === undefined ? -Infinity : steps - stepsPerLook
  valueLength = valueCharacters
  rowBytes = bytesOfRow
  exhausted = false
}

/** Something was left undone since the last `allow` because it would have taken more steps than were left. */
export const ranOut = (): boolean => exhausted

/** Steps that are left of those that were allowed. */
export const stepsLeft = (): number => left

/** Pays for work that is about to be done. Throws `TooCostly`. */
export const spend = (steps: number): void => {
  if (left < steps) tooCostly()
  left -= steps
  if (left < nextLook) look()
}

/** Pays for a text that is about to be made. Throws `TooCostly`, or `EvaluationError` when it is out of all proportion. */
export const spendText = (length: number): void => {
  if (length > valueLength) tooLong(length)
  spend(length >> 2)
}

/** Pays for an array that is about to be made: a reference for each element. */
export const spendElements = (count: number): void => {
  if (count > valueLength >> 3) throw new TooCostly(longValue)
  spend(count * 3)
}
