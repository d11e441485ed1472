import { quoteIdentifier, quoteLiteral, quoteTable } from "../../postgres/Identifiers.ts"
import type { Form, Plan } from "../../where/index.ts"
import { isScalarName, type TypeSpec } from "../../where/index.ts"
import type { Probe } from "./Probes.ts"
import type { TouchedKind } from "./Touched.ts"

/** More values than these are not listed: all rows are read instead. */
const mostListed = 100_000

/** Casts that change no value, of types whose values compare with each other as they are. Source: `pg_proc.prosrc`. */
const widening = new Set(["i2toi4", "i4toi8", "int28", "int48", "int24"])

/** What stands on one side of an equality, as SQL; `undefined` where it is not a matter of one column. */
const sideOf = (form: Form | undefined, plan: Plan): string | undefined => {
  if (form === undefined) return undefined
  if ("c" in form) return quoteIdentifier(plan.columns[form.c]?.name ?? "")
  if ("f" in form && widening.has(form.f) && form.a.length === 1) return sideOf(form.a[0], plan)
  return undefined
}

/** As an element of an array in text form. */
const element = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`

/** `side` is one of these values; `undefined` where that cannot be said of a type. */
const isAmong = (
  side: string,
  type: TypeSpec | undefined,
  texts: ReadonlySet<string>
): string | undefined => {
  const list = quoteLiteral(`{${Array.from(texts, element).join(",")}}`)
  if (typeof type === "string")
    return isScalarName(type) ? `${side} = ANY (${list}::pg_catalog.${quoteIdentifier(type)}[])` : undefined
  // Postgres takes the literal for what stands beside it.
  return type !== undefined && "enum" in type ? `${side} = ANY (${list})` : undefined
}

/** Conditions on single columns that hold for every row which asks with one of these lists of values. */
const anyOf = (
  { group, kind, plan, probe }: Probe,
  lists: ReadonlyArray<ReadonlyArray<string | null>>,
  values: number
): ReadonlyArray<string> => {
  const conditions: Array<string> = []
  for (const [i, form] of [...group, ...probe].slice(0, values).entries()) {
    const side = sideOf(form, plan)
    if (side === undefined) continue
    const texts = new Set<string>()
    for (const list of lists) texts.add(list[i] ?? "")
    const condition = texts.size > mostListed ? undefined : isAmong(side, kind.plan.keys[i]?.type, texts)
    if (condition !== undefined) conditions.push(condition)
  }
  return conditions
}

/** For rows that ask with a NULL, as far as that can be told by their columns. */
const hasNullProbe = ({ plan, probe }: Probe): string | undefined => {
  const sides = probe.map((form) => sideOf(form, plan))
  return sides.every((side) => side !== undefined)
    ? `(${sides.map((side) => `${side} IS NULL`).join(" OR ")})`
    : undefined
}

const allOf = (conditions: ReadonlyArray<string | undefined>): string =>
  conditions.filter((one) => one !== undefined).join(" AND ") || "true"

/**
 * A condition over the row alone that holds for every row of which the condition around the probe can become another, whatever
 * of these values the sub-select has more or less than before: `true` where nothing narrower can be said, `false` where
 * none can.
 */
export const concernedBy = (probe: Probe, touched: TouchedKind): string => {
  if (touched.everything || probe.isEntangled) return "true"
  const groupWidth = probe.group.length
  const links: Array<ReadonlyArray<string | null>> = []
  const wholeGroups: Array<ReadonlyArray<string | null>> = []
  const all: Array<ReadonlyArray<string | null>> = []
  for (const { link, texts } of touched.gifts.values()) {
    all.push(texts)
    if (probe.how === "value" || (probe.nullable && link === null)) wholeGroups.push(texts)
    else if (link !== null) links.push(texts)
  }
  const terms: Array<string> = []
  if (links.length > 0) terms.push(allOf(anyOf(probe, links, groupWidth + probe.probe.length)))
  if (wholeGroups.length > 0) terms.push(allOf(anyOf(probe, wholeGroups, groupWidth)))
  if (probe.how === "any" && probe.nullable && all.length > 0)
    terms.push(allOf([...anyOf(probe, all, groupWidth), hasNullProbe(probe)]))
  if (terms.includes("true")) return "true"
  return terms.length === 0 ? "false" : terms.map((term) => `(${term})`).join(" OR ")
}

/** Tables without partitions have no rows of others: the stream carries those under their own names. */
export interface ReadTable {
  readonly schema: string
  readonly name: string
  readonly isPartitioned: boolean
  readonly columns: ReadonlyArray<{ readonly name: string }>
}

/** The rows for which one of the conditions holds, with these columns, as the stream would have them. */
export const tableQuery = (table: ReadTable, conditions: ReadonlyArray<string>): string => {
  const columns = table.columns.map(({ name }) => quoteIdentifier(name)).join(", ")
  const from = `SELECT ${columns} FROM ${table.isPartitioned ? "" : "ONLY "}${quoteTable(table)}`
  return conditions.includes("true")
    ? from
    : `${from} WHERE ${conditions.map((one) => `(${one})`).join(" OR ")}`
}

/**
 * An equality with a constant that each of a sub-select's rows has to have, by which its rows are found without all others; as
 * `column` and the text of the constant.
 */
export const narrowedBy = (
  { columns, constants: types, root }: Plan,
  constants: ReadonlyArray<string>
): { readonly side: string; readonly type: TypeSpec; readonly text: string } | undefined => {
  for (const part of "and" in root ? root.and : [root]) {
    if (!("f" in part) || part.a.length !== 2 || !isEquality.test(part.f)) continue
    const [left, right] = part.a as readonly [Form, Form]
    for (const [a, b] of [
      [left, right],
      [right, left]
    ] as const) {
      const side = sideOf(a, { columns, constants: types, root })
      const type = "k" in b ? types[b.k] : undefined
      if (side === undefined || !("k" in b) || typeof type !== "string" || !isScalarName(type)) continue
      return { side, type, text: constants[b.k] ?? "" }
    }
  }
  return undefined
}

const isEquality =
  /^(?:int(?:2|4|8|24|42|28|82|48|84)eq|texteq|bpchareq|nameeq|uuid_eq|booleq|date_eq|oideq)$/

/** The rows of a table that some sub-selects may select, as a list of conditions for `tableQuery`. */
export const narrowedTo = (
  sources: ReadonlyArray<{ readonly plan: Plan; readonly constants: ReadonlyArray<string> }>
): ReadonlyArray<string> => {
  const bySide = new Map<
    string,
    { readonly side: string; readonly type: TypeSpec; readonly texts: Set<string> }
  >()
  for (const { constants, plan } of sources) {
    const by = narrowedBy(plan, constants)
    if (by === undefined) return ["true"]
    const key = JSON.stringify([by.side, by.type])
    const known = bySide.get(key)
    if (known === undefined) bySide.set(key, { ...by, texts: new Set([by.text]) })
    else known.texts.add(by.text)
  }
  return Array.from(bySide.values(), ({ side, texts, type }) => isAmong(side, type, texts) ?? "true")
}
