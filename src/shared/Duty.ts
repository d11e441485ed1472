import { dutyDied } from "./GeneralFaults.ts"
import { tellFault } from "./TellFault.ts"
import { Cause, Clock, Data, Deferred, Effect, FiberSet, type Scope } from "effect"

/**
 * What follows when a duty has died.
 *
 * `beginAgain`  it begins anew after a pause, however often
 * `letGo`       its work is done by others, later or dearer
 * `endTurn`     without it this instance must not go on as the holder of the lock
 * `endProcess`  without it this process is of no use: the service manager starts another one
 */
export type AfterDeath = "beginAgain" | "letGo" | "endTurn" | "endProcess"

/** What is known of a duty beside its work: what it is called, whether it has an end, and what its death means. */
export interface DutyPolicy<After extends AfterDeath = AfterDeath> {
  /** The subject of a sentence in the log, such as "Tidying up storage". */
  readonly what: string
  /** `byItself`: it may come to an end, and that is well. Otherwise an end is as bad as a failure. */
  readonly ends: "never" | "byItself"
  readonly after: After
  /** How the service goes on from there: a clause that is true while the duty is dead. */
  readonly meanwhile: string
}

/** A duty has died that its owner cannot go on without. It is in the log, with its cause. */
export class DutyDied extends Data.TaggedError("DutyDied")<{
  readonly after: "endTurn" | "endProcess"
  readonly message: string
}> {}

const pauseMillis = { first: 1000, longest: 60_000 }

/** Milliseconds until a duty begins anew, from the pause before (0 for none) and how long it has lived since. */
export const pauseAfter = (previousMillis: number, livedMillis: number): number =>
  previousMillis === 0 || livedMillis >= pauseMillis.longest
    ? pauseMillis.first
    : Math.min(2 * previousMillis, pauseMillis.longest)

/** What happens after a death, for the operator who reads the log. */
const consequence = ({ after, meanwhile }: DutyPolicy, pause: number): string => {
  switch (after) {
    case "beginAgain":
      return `It begins anew ${pause === 0 ? "at once" : `in ${pause / 1000} s`}; meanwhile ${meanwhile}.`
    case "letGo":
      return `It is not begun anew: ${meanwhile}.`
    case "endTurn":
      return `This instance gives up the lock and waits for its turn, because ${meanwhile}.`
    case "endProcess":
      return `This process ends, because ${meanwhile}.`
  }
}

const ended = Cause.die(new Error("it ended, and has no end"))

const report = (policy: DutyPolicy, cause: Cause.Cause<unknown>, pause: number): string =>
  `${policy.what} stumbled: ${Cause.pretty(cause)}. ${consequence(policy, pause)} If this comes again, mend what the ` +
  "message names (a disk, say), or report it."

/**
 * Work in a fiber of its own, whose end is never overlooked. Whatever ends it but the interruption of this fiber (a defect,
 * an error, an end where none was to be, an interruption of something in it) is logged with its cause, and then happens
 * what its policy says. The pauses before it begins anew grow from a second to a minute, and are short again once it has
 * lived for a minute. Errors that were to be expected are the work's own business.
 */
export function duty<A, E, R>(
  policy: DutyPolicy<"beginAgain" | "letGo">,
  work: Effect.Effect<A, E, R>
): Effect.Effect<void, never, R>
export function duty<A, E, R>(
  policy: DutyPolicy,
  work: Effect.Effect<A, E, R>
): Effect.Effect<void, DutyDied, R>
export function duty<A, E, R>(
  policy: DutyPolicy,
  work: Effect.Effect<A, E, R>
): Effect.Effect<void, DutyDied, R> {
  const begin = (previousPauseMillis: number): Effect.Effect<void, DutyDied, R> =>
    Effect.flatMap(Clock.Clock, (clock) => {
      const beganNanos = clock.monotonicTimeNanosUnsafe()
      // This is not reached when this fiber is interrupted: what comes here is a death.
      const died = (cause: Cause.Cause<unknown>) => {
        const livedMillis = Number(clock.monotonicTimeNanosUnsafe() - beganNanos) / 1e6
        const pause = pauseAfter(previousPauseMillis, livedMillis)
        return Effect.andThen(
          tellFault(dutyDied, { message: report(policy, cause, pause) }),
          afterwards(policy, pause, begin)
        )
      }
      return Effect.matchCauseEffect(
        Effect.suspend(() => work),
        {
          onFailure: died,
          onSuccess: () => (policy.ends === "byItself" ? Effect.void : died(ended))
        }
      )
    })
  return begin(0)
}

const afterwards = <R>(
  policy: DutyPolicy,
  pause: number,
  begin: (previousPauseMillis: number) => Effect.Effect<void, DutyDied, R>
): Effect.Effect<void, DutyDied, R> => {
  const { after, meanwhile, what } = policy
  switch (after) {
    case "beginAgain":
      return Effect.andThen(
        Effect.sleep(pause),
        Effect.suspend(() => begin(pause))
      )
    case "letGo":
      return Effect.void
    default:
      return Effect.fail(diedOf({ after, meanwhile, what }))
  }
}

const diedOf = ({
  after,
  meanwhile,
  what
}: Pick<DutyPolicy<"endTurn" | "endProcess">, "after" | "meanwhile" | "what">): DutyDied =>
  new DutyDied({ after, message: `${what} has died: ${meanwhile}` })

/** Says in the log what ended something that begins again at once; a `DutyDied` where its owner cannot go on. */
export const reportDeath = (
  policy: DutyPolicy<"beginAgain" | "endTurn" | "endProcess">,
  cause: Cause.Cause<unknown>
): Effect.Effect<DutyDied | undefined> => {
  const { after, meanwhile, what } = policy
  return Effect.as(
    tellFault(dutyDied, { message: report(policy, cause, 0) }),
    after === "beginAgain" ? undefined : diedOf({ after, meanwhile, what })
  )
}

/** Starts a duty whose death is nobody else's business, for as long as the scope is open. */
export const startDuty = <A, E, R>(
  policy: DutyPolicy<"beginAgain" | "letGo">,
  work: Effect.Effect<A, E, R>
): Effect.Effect<void, never, R | Scope.Scope> => Effect.asVoid(Effect.forkScoped(duty(policy, work)))

/** Starts duties, and fails with the first that its owner cannot go on without. */
interface Supervisor {
  readonly start: <A, E, R>(
    policy: DutyPolicy,
    work: Effect.Effect<A, E, R>,
    options?: { readonly startImmediately: boolean }
  ) => Effect.Effect<void, never, R | Scope.Scope>
  /** Never succeeds. The owner races its own work with this. */
  readonly died: Effect.Effect<never, DutyDied>
}

export const makeSupervisor: Effect.Effect<Supervisor> = Effect.sync(() => {
  const first = Deferred.makeUnsafe<never, DutyDied>()
  return {
    start: (policy, work, options) =>
      Effect.asVoid(
        Effect.forkScoped(
          Effect.catch(duty(policy, work), (died) => Deferred.fail(first, died)),
          options
        )
      ),
    died: Deferred.await(first)
  }
})

/** Runs short work that nobody waits for. `what`: the subject of a sentence in the log, should it fail. */
export type RunErrand = (what: string, work: Effect.Effect<unknown, unknown>) => void

/** Errands are interrupted when the scope closes. What ends one otherwise than well is logged with its cause. */
export const makeErrands: Effect.Effect<RunErrand, never, Scope.Scope> = Effect.gen(function* () {
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  return (what, work) =>
    void run(duty({ what, ends: "byItself", after: "letGo", meanwhile: "nothing else is affected" }, work))
})
