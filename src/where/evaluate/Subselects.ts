import { codecOf } from "../values/Codecs.ts"
import { undecided } from "../values/Failure.ts"
import type { Closure } from "./Closures.ts"
import type { SubselectForm } from "./Form.ts"
import { type LinkKey, linkKeyOf, membershipInUse, subselectKind } from "./Membership.ts"

/** Makes the key of a value that is not NULL. */
type KeyOf = (value: unknown) => unknown

/** For the values of `group` and then of `select`. */
export const keyReaders = ({ sub }: Pick<SubselectForm, "sub">): ReadonlyArray<KeyOf> =>
  sub.keys.map(
    ({ collation, type }) =>
      codecOf(type, collation).key ?? (() => undecided("values that cannot be told apart here"))
  )

/** The keys of what some expressions give, `null` for NULL. */
const keysOf =
  (values: ReadonlyArray<Closure>, readers: ReadonlyArray<KeyOf>) =>
  (constants: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
    values.map((value, i) => {
      const one = value(constants)
      return one === null ? null : readers[i]?.(one)
    })

/** The key of the row's values under which the rows of a sub-select are found: `group`, then `probe`. */
export const linkOf = (
  form: SubselectForm,
  group: ReadonlyArray<Closure>,
  probe: ReadonlyArray<Closure>
): ((constants: ReadonlyArray<unknown>) => LinkKey) => {
  const values = [...group, ...probe]
  const readers = keyReaders(form)
  const [value, ...more] = values
  const [read] = readers
  // The usual one, of which no list has to be made.
  if (value !== undefined && more.length === 0)
    return (constants) => {
      const one = value(constants)
      return one === null ? null : read?.(one)
    }
  const keys = keysOf(values, readers)
  return (constants) => linkKeyOf(keys(constants))
}

/**
 * `form.group` and `form.probe`, compiled. A correlation with NULL is never true, so it leaves no rows.
 * Source: PostgreSQL documentation, "Subquery Expressions".
 */
export const subselect = (
  form: SubselectForm,
  group: ReadonlyArray<Closure>,
  probe: ReadonlyArray<Closure>
): Closure => {
  const kind = subselectKind(form.sub)
  const readers = keyReaders(form)
  const groupKeys = keysOf(group, readers)
  const probeKeys = keysOf(probe, readers.slice(group.length))
  const { slot } = form
  if (form.how === "rows") throw new Error("rows that no loop goes through")
  if (form.how === "any")
    return (constants) => {
      const found = linkKeyOf(groupKeys(constants))
      if (found === null) return false
      return membershipInUse().any(kind, constants[slot] as string, found, probeKeys(constants))
    }
  if (form.how === "exists")
    return (constants) => {
      const found = linkKeyOf(groupKeys(constants))
      return found === null ? false : membershipInUse().exists(kind, constants[slot] as string, found)
    }
  return (constants) => {
    const found = linkKeyOf(groupKeys(constants))
    return found === null ? null : membershipInUse().value(kind, constants[slot] as string, found)
  }
}
