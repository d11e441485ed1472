import { aboveLimit, standardLimits, type Limits } from "../../config/Limits.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import {
  defaultCollationOid,
  oids,
  type Constant,
  type Expression,
  type OperatorName
} from "../expression/Expression.ts"
import { identifier } from "../parse/Parser.ts"
import { refuse } from "../WhereError.ts"
import { typeName } from "./PrintTypeName.ts"

/**
 * Writes a typed expression as SQL that Postgres resolves to the same operators, functions and types: literals
 * carry their type, implicit casts are written out, operators and types outside `pg_catalog` their schema.
 * Nothing of the user's text is copied: names are quoted, literals escaped.
 */
export const printExpression = (
  catalogue: TypeCatalogue,
  expression: Expression,
  limits: Limits = standardLimits
): string => {
  const printer = new Printer(catalogue, limits)
  return strip(printer.print(expression))
}

/** Takes off the parentheses that enclose all of a text. */
const strip = (text: string): string => {
  if (!text.startsWith("(") || !text.endsWith(")")) return text
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

class Printer {
  readonly catalogue: TypeCatalogue
  readonly limits: Limits
  /** Of all that was written, parts of parts as often as they were copied. */
  length = 0
  constructor(catalogue: TypeCatalogue, limits: Limits) {
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
        return identifier(expression.name)
      case "call":
        return this.call(expression)
      case "arrayOperation":
        return `(${this.print(expression.left)} ${this.operator(expression.operator)} ${
          expression.any ? "ANY" : "ALL"
        } (${strip(this.print(expression.right))}))`
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
    }
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
