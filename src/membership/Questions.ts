import { fail, keyName, type LinkKey, linkKeyIn, linkNames } from "../where/index.ts"
import type { Given } from "./Links.ts"
import type { Subscription } from "./Subscription.ts"

/**
 * `values IN (SELECT ...)`, as Postgres has it: true for a row with equal values; else NULL if some row has, where it is not equal, a
 * NULL on one side or the other; else false. Source: PostgreSQL documentation, "Subquery Expressions".
 */
export const anyOf = (
  subscription: Subscription,
  group: LinkKey,
  values: ReadonlyArray<unknown>,
  after: boolean
): boolean | null => {
  const { groupWidth, links } = subscription.of
  const link = linkKeyIn(groupWidth, group, values)
  if (link !== null) {
    const id = links.find(link)
    if (id !== undefined && subscription.has(id, after)) return true
    for (const special of subscription.specialIn(group, after))
      if (mayEqual(links.specialOf(special)?.parts ?? [], values)) return null
    return false
  }
  if (subscription.idsInGroup(group, after) <= 0) return false
  if (values.every((value) => value === null)) return null
  const names = values.map((value) => (value === null ? null : keyName(value)))
  for (const id of subscription.allIn(group, after)) {
    const special = links.specialOf(id)
    const found =
      special === undefined
        ? mayEqual(linkNames(links.linkOf(id)).slice(groupWidth), names)
        : mayEqual(special.parts, values)
    if (found) return null
  }
  return false
}

/** None differs that is known on both sides. */
const mayEqual = (parts: ReadonlyArray<unknown>, values: ReadonlyArray<unknown>): boolean => {
  for (let i = 0; i < values.length; i++) {
    const part = parts[i]
    const value = values[i]
    if (part !== null && value !== null && part !== value) return false
  }
  return true
}

/**
 * Of the only row in the group, NULL where there is none. Throws `EvaluationError` where there are several. With DISTINCT equal
 * rows are one; which of equal values that look different it has is the same at all times.
 */
export const valueOf = (subscription: Subscription, group: LinkKey, after: boolean): unknown => {
  const { kind, links } = subscription.of
  const distinct = kind.plan.distinct === true
  let only: Given | undefined
  for (const id of subscription.specialIn(group, after)) {
    const given = links.specialOf(id)
    if (
      only === undefined
        ? !distinct && subscription.countOf(id, after) > 1
        : !distinct || only.link !== given?.link
    )
      return fail("more than one row returned by a subquery used as an expression")
    if (only === undefined || textOf(given) < textOf(only)) only = given
  }
  return only?.value?.of ?? null
}

const textOf = (given: Given | undefined): string => given?.value?.text ?? ""
