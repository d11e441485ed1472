import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { CastStep, Expression } from "../expression/Expression.ts"
import { isScalarName } from "../values/TypeSpec.ts"
import { builtinKey } from "./Volatility.ts"

/**
 * Functions of Postgres that neither fail nor take long because of a value of a row, besides those that it calls LEAKPROOF
 * itself. By C symbol. Left out on purpose: whatever computes (overflow, division), reads text as another type, matches
 * patterns with backtracking, or builds a value that may become too large.
 */
const quiet: ReadonlySet<string> = new Set([
  ...[
    "numeric",
    "bpchar",
    "text",
    "jsonb",
    "array",
    "range",
    "multirange",
    "enum",
    "network",
    "interval",
    "name"
  ].flatMap((type) => ["eq", "ne", "lt", "le", "gt", "ge"].map((operator) => `${type}_${operator}`)),
  ...["eq", "ne", "lt", "le", "gt", "ge"].flatMap((operator) => [
    `bpchar${operator}`,
    `date_${operator}_timestamp`,
    `date_${operator}_timestamptz`,
    `timestamp_${operator}_date`,
    `timestamp_${operator}_timestamptz`,
    `timestamptz_${operator}_date`,
    `timestamptz_${operator}_timestamp`
  ]),
  "arraycontains",
  "arraycontained",
  "arrayoverlap",
  "jsonb_contains",
  "jsonb_contained",
  "jsonb_exists",
  "jsonb_exists_any",
  "jsonb_exists_all",
  "jsonb_object_field",
  "jsonb_object_field_text",
  "jsonb_array_element",
  "jsonb_array_element_text",
  "jsonb_extract_path",
  "jsonb_extract_path_text",
  "range_contains",
  "range_contains_elem",
  "range_contained_by",
  "elem_contained_by_range",
  "range_overlaps",
  "network_sub",
  "network_subeq",
  "network_sup",
  "network_supeq",
  "network_overlap",
  "ts_match_vq",
  "ts_match_qv",
  "text_starts_with",
  "lower",
  "upper",
  "rtrim1",
  "booltext",
  "i2tod",
  "i4tod",
  "i8tod",
  "int2_numeric",
  "int4_numeric",
  "int8_numeric"
])

/** Pattern matching with a constant that is a piece of text, with `%` at its ends at most: linear, and it cannot fail. */
const likes: ReadonlySet<string> = new Set(
  ["text", "name", "bpchar"].flatMap((type) => [
    `${type}like`,
    `${type}nlike`,
    `${type}iclike`,
    `${type}icnlike`
  ])
)
const plainPattern = /^%?[^%_\\]*%?$/

/**
 * Whether evaluating the expression may fail, or take long, because of what stands in a row. What cannot may be evaluated
 * for rows that its author must not learn of, as in Postgres' own rule for views that are security barriers; in doubt it
 * can. `computed`: columns that are expressions themselves (virtual generated ones).
 * Source: PostgreSQL documentation, "Rules and Privileges", and LEAKPROOF in CREATE FUNCTION.
 */
export const canRaise = (
  catalogue: TypeCatalogue,
  expression: Expression,
  computed: ReadonlySet<string>
): boolean => {
  const any = (parts: ReadonlyArray<Expression | undefined>): boolean =>
    parts.some((part) => part !== undefined && visit(part))
  const isQuiet = (oid: number, args: ReadonlyArray<Expression>): boolean => {
    const entry = catalogue.function(oid)
    if (entry === undefined) return false
    if (entry.leakproof === true) return true
    const key = builtinKey(catalogue, entry)
    if (key === undefined) return false
    if (quiet.has(key)) return true
    const pattern = args[1]
    return (
      likes.has(key) &&
      pattern?.kind === "constant" &&
      (pattern.value === null || plainPattern.test(pattern.value))
    )
  }
  const isQuietStep = (step: CastStep): boolean => {
    switch (step.kind) {
      case "relabel":
        return true
      case "io":
        return textual.has(catalogue.type(step.to)?.name ?? "") && isPrintable(catalogue, step.from)
      case "function":
        return step.typmod < 0 && isQuiet(step.function, [])
      case "array":
        return step.steps.every(isQuietStep)
      case "check":
        return false
    }
  }
  const visit = (part: Expression): boolean => {
    switch (part.kind) {
      case "constant":
        return false
      case "column":
        return computed.has(part.name)
      case "call":
        return any(part.args) || !isQuiet(part.function, part.args)
      case "arrayOperation":
        return any([part.left, part.right]) || !isQuiet(part.function, [])
      case "and":
      case "or":
      case "coalesce":
      case "row":
        return any(part.args)
      case "not":
      case "nullTest":
      case "booleanTest":
      case "collate":
        return visit(part.arg)
      case "case":
        return any([...part.whens.flatMap((when) => [when.condition, when.result]), part.otherwise])
      case "minmax":
        return any(part.args) || !isPrintable(catalogue, part.type)
      case "nullif":
      case "distinct":
        return any([part.left, part.right]) || !isQuiet(part.function, [])
      case "array":
        return part.nested || any(part.elements)
      case "rowComparison":
        return part.pairs.some(({ left, right }) => any([left, right]) || !isPrintable(catalogue, left.type))
      case "subscript":
        return any([part.container, ...part.indexes.flatMap(({ lower, upper }) => [lower, upper])])
      case "field":
        return visit(part.record)
      case "cast":
        return visit(part.arg) || !part.steps.every(isQuietStep)
      case "subselect":
        // More than one row is an error where a value is meant. Columns of its own table are none of these.
        return (
          part.how === "value" ||
          any([...part.group, ...part.probe]) ||
          [...part.query.group, ...part.query.select, part.query.condition].some(
            (inner) => inner !== undefined && canRaise(catalogue, inner, none)
          )
        )
      case "nestedLoop":
        // Whose a column is does not tell its name: what is computed around it may be taken for one of its own.
        return (
          part.how === "value" ||
          any(part.conditions) ||
          part.selected.some(({ probe, value }) => any([probe, value]))
        )
    }
  }
  return visit(expression)
}

const none: ReadonlySet<string> = new Set()
const textual: ReadonlySet<string> = new Set(["text", "varchar"])

/** A type of Postgres' own whose output and comparison functions cannot fail, or an enum. */
const isPrintable = (catalogue: TypeCatalogue, oid: number): boolean => {
  const entry = catalogue.type(catalogue.baseType(oid))
  if (entry === undefined) return false
  return entry.kind === "e" || (entry.schema === "pg_catalog" && isScalarName(entry.name))
}
