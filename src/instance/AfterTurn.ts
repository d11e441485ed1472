import type { FaultCode } from "../telemetry/faults/FaultTable.ts"
import { failureCode } from "./FailureCode.ts"
import { Cause, Data, Exit, Option } from "effect"
import type { HealthEvent } from "../health/HealthState.ts"
import { ownPgError, type PgError } from "../postgres/errors/PgError.ts"
import type { DutyDied } from "../shared/Duty.ts"
import type { NotWriting } from "../storage/NotWriting.ts"
import type { TurnEnd } from "./duties/StorageDuties.ts"

/** Storage cannot be taken over now: what an operator has to mend. */
export class StorageFailed extends Data.TaggedError("StorageFailed")<{
  readonly message: string
  /** It goes on by itself: it is said once, and again when it has lasted. */
  readonly passing?: boolean
}> {}

/** Why a turn could not go on: connection, lock or stream; storage; a duty that it cannot do without. */
export type TurnFailure = PgError | StorageFailed | NotWriting | DutyDied

/** Why an instance cannot run, as `InstanceFailed` says. */
export const failureReasons = ["storage", "database", "dutyDied", "mistake"] as const

/**
 * What an instance does after a turn as holder of the lock, or after an attempt at one.
 *
 * `Stop`   the instance was interrupted
 * `Begin`  it asks for the lock again at once
 * `Yield`  it does so some seconds later, when another instance that waits has got it
 * `Sleep`  it does so when a request wakes it
 * `Pause`  it does so after a pause, which grows with the number of failures in a row
 * `Fail`   an operator has to mend something first: `run` fails
 */
export type AfterTurn =
  | { readonly _tag: "Stop" }
  | { readonly _tag: "Begin" | "Yield" | "Sleep"; readonly event: HealthEvent }
  | {
      readonly _tag: "Fail"
      readonly event: HealthEvent
      readonly reason: (typeof failureReasons)[number]
      readonly message: string
      readonly cause: TurnFailure
    }
  | {
      readonly _tag: "Pause"
      readonly event: HealthEvent
      readonly warning: string | undefined
      /** Under which the warning is told. */
      readonly code: FaultCode
      /** A connection to the database is all that it takes to go on. */
      readonly unreachable?: boolean
      /** The same warning comes again and again as long as something lasts that passes by itself. */
      readonly lasts?: boolean
      readonly isConnecting: boolean
    }

/** Postgres has given up the slot, or cannot give out what it holds. */
export const needsNewSlot = (error: TurnFailure): boolean =>
  error._tag === "PgError" && error.recovery === "recreateSlot"

/**
 * The supervisor's table: what follows from the end of a turn. `wasActive`: the state says that it still streams;
 * `everActive`: it has streamed at some time, so its configuration is right; `delayMillis`: the pause that would follow.
 */
export const afterTurn = (
  exit: Exit.Exit<TurnEnd, TurnFailure>,
  facts: { readonly wasActive: boolean; readonly everActive: boolean; readonly delayMillis: number }
): AfterTurn => {
  if (Exit.isSuccess(exit) && exit.value === "handOver") return { _tag: "Yield", event: "lockLost" }
  if (Exit.isSuccess(exit))
    // An instance that was frozen may find that it is fenced off, and that nothing has happened for long, at the same moment.
    return exit.value === "idle" && facts.wasActive
      ? { _tag: "Sleep", event: "slept" }
      : { _tag: "Begin", event: "lockLost" }
  const failure = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (failure === undefined && Cause.hasInterruptsOnly(exit.cause)) return { _tag: "Stop" }
  switch (failure?._tag) {
    case "DutyDied":
      // It is in the log already.
      return failure.after === "endProcess"
        ? { _tag: "Fail", event: "lockLost", reason: "dutyDied", message: failure.message, cause: failure }
        : {
            _tag: "Pause",
            event: "lockLost",
            warning: undefined,
            code: "BATON-SERVICE-STUMBLED",
            isConnecting: true
          }
    case "StorageFailed":
      return {
        _tag: "Pause",
        event: "storageFailed",
        code: "BATON-STORAGE-UNWRITABLE",
        warning: `Storage cannot be taken over: ${failure.message}. The lock is given back, and this is tried again ${failure.passing === true ? "in turn with other instances that wait" : `in ${facts.delayMillis} ms`}; shapes that exist are served, new ones cannot be made.`,
        lasts: failure.passing === true,
        isConnecting: false
      }
    case "NotWriting":
      return {
        _tag: "Pause",
        event: "lockLost",
        warning: `${failure.message}.`,
        code: failureCode(failure),
        isConnecting: true
      }
    default:
      return afterPgError(failure ?? ownPgError("unknown", stumbled(exit.cause)), facts.everActive, failure)
  }
}

const afterPgError = (error: PgError, everActive: boolean, given: PgError | undefined): AfterTurn => {
  const event = error.unreachable ? "databaseDown" : "lockLost"
  if (error.recovery === "fatal" && !everActive)
    return { _tag: "Fail", event, reason: "database", message: error.message, cause: error }
  return {
    _tag: "Pause",
    event,
    warning:
      given === undefined || needsNewSlot(error)
        ? error.message
        : `Database connection in replication mode failed: ${error.message}`,
    code: given === undefined ? "BATON-SERVICE-STUMBLED" : failureCode(error),
    unreachable: error.unreachable,
    isConnecting: true
  }
}

const stumbled = (cause: Cause.Cause<unknown>): string =>
  `The instance stumbled: ${Cause.pretty(cause)}. It is tried again.`
