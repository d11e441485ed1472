import type { Kind } from "./Kind.ts"

export const groups = [
  "Database",
  "Service",
  "Limits",
  "Storage",
  "Bucket",
  "Handover",
  "Telemetry",
  "Development"
] as const
export type Group = (typeof groups)[number]

/** What setting a variable does. */
type Treatment =
  | { readonly _tag: "Implemented" }
  /** Tunes or names something that this service does not have. */
  | { readonly _tag: "Ignored"; readonly why: string }

/** One variable of the environment: the row of the documentation and the rule by which it is read. */
export interface Variable<A> {
  readonly name: string
  readonly group: Group
  readonly kind: Kind<A>
  /** The default as a reader of the documentation would write it, or `-` for unset. */
  readonly standard: string
  readonly about: string
  /** Its value never appears anywhere, not even in an error about it. */
  readonly secret: boolean
  readonly treatment: Treatment
}

/** A variable with a value when it is unset. */
export interface Defaulted<A> extends Variable<A> {
  readonly fallback: A
}

interface Details<A> {
  readonly group: Group
  readonly kind: Kind<A>
  readonly about: string
  readonly secret?: boolean
  readonly treatment?: Treatment
}

const implemented: Treatment = { _tag: "Implemented" }

export const ignored = (why: string): Treatment => ({ _tag: "Ignored", why })

/** A variable whose absence means something of its own. */
export const optional = <A>(name: string, details: Details<A>): Variable<A> => ({
  secret: false,
  treatment: implemented,
  ...details,
  name,
  standard: "-"
})

/** A variable with a default, given as the text that an operator would set: it goes through the same parser. */
export const defaulted = <A>(name: string, standard: string, details: Details<A>): Defaulted<A> => {
  const parsed = details.kind.parse(standard)
  if (parsed._tag === "Failure") throw new Error(`The default of ${name} is none: ${parsed.failure}`)
  return { ...optional(name, details), standard, fallback: parsed.success }
}
