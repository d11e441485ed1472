import { undecided } from "../values/Failure.ts"
import type { SubselectPlan } from "./Form.ts"

/** A sub-select without its constants: one object for equal plans, for as long as somebody has it. */
export interface SubselectKind {
  readonly text: string
  readonly plan: SubselectPlan
}

/**
 * Identifies a list of values: equal for equal values, and only for them. The key of a single value (`Codec.key`) stands for
 * itself, several are one text. `null` where one of them is NULL.
 */
export type LinkKey = unknown

/** Equal rows of a sub-select. */
export interface GivenRows {
  readonly values: ReadonlyArray<unknown>
  readonly count: number
}

/**
 * What sub-selects give at the moment. `constants` is the text of the sub-select's constants, which with its kind says which
 * one is meant. `group` is the key of the values of its correlation, `emptyLink` where there is none.
 */
export interface Membership {
  /** `values IN (SELECT ...)`, by the keys of the single values, `null` for NULL. Three-valued, as in Postgres. */
  readonly any: (
    kind: SubselectKind,
    constants: string,
    group: LinkKey,
    values: ReadonlyArray<unknown>
  ) => boolean | null
  readonly exists: (kind: SubselectKind, constants: string, group: LinkKey) => boolean
  /** Of the only row; `null` where there is none. Throws `EvaluationError` where there are several. */
  readonly value: (kind: SubselectKind, constants: string, group: LinkKey) => unknown
  /** Of the group. Not to be kept. */
  readonly rows: (kind: SubselectKind, constants: string, group: LinkKey) => Iterable<GivenRows>
  /**
   * Constants of those sub-selects of the kind that have a row with these values of `group` and `select`, one after the other. Not
   * to be kept.
   */
  readonly having: (kind: SubselectKind, link: LinkKey) => Iterable<string>
}

/** The key of no values at all. */
export const emptyLink: LinkKey = ""

/** Equal for equal keys, and only for them. */
export const keyName = (key: unknown): string => `${typeof key}:${String(key)}`

/** One key among several: the texts of a list of keys, one after the other, are those of no other list. */
const part = (key: unknown): string => partOf(keyName(key))

const partOf = (name: string): string => `${name.length}.${name}`

/** The names of the keys that a link is made of, of which there are several. */
export const linkNames = (link: LinkKey): ReadonlyArray<string> => {
  const text = String(link)
  const names: Array<string> = []
  for (let at = 0; at < text.length;) {
    const start = text.indexOf(".", at) + 1
    const end = start + Number(text.slice(at, start - 1))
    names.push(text.slice(start, end))
    at = end
  }
  return names
}

/** Of the keys of single values. */
export const linkKeyOf = (keys: ReadonlyArray<unknown>): LinkKey => {
  if (keys.length === 1) return keys[0]
  let text = ""
  for (const key of keys) {
    if (key === null) return null
    text += part(key)
  }
  return text
}

/** `linkKeyOf` the keys of a group, which has so many values and this key, and of values beside it. */
export const linkKeyIn = (values: number, group: LinkKey, beside: ReadonlyArray<unknown>): LinkKey => {
  if (values === 0) return linkKeyOf(beside)
  if (beside.length === 0) return group
  let text = values === 1 ? part(group) : (group as string)
  for (const key of beside) {
    if (key === null) return null
    text += part(key)
  }
  return text
}

/** The key of the group: of the first so many of the values, of all the keys of which the link is made. */
export const groupKeyIn = (values: number, link: LinkKey): LinkKey => {
  if (values === 0) return emptyLink
  const names = linkNames(link)
  if (names.length === values) return link
  if (values > 1) return names.slice(0, values).map(partOf).join("")
  return keyNamed(names[0] ?? "")
}

/** The key that has this name. */
const keyNamed = (name: string): LinkKey => {
  const colon = name.indexOf(":")
  const text = name.slice(colon + 1)
  switch (name.slice(0, colon)) {
    case "number":
      return Number(text)
    case "bigint":
      return BigInt(text)
    case "boolean":
      return text === "true"
    default:
      return text
  }
}

/** Of a link of so many values: the key of those at these places, in their order. */
export const partOfLink = (values: number, link: LinkKey, places: ReadonlyArray<number>): LinkKey => {
  if (places.length === 0) return emptyLink
  if (values === 1) return link
  const names = linkNames(link)
  if (places.length === 1) return keyNamed(names[places[0] ?? 0] ?? "")
  return places.map((place) => partOf(names[place] ?? "")).join("")
}

const kinds = new Map<string, WeakRef<SubselectKind>>()
const gone = new FinalizationRegistry<string>((text) => {
  if (kinds.get(text)?.deref() === undefined) kinds.delete(text)
})

export const subselectKind = (plan: SubselectPlan): SubselectKind => {
  const text = JSON.stringify(plan)
  const known = kinds.get(text)?.deref()
  if (known !== undefined) return known
  const kind = { text, plan }
  kinds.set(text, new WeakRef(kind))
  gone.register(kind, text)
  return kind
}

const unknown = (): never => undecided("what a sub-select gives is not known here")

/** Where nobody knows what sub-selects give: conditions with one are undecided. */
export const noMembership: Membership = {
  any: unknown,
  exists: unknown,
  value: unknown,
  rows: unknown,
  having: unknown
}

/** One evaluation runs at a time, so this is the state of the module. */
let current = noMembership

/** Whoever evaluates clauses says what sub-selects give. */
export const useMembership = (membership: Membership): void => {
  current = membership
}

export const membershipInUse = (): Membership => current
