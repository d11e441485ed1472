import { aboveLimit, standardLimits, type Limits } from "../../config/Limits.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import {
  defaultCollationOid,
  oids,
  type Column,
  type Constant,
  type Expression,
  type NestedLoop,
  type OperatorName,
  type Subselect
} from "../expression/Expression.ts"
import { identifier } from "../parse/Parser.ts"
import { refuse } from "../WhereError.ts"
import { typeName } from "./PrintTypeName.ts"

/**
 * Writes a typed expression as SQL that Postgres resolves to the same operators, functions and types: literals
 * carry their type, implicit casts are written out, operators and types outside `pg_catalog` their schema.
 * Nothing of the user's text is copied: names are quoted, literals escaped.
 *
 * Columns of the table that the expression is about stand without its name, but in the sub-selects of the expression: there
 * they have that of `table`, and its schema. So the text can follow `WHERE` in a query of that table that gives it no alias.
 */
export const printExpression = (
  catalogue: TypeCatalogue,
  expression: Expression,
  limits: Limits = standardLimits,
  table?: { readonly schema: string; readonly name: string }
): string => {
  const printer = new Printer(catalogue, limits)
  if (table !== undefined) printer.within = `${identifier(table.schema)}.${identifier(table.name)}.`
  return strip(printer.print(expression))
}

/** Takes off the parentheses that enclose all of a text, but for those that a sub-select cannot do without. */
const strip = (text: string): string => {
  if (!text.startsWith("(") || !text.endsWith(")") || text.startsWith("(SELECT ")) return text
  let depth = 0
  let quote = ""
  for (let i = 0; i < text.length - 1; i++) {
    const character = text[i] ?? ""
    if (quote !== "") {
      if (character === quote) quote = ""
    } else if (character === "'" || character === '"') quote = character
    else if (character === "(") depth++
    else if (character === ")" && --depth === 0) return text
  }
  return text.slice(1, -1)
}

/** A string literal that reads the same under any setting of `standard_conforming_strings`. */
export const literal = (text: string): string =>
  text.includes("\\")
    ? ` E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`

export class Printer {
  readonly catalogue: TypeCatalogue
  readonly limits: Limits
  /** What stands before the columns of the table that is at hand, and before those in a sub-select right inside. */
  private qualifier = ""
  within = ""
  private aliases = 0
  /** Aliases of the tables of the nested loops around, the innermost last, up to the next sub-select of another kind. */
  private loops: Array<ReadonlyArray<string>> = []
  /** Of all that was written, parts of parts as often as they were copied. */
  length = 0
  constructor(catalogue: TypeCatalogue, limits: Limits = standardLimits) {
    this.catalogue = catalogue
    this.limits = limits
  }

  print(expression: Expression): string {
    const text = this.write(expression)
    this.length += text.length
    const { clauseSqlBytes } = this.limits
    if (text.length > clauseSqlBytes || this.length > 100 * clauseSqlBytes)
      refuse(aboveLimit("clauseSqlBytes", this.limits))
    return text
  }

  list(expressions: ReadonlyArray<Expression>): string {
    return expressions.map((one) => strip(this.print(one))).join(", ")
  }

  operator({ schema, name }: OperatorName): string {
    return schema === "pg_catalog" && !this.catalogue.shadowsBuiltins
      ? name
      : `OPERATOR(${identifier(schema)}.${name})`
  }

  constant({ value, type, typmod }: Constant): string {
    const shown = typeName(this.catalogue, type, typmod)
    if (value === null) return `NULL::${shown}`
    if (type === oids.bool) return value === "t" ? "true" : "false"
    if (type === oids.int4 && /^\d{1,10}$/.test(value)) return value
    if (type === oids.numeric && /^\d+\.\d+$/.test(value)) return value
    if (type === oids.int8 && /^\d{11,18}$/.test(value)) return value
    return `${literal(value)}::${shown}`
  }

