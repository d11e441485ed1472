import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { compilePlan } from "../evaluate/Compile.ts"
import type { Form, FormSignature, Plan, SubselectForm, SubselectMoves } from "../evaluate/Form.ts"
import { RowReader } from "../evaluate/RowReader.ts"
import {
  oids,
  type Call,
  type CastStep,
  type Column,
  type Constant,
  type Expression
} from "../expression/Expression.ts"
import { natives, type Native, type Signature } from "../native/index.ts"
import { builtinKey } from "../resolve/Volatility.ts"
import { codecOf } from "../values/Codecs.ts"
import type { Range } from "../values/Ranges.ts"
import type { CollationKind } from "../values/Text.ts"
import { isForeign, type TypeSpec } from "../values/TypeSpec.ts"
import { Folding, Foreign, foreign } from "./Folding.ts"
import { lowerRows } from "./LowerRows.ts"
import { asLoop } from "./AsLoop.ts"
import { lowerLoop } from "./LowerLoop.ts"
import type { LoopRows, Lowers, MadeOf } from "./Lowers.ts"
import { lowerSubscript } from "./LowerSubscript.ts"
import { lowerSubselect } from "./LowerSubselect.ts"
import { movesOf } from "./Moves.ts"
import {
  constantChildren,
  intervalArguments,
  isFixed,
  isMoment,
  isNullForm,
  isSameText,
  openReason,
  selecting
} from "./Forms.ts"
import { collationKindOf } from "../resolve/TypeSpecs.ts"

export interface Lowered {
  readonly plan: Plan
  readonly constants: ReadonlyArray<string>
  /** One entry per condition that only Postgres decides. */
  readonly reasons: ReadonlyArray<string>
  /** One entry per sub-select, in the order of `subselectsOf`. */
  readonly moves: ReadonlyArray<SubselectMoves>
}

/** The stored form, constants folded as Postgres does. `isThreeValued`: it is to tell NULL from false. Throws `Refusal`. */
export const lowerExpression = (
  catalogue: TypeCatalogue,
  expression: Expression,
  isThreeValued = true
): Lowered => {
  const lowering = new Lowering(catalogue)
  const root = lowering.condition(expression, !isThreeValued)
  return {
    plan: { columns: lowering.columns, constants: lowering.types, root },
    constants: lowering.constants,
    reasons: [...new Set(lowering.reasons)],
    moves: movesOf(catalogue, root, lowering.subselects)
  }
}

const operandLeft: Form = { x: 0 }
const operandRight: Form = { x: 1 }

class Lowering extends Folding implements Lowers {
  readonly reasons: Array<string> = []
  readonly subselects = new Map<SubselectForm, MadeOf>()
  readonly loops: Array<LoopRows> = []
  readonly loopValues = { count: 0 }
  readonly level: number
  readonly loopsMade: { count: number }
  constructor(catalogue: TypeCatalogue, level = 0, loopsMade = { count: 0 }) {
    super(catalogue)
    this.level = level
    this.loopsMade = loopsMade
  }

  kind(collation: number): CollationKind {
    return collationKindOf(this.catalogue, collation) ?? foreign("a non-deterministic collation")
  }

  /**
   * A boolean expression: where a part of it is Postgres' own, that condition as a whole is. `ifTrue`: it need not tell NULL from false.
   */
  condition(expression: Expression, ifTrue = false): Form {
    const columns = this.columns.length
    const constants = this.constants.length
    try {
      return this.lower(expression, ifTrue)
    } catch (failure) {
      if (!(failure instanceof Foreign)) throw failure
      this.columns.length = columns
      this.constants.length = constants
      this.types.length = constants
      for (const slot of this.soft) if (slot >= constants) this.soft.delete(slot)
      this.reasons.push(failure.reason)
      return { slow: failure.reason }
    }
  }

  /** An operand: unlike a condition it cannot be left open, so what holds a part of Postgres' own is its own too. */
  value(expression: Expression): Form {
    const form = this.lower(expression)
    if (expression.type === oids.bool) {
      const reason = openReason(form)
      if (reason !== undefined) return foreign(reason)
    }
    return form
  }

  lower(expression: Expression, ifTrue = false): Form {
    const form = this.translate(expression, ifTrue)
    const children = constantChildren(form)
    if (children === undefined) return form
    const run = (): unknown => {
      const plan: Plan = { columns: [], constants: this.types, root: form }
      const compiled = compilePlan(plan, new RowReader(), [])
      const only = new Set(children.flatMap((child) => ("k" in child ? [child.k] : [])))
      return compiled.root(compiled.load(this.constants, only))
    }
    return this.folded(form, expression, run, children)
  }

