import { aboveLimit, type Limits } from "../../config/Limits.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import type { Call, CastStep, Expression } from "../expression/Expression.ts"
import { oids } from "../expression/Expression.ts"
import { builtinKey } from "../resolve/Volatility.ts"
import { refuse, refuseAt, Refusal } from "../WhereError.ts"
import { lowerExpression } from "./Lower.ts"

/** Functions whose result is as long as their second argument says; without a third one that is empty. */
const padding: ReadonlySet<string> = new Set(["lpad", "rpad", "lpad(text,int4)", "rpad(text,int4)"])
/** The same for those that bring a value to the length of its type. */
const fitting: ReadonlySet<string> = new Set(["bpchar", "bit", "bitfromint4", "bitfromint8"])
const filling: ReadonlySet<string> = new Set(["array_fill", "array_fill_with_lower_bounds"])
const formatting: ReadonlySet<string> = new Set(["text_format", "text_format_nv"])
/** The result has all of the arguments in it. */
const joining: ReadonlySet<string> = new Set([
  "textcat",
  "byteacat",
  "bitcat",
  "array_cat",
  "textanycat(text,anynonarray)",
  "anytextcat(anynonarray,text)",
  "text_concat",
  "text_concat_ws"
])
/** Parts of a text, and what is short whatever it is made of. */
const shortening =
  /^(?:text_(?:left|right|substr\w*)|bytea_substr\w*|bitsubstr\w*|split_part|md5\w*|sha\d+\w*|rtrim1|array_element\w*)$/
/** Postgres reserves so much for each character of the format of a date. */
const bytesPerFormatCharacter = 12
const bytesPerElement = 8
const bytesPerPoint = 16

/** Types whose values have a length. */
const long: ReadonlySet<number> = new Set([
  oids.text,
  oids.varchar,
  oids.bpchar,
  oids.bytea,
  oids.bit,
  oids.varbit,
  oids.json,
  oids.jsonb
])

/**
 * Refuses a condition whose constants alone make it build a value that is too large, or values that are too much together,
 * whatever a row holds: `repeat(title, 1000000000)`. Nobody is to compute that, neither here nor in Postgres, which does
 * not even stop when it is told to. What grows with the row is not looked at; a value of the row counts as one character.
 * Throws `Refusal`.
 */
export const refuseLargeValues = (catalogue: TypeCatalogue, expression: Expression, limits: Limits): void => {
  const made = new MadeSize(catalogue, limits)
  made.sizeOf(expression)
  if (made.total > limits.clauseMemory) refuse(aboveLimit("clauseMemory", limits, made.total))
}

class MadeSize {
  private readonly catalogue: TypeCatalogue
  private readonly limits: Limits
  /** Of all values that are made. */
  total = 0
  constructor(catalogue: TypeCatalogue, limits: Limits) {
    this.catalogue = catalogue
    this.limits = limits
  }

  /** Characters of the value, for a row of short values. Looks at every part once. */
  sizeOf(expression: Expression): number {
    switch (expression.kind) {
      case "constant":
        return expression.value?.length ?? 0
      case "column":
        return 1
      case "call":
        return this.call(expression)
      case "cast": {
        const size = this.sizeOf(expression.arg)
        const length = this.lengthGiven(expression.steps)
        if (length !== undefined) return this.makes(expression, length)
        // Blanks at the end are none of the text.
        return this.isLong(expression.type) && expression.arg.type !== oids.bpchar ? size : 1
      }
      case "collate":
        return this.sizeOf(expression.arg)
      case "array":
        return this.sum(expression.elements)
      case "row":
        return this.sum(expression.args)
      case "case":
        this.most(expression.whens.map(({ condition }) => condition))
        return this.most([...expression.whens.map(({ result }) => result), expression.otherwise])
      case "coalesce":
      case "minmax":
        return this.most(expression.args)
      case "nullif":
        return this.most([expression.left, expression.right])
      case "field":
        return this.sizeOf(expression.record)
      case "subscript": {
        for (const { lower, upper } of expression.indexes)
          this.most([lower, upper].filter((index) => index !== undefined))
        const size = this.sizeOf(expression.container)
        return expression.slice ? size : 1
      }
      case "and":
      case "or":
        this.most(expression.args)
        return 1
      case "not":
      case "nullTest":
      case "booleanTest":
        this.sizeOf(expression.arg)
        return 1
      case "distinct":
      case "arrayOperation":
        this.most([expression.left, expression.right])
        return 1
      case "subselect": {
        this.most([...expression.group, ...expression.probe, ...expression.query.group])
        if (expression.query.condition !== undefined) this.sizeOf(expression.query.condition)
        return this.most(expression.query.select)
      }
      case "nestedLoop":
        this.most(expression.conditions)
        return this.most(
          expression.selected.flatMap(({ probe, value }) => (probe === undefined ? [value] : [value, probe]))
        )
      case "rowComparison":
        for (const { left, right } of expression.pairs) this.most([left, right])
        return 1
    }
  }

