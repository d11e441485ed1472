import type { CollationKind } from "../values/Text.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"

/** The types and collation that one call was resolved to. `collation` is `undefined` for a non-deterministic one. */
export interface Signature {
  readonly args: ReadonlyArray<TypeSpec>
  readonly result: TypeSpec
  readonly collation: CollationKind | undefined
}

export type Implementation = (...args: ReadonlyArray<unknown>) => unknown

export type ComparisonOperator = "=" | "<>" | "<" | "<=" | ">" | ">="

/**
 * A function of Postgres that is evaluated here, exactly. Strict unless stated: NULL arguments never reach it.
 * Values are in the representation of their type's codec, `null` is NULL, booleans are booleans.
 */
export interface Native {
  readonly strict: boolean
  /** `undefined` when this combination of types or collation is left to Postgres. */
  readonly make: (signature: Signature) => Implementation | undefined
  /** Set for comparisons of two values that share one representation: they can be answered from an index. */
  readonly comparison: ComparisonOperator | undefined
  /** The implementation depends on the signature, which is then stored with the clause. */
  readonly typed: boolean
  /** Compiles the second argument once when it is constant (patterns). */
  readonly prepare: ((signature: Signature) => (argument: unknown) => unknown) | undefined
  /** What the documentation lists: group and how it is written. */
  readonly group: string
}

const registry = new Map<string, Native>()

/** All functions evaluated here, by symbol (or name and argument types, for those written in SQL). */
export const natives: ReadonlyMap<string, Native> = registry

let currentGroup = "other"

/** Names the documentation group of the definitions that follow. */
export const group = (name: string): void => {
  currentGroup = name
}

const names = (keys: string): ReadonlyArray<string> => keys.split(" ").filter((key) => key !== "")

const add = (keys: string, native: Omit<Native, "group">): void => {
  for (const key of names(keys)) registry.set(key, { ...native, group: currentGroup })
}

/** Defines strict functions that do not depend on types: `keys` are separated by blanks. */
export const define = <A extends ReadonlyArray<never>>(keys: string, call: (...args: A) => unknown): void => {
  const make = (): Implementation => call as unknown as Implementation
  add(keys, { strict: true, make, comparison: undefined, typed: false, prepare: undefined })
}

/** Defines strict functions whose implementation depends on the resolved types or the collation. */
export const defineTyped = (keys: string, make: Native["make"]): void => {
  add(keys, { strict: true, make, comparison: undefined, typed: true, prepare: undefined })
}

/** Like `defineTyped`, for functions that see NULL arguments. */
export const defineNullable = (keys: string, make: Native["make"]): void => {
  add(keys, { strict: false, make, comparison: undefined, typed: true, prepare: undefined })
}

export const defineComparison = (
  key: string,
  comparison: ComparisonOperator,
  typed: boolean,
  make: Native["make"]
): void => {
  add(key, { strict: true, make, comparison, typed, prepare: undefined })
}

/** Defines strict two-argument functions whose second argument is compiled: `call` gets the compiled form. */
export const definePrepared = (
  keys: string,
  prepare: (signature: Signature) => ((argument: unknown) => unknown) | undefined,
  call: (signature: Signature) => Implementation | undefined
): void => {
  add(keys, {
    strict: true,
    make: (signature) => (prepare(signature) === undefined ? undefined : call(signature)),
    comparison: undefined,
    typed: true,
    prepare: (signature) => prepare(signature) ?? ((argument) => argument)
  })
}
