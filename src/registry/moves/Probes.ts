import {
  type Form,
  type LinkKey,
  partOfLink,
  partsOf,
  type Plan,
  type SubselectForm,
  subselectKind,
  type SubselectKind,
  type SubselectMoves
} from "../../where/index.ts"

/** A place where rows of a table ask a sub-select. Equal ones of many conditions are one. */
export interface Probe {
  /** The same for places of one table where the same is asked of the same. */
  readonly key: string
  readonly kind: SubselectKind
  readonly how: SubselectForm["how"]
  /** What is asked with, `group` before `probe`. */
  readonly group: ReadonlyArray<Form>
  readonly probe: ReadonlyArray<Form>
  /**
   * The places, among all of these, of those that follow from the row alone: not from what other sub-selects give, nor from rows
   * that a loop around is at. `undefined`: all.
   */
  readonly known: ReadonlyArray<number> | undefined
  /** Whether it can matter to the condition that it is NULL, and not false. */
  readonly nullable: boolean
  /** The same as SQL, if it is known, and the names of the types. */
  readonly sql: Pick<SubselectMoves, "group" | "probe" | "types"> | undefined
  /** Of the condition, whose forms these are. */
  readonly plan: Plan
  readonly constants: ReadonlyArray<string>
}

/**
 * What of a condition's parts matters: whether they are true, whether they are false, all three values, or nothing of what becomes of
 * them. A row belongs to a shape where the whole is true.
 */
type Matters = "true" | "false" | "all" | "nothing"

const opposite: Readonly<Record<Matters, Matters>> = {
  true: "false",
  false: "true",
  all: "all",
  nothing: "nothing"
}

/** The sub-selects that stand in a form, not those inside of them. */
const visit = (
  form: Form,
  matters: Matters,
  found: (form: SubselectForm, matters: Matters) => void
): void => {
  const into = (part: Form, as: Matters) => visit(part, as, found)
  if ("sub" in form) {
    found(form, matters)
    for (const part of partsOf(form)) into(part, "all")
  } else if ("loop" in form) {
    into(form.first, "true")
    for (const { reach, rows, when } of form.tables) {
      // What becomes of rows that are reached by way of another table concerns whom that one's rows concern.
      into(rows, reach === undefined ? "all" : "nothing")
      if (reach !== undefined) into(reach.by, "nothing")
      into(when, "true")
    }
    if (form.give !== undefined) into(form.give, "all")
  } else if ("and" in form || "or" in form) for (const part of partsOf(form)) into(part, matters)
  else if ("not" in form && typeof form.not === "object") into(form.not, opposite[matters])
  else if ("is" in form && form.is !== "UNKNOWN") into(form.a, form.is === "TRUE" ? "true" : "false")
  else if ("case" in form) {
    for (const [when, then] of form.case) {
      into(when, "true")
      into(then, matters)
    }
    into(form.else, matters)
  } else for (const part of partsOf(form)) into(part, "all")
}

const isKnown = (form: Form): boolean => !("e" in form || "sub" in form) && partsOf(form).every(isKnown)

const knownAmong = (forms: ReadonlyArray<Form>): ReadonlyArray<number> | undefined =>
  forms.every(isKnown) ? undefined : [...forms.keys()].filter((i) => isKnown(forms[i] ?? { e: 0 }))

/** All rows of the group are concerned by whatever becomes of it. */
export const asksForAll = ({ how }: Pick<Probe, "how">): boolean => how === "value" || how === "rows"

/** Of a link, what rows that ask there are known to ask with: as `LinkReader` reads it of them. */
export const knownOfLink = (probe: Probe, link: LinkKey): LinkKey => {
  if (probe.known === undefined) return link
  return partOfLink(probe.kind.plan.keys.length, link, probe.known)
}

/** The same of a group. */
export const knownOfGroup = ({ group, known }: Probe, key: LinkKey): LinkKey =>
  known === undefined
    ? key
    : partOfLink(
        group.length,
        key,
        known.filter((i) => i < group.length)
      )

/** Whether a row asks there with a NULL is not known. */
export const asksWithUnknown = ({ group, known, probe }: Probe): boolean =>
  known !== undefined && probe.some((_, i) => !known.includes(group.length + i))

/** The text of forms with their columns and constants, and not their numbers in a plan. */
const textOf = (forms: ReadonlyArray<Form>, plan: Plan, constants: ReadonlyArray<string>): string =>
  JSON.stringify(forms, (key, value: unknown) => {
    if (typeof value !== "number") return value
    if (key === "c") return plan.columns[value]
    return key === "k" ? [constants[value], plan.constants[value]] : value
  })

/** The places in a condition where sub-selects are asked, each once. `moves`: as they stand in it. */
export const probesOf = (
  plan: Plan,
  constants: ReadonlyArray<string>,
  moves: ReadonlyArray<SubselectMoves> | undefined
): ReadonlyArray<Probe> => {
  const probes = new Map<string, Probe>()
  let index = 0
  visit(plan.root, "true", ({ group, how, probe, sub }, matters) => {
    const sql = moves?.[index++]
    if (matters === "nothing") return
    const kind = subselectKind(sub)
    const nullable = matters !== "true"
    const asked = [textOf(group, plan, constants), textOf(probe, plan, constants)]
    const key = JSON.stringify([kind.text, how, nullable, ...asked])
    const known = knownAmong([...group, ...probe])
    probes.set(key, { key, kind, how, group, probe, known, nullable, sql, plan, constants })
  })
  return [...probes.values()]
}