  translate(expression: Expression, ifTrue: boolean): Form {
    switch (expression.kind) {
      case "constant":
        return this.constant(expression)
      case "column":
        return this.column(expression)
      case "call":
        return this.call(expression)
      case "and":
      case "or":
        return this.logic(expression.kind, expression.args, ifTrue)
      case "not": {
        const arg = this.condition(expression.arg)
        return "b" in arg ? { b: arg.b === null ? null : !arg.b } : { not: arg }
      }
      case "nullTest":
        return this.nullTest(expression.arg, expression.negated)
      case "booleanTest":
        return { is: expression.test, a: this.condition(expression.arg), not: expression.negated }
      case "case":
        return this.caseOf(expression)
      case "coalesce":
        return this.coalesce(expression.args)
      case "minmax": {
        const type = this.spec(expression.type)
        const kind = this.kind(expression.inputCollation)
        if (isForeign(type) || codecOf(type, kind).compare === undefined)
          return foreign("GREATEST or LEAST under this order")
        return {
          greatest: expression.greatest,
          a: expression.args.map((arg) => this.value(arg)),
          t: type,
          l: kind
        }
      }
      case "nullif":
      case "distinct": {
        const compare = this.operator(
          expression.function,
          [expression.left, expression.right],
          oids.bool,
          expression.inputCollation
        )
        const l = this.value(expression.left)
        const r = this.value(expression.right)
        // NULL equals nothing: Postgres takes the first operand without looking at the other.
        if (expression.kind === "nullif" && (isNullForm(l) || isNullForm(r))) return l
        return expression.kind === "nullif"
          ? { nullif: compare, l, r }
          : { distinct: compare, l, r, not: expression.negated }
      }
      case "arrayOperation": {
        const element = this.catalogue.type(this.catalogue.baseType(expression.right.type))?.element ?? 0
        const right: Expression = { ...expression.right, type: element }
        const compare = this.operator(
          expression.function,
          [expression.left, right],
          oids.bool,
          expression.inputCollation
        )
        return {
          any: compare,
          all: !expression.any,
          l: this.value(expression.left),
          r: this.value(expression.right)
        }
      }
      case "array":
        this.known(expression.type)
        return { array: expression.elements.map((one) => this.value(one)), nested: expression.nested }
      case "row":
        return { fields: expression.args.map((arg) => this.value(arg)) }
      case "rowComparison":
        return lowerRows(this, expression)
      case "subscript":
        return lowerSubscript(this, expression)
      case "field":
        this.known(expression.record.type)
        return { field: expression.index, of: this.value(expression.record) }
      case "cast":
        return this.cast(expression)
      case "collate":
        return this.lower(expression.arg)
      case "subselect":
        return lowerSubselect(this, expression) ?? lowerLoop(this, asLoop(this.catalogue, expression), ifTrue)
      case "nestedLoop":
        return lowerLoop(this, expression, ifTrue)
    }
  }

  known(type: number): void {
    const spec = this.spec(type)
    if (isForeign(spec)) foreign(`values of type ${this.catalogue.type(type)?.name ?? type}`)
  }

  constant({ value, type, typmod }: Constant): Form {
    if (value === null) return { b: null }
    if (type === oids.interval && typmod >= 0) return foreign("an interval literal with fields")
    if (type === oids.bool) return { b: value === "t" }
    this.known(type)
    return this.slot(value, this.spec(type))
  }

  inside(): Lowering {
    return new Lowering(this.catalogue, this.level + 1, this.loopsMade)
  }

  column({ name, source = 0, type, up = 0 }: Column): Form {
    this.known(type)
    const rows = this.loops.at(-1 - up)
    if (rows !== undefined) return { e: rows(source, name) }
    let index = this.columns.findIndex((column) => column.name === name)
    if (index < 0) index = this.columns.push({ name, typeOid: type, type: this.spec(type) }) - 1
    return { c: index }
  }

  nullTest(arg: Expression, negated: boolean): Form {
    if (arg.kind === "row") {
      // Every part is folded, and may fail to be, before one of them decides.
      const values = arg.args.map((one) => this.value(one))
      const known = (part: Form): boolean => isFixed(part) && !("k" in part && this.soft.has(part.k))
      if (values.some((part) => known(part) && isNullForm(part) === negated)) return { b: false }
      const parts = values
        .filter((part) => !known(part))
        .map((part): Form => ({ isNull: part, not: negated, row: false }))
      return parts.length === 0 ? { b: true } : { and: parts }
    }
    const spec = this.spec(arg.type)
    // A column's NULL test needs nothing of its type; one of a composite type looks into it.
    const row = typeof spec !== "string" && "fields" in spec
    if (arg.kind === "column" && isForeign(spec) && this.loops.length === (arg.up ?? 0)) {
      if (this.catalogue.type(this.catalogue.baseType(arg.type))?.kind === "c")
        return foreign("NULL tests of composite values")
      let index = this.columns.findIndex((column) => column.name === arg.name)
      if (index < 0) index = this.columns.push({ name: arg.name, typeOid: arg.type, type: spec }) - 1
      return { isNull: { c: index }, not: negated, row: false }
    }
    const value = this.value(arg)
    return "b" in value ? { b: (value.b === null) !== negated } : { isNull: value, not: negated, row }
  }

