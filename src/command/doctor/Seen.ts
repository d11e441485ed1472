import { Effect } from "effect"
import { PgError } from "../../postgres/errors/PgError.ts"
import { pgErrorCodes } from "../../postgres/errors/PgErrorCodes.ts"
import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import { type Check, checkOf, type Finding, problem } from "./Finding.ts"

/** What a look has shown, or why it has shown nothing, which is a finding as well. */
export type Seen<A> =
  | { readonly _tag: "Seen"; readonly value: A }
  | { readonly _tag: "Unseen"; readonly code: FaultCode | undefined; readonly message: string }

export const seen = <A>(value: A): Seen<A> => ({ _tag: "Seen", value })

export const unseen = (message: string, code?: FaultCode): Seen<never> => ({ _tag: "Unseen", code, message })

/** A single look may take so long; a connection that swallows everything takes no longer. */
export const lookMillis = 10_000

/**
 * A look that cannot fail: what it fails with, also by a mistake of ours, becomes what it has shown. It ends after `lookMillis`,
 * unless another time is given.
 */
export const look = <A, R>(
  name: string,
  work: Effect.Effect<A, unknown, R>,
  millis = lookMillis,
  code?: FaultCode
): Effect.Effect<Seen<A>, never, R> =>
  work.pipe(
    Effect.map((value): Seen<A> => seen(value)),
    Effect.timeoutOrElse({
      duration: millis,
      orElse: () =>
        Effect.succeed<Seen<A>>(
          unseen(`${name}: there was no answer within ${millis / 1000} s.`, code ?? "BATON-DB-UNREACHABLE")
        )
    }),
    Effect.catch((error) => Effect.succeed<Seen<A>>(explained(name, error, code))),
    Effect.catchDefect((defect) => Effect.succeed<Seen<A>>(explained(name, defect, code)))
  )

const explained = (name: string, error: unknown, code: FaultCode | undefined): Seen<never> => {
  if (error instanceof PgError) return unseen(error.message, pgErrorCodes[error.kind])
  return unseen(`${name}: ${error instanceof Error ? error.message : String(error)}`, code)
}

/** What a look that has shown nothing comes to. */
export const unseenFinding = (
  check: Check,
  { code, message }: Extract<Seen<unknown>, { readonly _tag: "Unseen" }>
): Finding => problem(code === undefined ? check : checkOf(code, check), code, message)

/** The findings of what was seen, or the one that says why it was not. */
export const findingsOf = <A>(
  check: Check,
  what: Seen<A>,
  find: (value: A) => ReadonlyArray<Finding>
): ReadonlyArray<Finding> => (what._tag === "Seen" ? find(what.value) : [unseenFinding(check, what)])

/** The value, where there is one. */
export const valueOf = <A>(what: Seen<A> | undefined): A | undefined =>
  what?._tag === "Seen" ? what.value : undefined