  call(expression: Expression & { readonly kind: "call" }): string {
    const [first, second] = expression.args
    if (expression.operator !== undefined && first !== undefined) {
      const operator = this.operator(expression.operator)
      return second === undefined
        ? `(${operator} ${this.print(first)})`
        : `(${this.print(first)} ${operator} ${this.print(second)})`
    }
    const entry = this.catalogue.function(expression.function)
    if (entry === undefined) return refuse("a function disappeared from the catalogue")
    const name = `${entry.schema === "pg_catalog" && !this.catalogue.shadowsBuiltins ? "" : `${identifier(entry.schema)}.`}${identifier(entry.name)}`
    const args = expression.args.map((arg, i) => {
      const given = expression.names?.[i] ?? ""
      const variadic = expression.variadicArray && i === expression.args.length - 1 ? "VARIADIC " : ""
      return `${variadic}${given === "" ? "" : `${identifier(given)} => `}${strip(this.print(arg))}`
    })
    return `${name}(${args.join(", ")})`
  }

  write(expression: Expression): string {
    switch (expression.kind) {
      case "constant":
        return this.constant(expression)
      case "column":
        return this.column(expression)
      case "call":
        return this.call(expression)
      case "arrayOperation":
        return `(${this.print(expression.left)} ${this.operator(expression.operator)} ${
          expression.any ? "ANY" : "ALL"
        } (${this.arrayOf(expression.right)}))`
      case "and":
      case "or":
        return `(${expression.args.map((arg) => this.print(arg)).join(expression.kind === "and" ? " AND " : " OR ")})`
      case "not":
        return `(NOT ${this.print(expression.arg)})`
      case "nullTest":
        return `(${this.print(expression.arg)} IS ${expression.negated ? "NOT " : ""}NULL)`
      case "booleanTest":
        return `(${this.print(expression.arg)} IS ${expression.negated ? "NOT " : ""}${expression.test})`
      case "case": {
        const whens = expression.whens.map(
          ({ condition, result }) => `WHEN ${strip(this.print(condition))} THEN ${strip(this.print(result))}`
        )
        return `CASE ${whens.join(" ")} ELSE ${strip(this.print(expression.otherwise))} END`
      }
      case "coalesce":
        return `COALESCE(${this.list(expression.args)})`
      case "minmax":
        return `${expression.greatest ? "GREATEST" : "LEAST"}(${this.list(expression.args)})`
      case "nullif":
        return `NULLIF(${this.list([expression.left, expression.right])})`
      case "distinct":
        return `(${this.print(expression.left)} IS ${expression.negated ? "NOT " : ""}DISTINCT FROM ${this.print(expression.right)})`
      case "array":
        return `${this.cast(`ARRAY[${this.list(expression.elements)}]`, expression.type)}`
      case "row":
        return expression.type === oids.record
          ? `ROW(${this.list(expression.args)})`
          : this.cast(`ROW(${this.list(expression.args)})`, expression.type)
      case "rowComparison":
        return `(ROW(${this.list(expression.pairs.map((pair) => pair.left))}) ${expression.operator} ROW(${this.list(
          expression.pairs.map((pair) => pair.right)
        )}))`
      case "subscript":
        return `(${this.print(expression.container)})${expression.indexes
          .map(({ lower, upper, isSlice }) => {
            const from = lower === undefined ? "" : strip(this.print(lower))
            const to = upper === undefined ? "" : strip(this.print(upper))
            return isSlice ? `[${from}:${to}]` : `[${to}]`
          })
          .join("")}`
      case "field":
        return `(${this.print(expression.record)}).${identifier(expression.name)}`
      case "cast":
        return `(${this.print(expression.arg)})::${typeName(this.catalogue, expression.type, expression.typmod)}`
      case "collate":
        return `(${this.print(expression.arg)} COLLATE ${this.collation(expression.collation)})`
      case "subselect":
        return this.subselect(expression)
      case "nestedLoop":
        return this.loop(expression)
    }
  }

  private column({ name, source = 0, up = 0 }: Column): string {
    const tables = this.loops.at(-1 - up)
    return `${tables === undefined ? this.qualifier : `${tables[source] ?? ""}.`}${identifier(name)}`
  }