  /** AND and OR: a deciding constant ends them, an indifferent one disappears; what follows is not looked at. */
  logic(kind: "and" | "or", args: ReadonlyArray<Expression>, ifTrue: boolean): Form {
    const deciding = kind === "or"
    const parts: Array<Form> = []
    let sawNull = false
    for (const arg of args) {
      const part = this.decisive(arg, this.condition(arg, ifTrue))
      if ("b" in part && part.b === deciding) return part
      if ("b" in part && part.b === !deciding) continue
      if ("b" in part) sawNull = true
      else parts.push(part)
    }
    if (sawNull) parts.push({ b: null })
    const only = parts[0]
    if (only === undefined) return { b: !deciding }
    if (parts.length === 1) return only
    return kind === "and" ? { and: parts } : { or: parts }
  }

  caseOf(expression: Expression & { readonly kind: "case" }): Form {
    const result = (value: Expression): Form => this.value(value)
    const whens: Array<readonly [Form, Form]> = []
    for (const when of expression.whens) {
      const condition = this.decisive(when.condition, this.value(when.condition))
      if ("b" in condition && condition.b !== true) continue
      if ("b" in condition)
        return whens.length === 0 ? result(when.result) : { case: whens, else: result(when.result) }
      whens.push([condition, result(when.result)])
    }
    const otherwise = result(expression.otherwise)
    return whens.length === 0 ? otherwise : { case: whens, else: otherwise }
  }

  coalesce(args: ReadonlyArray<Expression>): Form {
    const parts: Array<Form> = []
    for (const arg of args) {
      const part = this.decisive(arg, this.value(arg))
      if ("b" in part && part.b === null) continue
      parts.push(part)
      if (("k" in part && !this.soft.has(part.k)) || "b" in part) break
    }
    const only = parts[0]
    if (only === undefined) return { b: null }
    return parts.length === 1 ? only : { coalesce: parts }
  }

  signature(args: ReadonlyArray<Expression>, result: number, collation: number): Signature {
    return {
      args: args.map((arg) => this.spec(arg.type)),
      result: this.spec(result),
      collation: collationKindOf(this.catalogue, collation)
    }
  }

  find(oid: number): { readonly key: string; readonly native: Native } {
    const entry = this.catalogue.function(oid)
    const key = entry === undefined ? undefined : builtinKey(this.catalogue, entry)
    const native = key === undefined ? undefined : natives.get(key)
    if (key === undefined || native === undefined) {
      return foreign(
        `function ${entry?.schema === "pg_catalog" ? "" : `${entry?.schema ?? ""}.`}${entry?.name ?? oid}`
      )
    }
    return { key, native }
  }

  form(key: string, native: Native, args: ReadonlyArray<Form>, signature: Signature): Form {
    if (native.make(signature) === undefined) return foreign(`${key} for these types or this collation`)
    if (!native.typed) return { f: key, a: args }
    const s: FormSignature = { a: signature.args, r: signature.result, l: signature.collation ?? null }
    return { f: key, a: args, s }
  }

  /** The comparison of `nullif`, `distinct` and ANY, over placeholders. */
  operator(oid: number, args: ReadonlyArray<Expression>, result: number, collation: number): Form {
    const { key, native } = this.find(oid)
    return this.form(key, native, [operandLeft, operandRight], this.signature(args, result, collation))
  }

  call(expression: Call): Form {
    const { key, native } = this.find(expression.function)
    const entry = this.catalogue.function(expression.function)
    if (expression.variadicArray) return foreign("a call with VARIADIC")
    let { args } = expression
    if (key === "make_interval") args = intervalArguments(expression, entry?.argNames ?? [])
    else if (
      expression.names !== undefined ||
      (entry !== undefined && entry.variadic === 0 && args.length < entry.args.length)
    ) {
      return foreign(`default arguments of ${entry?.name ?? key}`)
    }
    const forms = args.map((arg) => this.value(arg))
    const trivial = this.trivialRange(key, forms)
    if (trivial !== undefined) return trivial
    const signature = this.signature(args, expression.type, expression.inputCollation)
    const form = this.form(key, native, forms, signature)
    this.known(expression.type)
    return this.fold(form, native, forms, signature, expression, entry?.volatility === "i")
  }

