import { codecOf } from "../values/Codecs.ts"
import { fail, undecided } from "../values/Failure.ts"
import { spend } from "../values/Work.ts"
import type { Closure } from "./Closures.ts"
import type { LoopForm } from "./Form.ts"
import { linkKeyOf, membershipInUse, subselectKind } from "./Membership.ts"
import { keyReaders } from "./Subselects.ts"

/** The parts of a loop, compiled. */
interface LoopParts {
  readonly first: Closure
  readonly tables: ReadonlyArray<{ readonly group: ReadonlyArray<Closure>; readonly when: Closure }>
  readonly give: Closure | undefined
}

/** What a row that is gone through costs beside its conditions. */
const stepsPerRow = 4

type Constants = ReadonlyArray<unknown>

const isTrue = (closure: Closure, constants: Constants): boolean => {
  const verdict = closure(constants)
  return verdict === undefined ? undecided("only Postgres evaluates a part of it") : verdict === true
}

/** `at`: the values of the rows that loops are at, for all loops of a condition. */
export const nestedLoop = (
  form: LoopForm,
  { first, give, tables }: LoopParts,
  at: Array<unknown>
): Closure => {
  const steps = form.tables.map(({ from, rows }, i) => ({
    from,
    slot: rows.slot,
    kind: subselectKind(rows.sub),
    keys: keyReaders(rows),
    group: tables[i]?.group ?? [],
    when: tables[i]?.when ?? (() => false)
  }))
  /** Goes through the rows from this table on; `found` is told how often what it is at is there, and says whether that is enough. */
  const through = (
    step: number,
    times: number,
    constants: Constants,
    found: (times: number) => boolean
  ): boolean => {
    const table = steps[step]
    if (table === undefined) return found(times)
    const keys: Array<unknown> = []
    for (const value of table.group) {
      const one = value(constants)
      if (one === null) return false
      keys.push(table.keys[keys.length]?.(one))
    }
    const { from, kind, slot, when } = table
    for (const { count, values } of membershipInUse().rows(
      kind,
      constants[slot] as string,
      linkKeyOf(keys)
    )) {
      spend(stepsPerRow)
      for (let i = 0; i < values.length; i++) at[from + i] = values[i]
      if (isTrue(when, constants) && through(step + 1, times * count, constants, found)) return true
    }
    return false
  }
  if (form.loop === "exists")
    return (constants) => isTrue(first, constants) && through(0, 1, constants, () => true)
  return onlyValue(form, give ?? (() => null), (constants, found) => {
    if (isTrue(first, constants)) through(0, 1, constants, found)
  })
}

/** The value of the only row; of equal ones that look different the same at all times. */
const onlyValue = (
  { key, once }: LoopForm,
  give: Closure,
  goThrough: (constants: Constants, found: (times: number) => boolean) => void
): Closure => {
  const codec = codecOf(key?.type ?? "text", key?.collation)
  const identify = (value: unknown): unknown => (value === null ? null : codec.key?.(value))
  const write = (value: unknown): string => (value === null ? "" : codec.write(value))
  return (constants) => {
    let isFound = false
    let only: unknown = null
    goThrough(constants, (times) => {
      const value = give(constants)
      if (value === undefined) return undecided("only Postgres evaluates what it selects")
      const isAnother = isFound && !(once === true && areSame(identify(only), identify(value)))
      if (isAnother || (times > 1 && once !== true))
        return fail("more than one row returned by a subquery used as an expression")
      if (!isFound || write(value) < write(only)) only = value
      isFound = true
      return false
    })
    return only
  }
}

/** NaN is the same as NaN, and 0 as -0. */
const areSame = (a: unknown, b: unknown): boolean => a === b || Object.is(a, b)
