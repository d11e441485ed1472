import { fail, type GivenRows, type LinkKey, linkKeyIn } from "../where/index.ts"
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
  const { groupWidth, links, width } = subscription.of
  const link = linkKeyIn(groupWidth, group, values)
  if (link !== null) {
    const id = links.find(link)
    if (id !== undefined && subscription.has(id, after)) return true
  }
  if (width > 1) return subscription.couldHave(group, values, after) ? null : false
  if (link === null) return subscription.idsInGroup(group, after) > 0 ? null : false
  for (const _ of subscription.specialIn(group, after)) return null
  return false
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

/** All rows of the group, equal ones together. */
export function* rowsOf(subscription: Subscription, group: LinkKey, after: boolean): Iterable<GivenRows> {
  const { links } = subscription.of
  for (const id of subscription.specialIn(group, after)) {
    const values = links.specialOf(id)?.value?.of
    if (values !== undefined)
      yield { values: values as ReadonlyArray<unknown>, count: subscription.countOf(id, after) }
  }
}

const textOf = (given: Given | undefined): string => given?.value?.text ?? ""