  /** Evaluates a call whose arguments are all constant. */
  fold(
    form: Form,
    native: Native,
    args: ReadonlyArray<Form>,
    signature: Signature,
    at: Expression,
    immutable = true
  ): Form {
    if (native.strict && args.some((arg) => "b" in arg && arg.b === null)) return { b: null }
    if (!args.every((arg) => "k" in arg || "b" in arg)) return this.withSelectors(form)
    const implementation = native.make(signature)
    if (implementation === undefined) return form
    const values = args.map((arg) => this.valueOf(arg))
    if (native.prepare !== undefined) {
      return this.folded(
        form,
        at,
        () => {
          if (/^(?:text|name)ic/.test("f" in form ? form.f : "") && form !== undefined)
            values[0] = this.foldCase(values[0], signature)
          return implementation(values[0], native.prepare?.(signature)(values[1]))
        },
        args
      )
    }
    return this.folded(form, at, () => implementation(...values), args, immutable)
  }

  /** Puts the constants that select a part of a value into the form, so that an index can be over that part. */
  withSelectors(form: Form): Form {
    if (!("f" in form) || !selecting.test(form.f)) return form
    const a = form.a.map((arg): Form =>
      "k" in arg ? { v: this.constants[arg.k] ?? "", t: this.types[arg.k] ?? "text" } : arg
    )
    this.release(form.a)
    return { ...form, a }
  }

  /**
   * As of version 17 the planner answers `range @> value` for a constant range that is empty or unbounded
   * without looking at the value, NULL or not.
   */
  trivialRange(key: string, args: ReadonlyArray<Form>): Form | undefined {
    if (this.catalogue.serverVersion < 170_000) return undefined
    if (key !== "range_contains_elem" && key !== "elem_contained_by_range") return undefined
    const range = args[key === "range_contains_elem" ? 0 : 1]
    if (range === undefined || !("k" in range) || this.soft.has(range.k) || args.some(isNullForm))
      return undefined
    const value = this.valueOf(range) as Range
    if (value.empty) return { b: false }
    return value.lower === null && value.upper === null ? { b: true } : undefined
  }

  foldCase(value: unknown, signature: Signature): unknown {
    const lower = natives.get("lower")?.make({ ...signature, args: ["text"], result: "text" })
    return lower === undefined ? value : lower(value)
  }

  cast(expression: Expression & { readonly kind: "cast" }): Form {
    let form = this.value(expression.arg)
    let type = expression.arg.type
    for (const step of expression.steps) {
      form = this.step(form, step, type, expression)
      type = expression.type
    }
    return form
  }

  step(form: Form, step: CastStep, from: number, at: Expression): Form {
    switch (step.kind) {
      case "relabel": {
        const source = this.spec(from)
        const target = this.spec(at.type)
        if (JSON.stringify(source) === JSON.stringify(target)) return form
        // Types that share a representation; anything else goes through its text form.
        if (isSameText(source, target)) return form
        return this.viaText(form, source, target, at)
      }
      case "io":
        return this.viaText(form, this.spec(step.from), this.spec(step.to), at)
      case "function": {
        const { key, native } = this.find(step.function)
        const entry = this.catalogue.function(step.function)
        const count = entry?.args.length ?? 1
        const args: Array<Form> = [form]
        if (count > 1) args.push(this.slot(String(step.typmod), "int4"))
        if (count > 2) args.push({ b: step.explicit })
        const specs: ReadonlyArray<TypeSpec> = [this.spec(from), "int4", "bool"]
        const signature: Signature = {
          args: specs.slice(0, count),
          result: this.spec(at.type),
          collation: collationKindOf(this.catalogue, at.collation)
        }
        return this.fold(
          this.form(key, native, args, signature),
          native,
          args,
          signature,
          at,
          entry?.volatility === "i"
        )
      }
      case "array": {
        const inner = step.steps.reduce<Form>(
          (value, one) => this.step(value, one, step.from, { ...at, type: step.to }),
          operandLeft
        )
        // As for their elements: what is the same is no cast, and a constant stays one.
        return inner === operandLeft ? form : { each: inner, of: form }
      }
      case "check":
        return foreign(`the constraints of domain ${this.catalogue.type(at.type)?.name ?? ""}`)
    }
  }

  viaText(form: Form, source: TypeSpec, target: TypeSpec, at: Expression): Form {
    if (isForeign(source) || isForeign(target))
      return foreign(`a cast from or to ${this.catalogue.type(at.type)?.name ?? "this type"}`)
    const converted: Form = { io: form, t: source, to: target }
    if (!("k" in form) && !("b" in form)) return converted
    if ("b" in form && form.b === null) return form
    const value = this.valueOf(form)
    const run = (): unknown => codecOf(target, undefined).read(codecOf(source, undefined).write(value))
    try {
      return this.folded(converted, at, run, [form], !isMoment(source) && !isMoment(target))
    } catch (failure) {
      if (failure instanceof Foreign) return foreign(failure.reason)
      throw failure
    }
  }
}