  /** Aliases as for others. */
  private loop({ conditions, distinct, how, selected, tables }: NestedLoop): string {
    const { qualifier } = this
    const left = selected.flatMap(({ probe }) => (probe === undefined ? [] : [this.print(probe)]))
    this.qualifier = this.within
    const aliases = tables.map(() => `s${++this.aliases}`)
    this.loops.push(aliases)
    const where = conditions.map((one) => this.print(one)).join(" AND ")
    const select = how === "exists" ? "1" : selected.map(({ value }) => strip(this.print(value))).join(", ")
    this.loops.pop()
    this.qualifier = qualifier
    const from = tables.map((one, i) => this.from(one, aliases[i] ?? "")).join(", ")
    const sql = `(SELECT ${distinct ? "DISTINCT " : ""}${select} FROM ${from}${where === "" ? "" : ` WHERE ${where}`})`
    const equal = selected.flatMap(({ equality }) =>
      equality === undefined ? [] : [this.operator(equality.operator)]
    )
    return this.asked(how, left, equal[0], sql)
  }

  private from({ only, table: { name, schema } }: NestedLoop["tables"][number], alias: string): string {
    return `${only ? "ONLY " : ""}${identifier(schema)}.${identifier(name)} AS ${alias}`
  }

  private asked(
    how: Subselect["how"],
    left: ReadonlyArray<string>,
    operator: string | undefined,
    sql: string
  ): string {
    if (how === "value") return sql
    if (how === "exists") return `(EXISTS ${sql})`
    const link = operator === undefined || operator === "=" ? "IN" : `${operator} ANY`
    return `(${left.length === 1 ? left.join("") : `ROW(${left.map(strip).join(", ")})`} ${link} ${sql})`
  }

  /** Tables have aliases that no two of them share, so that it is clear whose a column is. */
  subselect({ group, how, probe, query }: Subselect): string {
    const { loops, qualifier, within } = this
    const left = probe.map((one) => this.print(one))
    this.qualifier = within
    const outer = group.map((one) => this.print(one))
    const alias = `s${++this.aliases}`
    this.qualifier = this.within = `${alias}.`
    this.loops = []
    const equal = query.equalities.map(({ operator }) => this.operator(operator))
    const conditions = [
      ...outer.map((one, i) => {
        const inner = query.group[i]
        return inner === undefined ? "false" : `(${this.print(inner)} ${equal[i] ?? "="} ${one})`
      }),
      ...(query.condition === undefined ? [] : [this.print(query.condition)])
    ]
    const select = how === "exists" ? "1" : query.select.map((one) => strip(this.print(one))).join(", ")
    const from = this.from(query, alias)
    const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`
    this.qualifier = qualifier
    this.within = within
    this.loops = loops
    const sql = `(SELECT ${query.distinct ? "DISTINCT " : ""}${select} FROM ${from}${where})`
    return this.asked(how, left, equal[group.length], sql)
  }

  /** A sub-select alone would mean its rows. */
  arrayOf(right: Expression): string {
    const text = this.print(right)
    return right.kind === "subselect" || right.kind === "nestedLoop"
      ? this.cast(text, right.type)
      : strip(text)
  }

  cast(text: string, type: number): string {
    return `(${text})::${typeName(this.catalogue, type, -1)}`
  }

  collation(oid: number): string {
    const entry = this.catalogue.collation(oid)
    if (entry === undefined) return refuse("a collation disappeared from the catalogue")
    return `${identifier(entry.schema)}.${identifier(entry.name)}`
  }
}

/** `COLLATE …` for a column whose collation is not its type's own; empty otherwise. */
export const collateClause = (catalogue: TypeCatalogue, collation: number): string => {
  if (collation === 0 || collation === defaultCollationOid) return ""
  const entry = catalogue.collation(collation)
  return entry === undefined ? "" : ` COLLATE ${identifier(entry.schema)}.${identifier(entry.name)}`
}
