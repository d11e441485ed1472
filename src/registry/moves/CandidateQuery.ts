import { quoteIdentifier, quoteLiteral, quoteTable } from "../../postgres/Identifiers.ts"
import { filterSql, type SubselectPlan, type TypeSpec } from "../../where/index.ts"
import { asksForAll, type Probe } from "./Probes.ts"
import type { TouchedKind } from "./Touched.ts"

/** More values than these are not listed: all rows are read instead. */
const mostListed = 100_000

/** As an element of an array in text form. */
const element = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`

/** `side` is one of these values, whose type has this name. */
const isAmong = (
  side: string,
  type: TypeSpec | undefined,
  name: string,
  texts: ReadonlySet<string>
): string => {
  // An array of arrays is one array of more dimensions, and what holds for it is not what holds for each.
  if (typeof type === "object" && !("enum" in type))
    return `${side} IN (${Array.from(texts, (text) => `${quoteLiteral(text)}::${name}`).join(", ")})`
  return `${side} = ANY (${quoteLiteral(`{${Array.from(texts, element).join(",")}}`)}::${name}[])`
}

/** Conditions on single values that hold for every row which asks with one of these lists of values. */
const anyOf = (
  { kind, sql }: Probe,
  lists: ReadonlyArray<ReadonlyArray<string | null>>,
  values: number
): ReadonlyArray<string> => {
  const conditions: Array<string> = []
  if (sql === undefined) return conditions
  for (const [i, side] of [...sql.group, ...sql.probe].slice(0, values).entries()) {
    const name = sql.types[i]
    if (side === null) continue
    const texts = new Set<string>()
    for (const list of lists) texts.add(list[i] ?? "")
    if (name !== undefined && texts.size <= mostListed)
      conditions.push(isAmong(`(${side})`, kind.plan.keys[i]?.type, name, texts))
  }
  return conditions
}

/** For rows that ask with a NULL, if that can be said. */
const hasNullProbe = ({ sql }: Probe): string | undefined =>
  sql === undefined || sql.probe.includes(null)
    ? undefined
    : `(${sql.probe.map((side) => `(${side}) IS NULL`).join(" OR ")})`

const allOf = (conditions: ReadonlyArray<string | undefined>): string =>
  conditions.filter((one) => one !== undefined).join(" AND ") || "true"

/**
 * A condition over the row alone that holds for every row of which the condition around the probe can become another, whatever
 * of these values the sub-select has more or less than before: `true` where nothing narrower can be said, `false` where
 * none can.
 */
export const concernedBy = (probe: Probe, touched: TouchedKind): string => {
  if (touched.everything) return "true"
  const groupWidth = probe.group.length
  const links: Array<ReadonlyArray<string | null>> = []
  const wholeGroups: Array<ReadonlyArray<string | null>> = []
  const all: Array<ReadonlyArray<string | null>> = []
  for (const { link, texts } of touched.gifts.values()) {
    all.push(texts)
    if (asksForAll(probe) || (probe.nullable && link === null)) wholeGroups.push(texts)
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
interface ReadTable {
  readonly schema: string
  readonly name: string
  readonly isPartitioned: boolean
  readonly columns: ReadonlyArray<{ readonly name: string }>
}

/** The bytes of a value as the stream has them: what its type's output function makes of it. */
const bytesOf = (column: string): string =>
  `CASE WHEN ${column} IS NOT NULL THEN pg_catalog.convert_to(pg_catalog.format('%s', ${column}), 'UTF8') END`

/** As `rowBytes` of these columns are ordered: the length of a value stands before it, and NULL behind all values. */
const inOrder = (columns: ReadonlyArray<string>): string => {
  const terms = columns.map(quoteIdentifier).flatMap((column) => {
    const bytes = bytesOf(column)
    return [`pg_catalog.octet_length(${bytes})`, bytes]
  })
  return terms.length === 0 ? "" : ` ORDER BY ${terms.join(", ")}`
}

/**
 * The rows for which one of the conditions holds, with these columns, as the stream would have them; in the order of the
 * bytes of the columns `orderedBy`, if there are any.
 */
export const tableQuery = (
  table: ReadTable,
  conditions: ReadonlyArray<string>,
  orderedBy: ReadonlyArray<string> = []
): string => {
  const columns = table.columns.map(({ name }) => quoteIdentifier(name)).join(", ")
  const from = `SELECT ${columns} FROM ${table.isPartitioned ? "" : "ONLY "}${quoteTable(table)}`
  const where = conditions.includes("true")
    ? ""
    : ` WHERE ${conditions.map((one) => `(${one})`).join(" OR ")}`
  return from + where + inOrder(orderedBy)
}

/** More conditions than these are not asked for one by one: all rows are read instead. */
const mostSources = 200

/** The rows of a table that some sub-selects may select, as a list of conditions for `tableQuery`. */
export const narrowedTo = (
  sources: ReadonlyArray<{ readonly plan: SubselectPlan; readonly constants: string }>
): ReadonlyArray<string> => {
  if (sources.length > mostSources) return ["true"]
  const conditions = new Set<string>()
  for (const { constants, plan } of sources) conditions.add(filterSql(plan.filter, constants) ?? "true")
  return [...conditions]
}