  private most(parts: ReadonlyArray<Expression>): number {
    let most = 0
    for (const part of parts) most = Math.max(most, this.sizeOf(part))
    return most
  }

  private sum(parts: ReadonlyArray<Expression>): number {
    let sum = 0
    for (const part of parts) sum += this.sizeOf(part)
    return sum
  }

  private isLong(type: number): boolean {
    const base = this.catalogue.baseType(type)
    return long.has(base) || (this.catalogue.type(base)?.element ?? 0) > 0
  }

  /** A value of this size is made at this place. */
  private makes({ at }: Expression, size: number): number {
    if (size > this.limits.clauseValueLength)
      return refuseAt(at, aboveLimit("clauseValueLength", this.limits, size))
    this.total += size
    return size
  }

  private key(oid: number): string | undefined {
    const entry = this.catalogue.function(oid)
    return entry === undefined ? undefined : builtinKey(this.catalogue, entry)
  }

  private call(call: Call): number {
    const sizes = call.args.map((arg) => this.sizeOf(arg))
    const key = this.key(call.function)
    const first = sizes[0] ?? 0
    const most = Math.max(0, ...sizes)
    if (key === undefined) return this.isLong(call.type) ? most : 1
    if (key === "repeat") return this.makes(call, first * this.amount(call.args[1]))
    if (padding.has(key)) {
      const amount = this.amount(call.args[1])
      return this.makes(call, sizes[2] === 0 ? Math.min(first, amount) : amount)
    }
    if (fitting.has(key)) return this.makes(call, this.amount(call.args[1]))
    if (filling.has(key))
      return this.makes(call, this.elements(call.args[1]) * Math.max(bytesPerElement, first))
    if (formatting.has(key)) return this.makes(call, this.formatted(call, sizes))
    if (key.endsWith("_to_char")) return this.makes(call, (sizes[1] ?? 0) * bytesPerFormatCharacter)
    if (key === "circle_poly") return this.makes(call, this.amount(call.args[0]) * bytesPerPoint)
    if (joining.has(key))
      return this.makes(
        call,
        sizes.reduce((sum, size) => sum + size, 0)
      )
    if (shortening.test(key)) return Math.min(1, most)
    return this.isLong(call.type) ? most : 1
  }

  private lengthGiven(steps: ReadonlyArray<CastStep>): number | undefined {
    for (const step of steps) {
      if (step.kind === "array") {
        const length = this.lengthGiven(step.steps)
        if (length !== undefined) return length
      }
      if (step.kind !== "function" || step.typmod < 0) continue
      const key = this.key(step.function) ?? ""
      // The modifier of character types counts four bytes more than there are characters.
      if (fitting.has(key)) return key === "bpchar" ? step.typmod - 4 : step.typmod
    }
    return undefined
  }

  /** The text of a part that has the same value for all rows. */
  private constant(part: Expression | undefined): string | undefined {
    if (part === undefined) return undefined
    if (part.kind === "constant") return part.value ?? undefined
    if (part.kind === "column") return undefined
    try {
      const { constants, plan } = lowerExpression(this.catalogue, part)
      return "k" in plan.root ? constants[plan.root.k] : undefined
    } catch (failure) {
      // The compiler of the whole says so, if it is ever reached.
      if (failure instanceof Refusal) return undefined
      throw failure
    }
  }

  private amount(part: Expression | undefined): number {
    const text = this.constant(part)
    return text === undefined ? 0 : Math.max(0, Number(text) || 0)
  }

  /** How many elements an array of these dimensions has: `{1000,1000}`. */
  private elements(dimensions: Expression | undefined): number {
    const text = this.constant(dimensions)
    if (text === undefined) return 0
    return numbersIn(text.slice(text.indexOf("=") + 1)).reduce((product, length) => product * length, 1)
  }

  /** Widths are part of the format, `%10s`, or arguments, `%*s`: any of those that are numbers. */
  private formatted({ args }: Call, sizes: ReadonlyArray<number>): number {
    let size = sizes.reduce((sum, one) => sum + one, 0)
    const format = this.constant(args[0]) ?? ""
    let widest: number | undefined
    for (const [, width = ""] of format.matchAll(/%(?:\d+\$)?-?(\*|\d+)/g)) {
      if (width === "*")
        widest ??= args
          .slice(1)
          .flatMap((arg) => numbersIn(this.constant(arg) ?? ""))
          .reduce((most, number) => Math.max(most, number), 0)
      size += width === "*" ? (widest ?? 0) : Number(width)
    }
    return size
  }
}

const numbersIn = (text: string): ReadonlyArray<number> => Array.from(text.matchAll(/\d+/g), Number)
