import * as arrays from "../values/Arrays.ts"
import type { ArrayValue } from "../values/Arrays.ts"
import { natives, type Implementation, type Signature } from "../native/index.ts"
import type { Codec } from "../values/Codec.ts"
import { codecOf } from "../values/Codecs.ts"
import { undecided } from "../values/Failure.ts"
import { spend, spendElements } from "../values/Work.ts"
import { jsonbPath, type Json } from "../values/Json.ts"
import {
  arrayOf,
  binary,
  booleanTest,
  coalesce,
  failingUndecided,
  lazily,
  logic,
  rootLogic,
  type Closure
} from "./Closures.ts"
import { type Form, type FormOf, hasOpenConstant, type LoopForm, type Plan } from "./Form.ts"
import { nestedLoop } from "./Loops.ts"
import type { RowReader } from "./RowReader.ts"
import { subselect } from "./Subselects.ts"

/** A clause form compiled for one relation; shared by all clauses of that form. */
export interface Compiled {
  readonly root: Closure
  /** Turns the texts of a clause's constants into what `root` takes; of those in `only`, if it is given. */
  readonly load: (texts: ReadonlyArray<string>, only?: ReadonlySet<number>) => ReadonlyArray<unknown>
  readonly plan: Plan
  /** Closures of parts of the form, for indexes. */
  readonly closureOf: (form: Form) => Closure
}

interface Derived {
  readonly from: number
  readonly derive: (constant: unknown) => unknown
}

/** Compiles a plan over a reader's current row. `columnIndexes[i]` is where the plan's column i stands in it. */
export const compilePlan = (
  plan: Plan,
  reader: RowReader,
  columnIndexes: ReadonlyArray<number>
): Compiled => {
  const compiler = new Compiler(plan, reader, columnIndexes)
  const whole = compiler.compileRoot(plan.root)
  const root = hasOpenConstant(plan.root) ? failingUndecided(whole) : whole
  let readers: ReadonlyArray<Codec["read"]> | undefined
  const { derived } = compiler
  const count = plan.constants.length
  const load: Compiled["load"] = (texts, only) => {
    const values: Array<unknown> = Array.from({ length: count + derived.length })
    if (only !== undefined)
      for (const i of only) values[i] = codecOf(plan.constants[i] ?? "text", undefined).read(texts[i] ?? "")
    else {
      readers ??= plan.constants.map((type) => codecOf(type, undefined).read)
      for (let i = 0; i < count; i++)
        values[i] = sameBefore(texts, readers, values, i) ?? readers[i]?.(texts[i] ?? "")
    }
    for (let i = 0; i < derived.length; i++) {
      const step = derived[i]
      if (step !== undefined) values[count + i] = step.derive(values[step.from])
    }
    return values
  }
  return { root, load, plan, closureOf: (form) => compiler.compile(form) }
}

/** Shorter texts are read faster than they are looked for. */
const longText = 1000

/** A long parameter that is used many times is read, and kept, once. Values are never changed. */
const sameBefore = (
  texts: ReadonlyArray<string>,
  readers: ReadonlyArray<Codec["read"]>,
  values: ReadonlyArray<unknown>,
  i: number
): unknown => {
  const text = texts[i] ?? ""
  if (text.length < longText) return undefined
  const before = texts.indexOf(text)
  return before < i && readers[before] === readers[i] ? values[before] : undefined
}

/** Up to here texts are looked through that are read as a short value. */
const longShortText = 1000

class Compiler {
  readonly plan: Plan
  readonly reader: RowReader
  readonly slots: ReadonlyArray<number>
  readonly derived: Array<Derived> = []
  /** Operands of the comparison that is being carried out (`x` in forms). */
  readonly operands: Array<unknown> = [null, null]
  /** Values of the rows that loops are at (`e` in forms). */
  readonly at: Array<unknown> = []
  constructor(plan: Plan, reader: RowReader, columnIndexes: ReadonlyArray<number>) {
    this.plan = plan
    this.reader = reader
    this.slots = plan.columns.map((column, i) => reader.columnSlot(columnIndexes[i] ?? -1, column.type))
  }

  compileRoot(form: Form): Closure {
    return "and" in form
      ? rootLogic(
          form,
          form.and.map((part) => this.compile(part))
        )
      : this.compile(form)
  }

  compile(form: Form): Closure {
    const { reader, operands } = this
    if ("k" in form) {
      const index = form.k
      return (constants) => constants[index]
    }
    if ("c" in form) {
      const slot = this.slots[form.c] ?? 0
      return () => reader.value(slot)
    }
    if ("b" in form) {
      const value = form.b
      return () => value
    }
    if ("v" in form) {
      const value = codecOf(form.t, undefined).read(form.v)
      return () => value
    }
    if ("x" in form) {
      const which = form.x
      return () => operands[which]
    }
    if ("f" in form) return this.call(form)
    if ("and" in form)
      return logic(
        form.and,
        form.and.map((part) => this.compile(part)),
        false
      )
    if ("or" in form)
      return logic(
        form.or,
        form.or.map((part) => this.compile(part)),
        true
      )
    if ("isNull" in form) return this.nullTest(form)
    if ("is" in form) return booleanTest(this.compile(form.a), form.is, form.not)
    if ("case" in form) return this.caseOf(form)
    if ("coalesce" in form) return coalesce(form.coalesce.map((part) => this.compile(part)))
    if ("greatest" in form) return this.minmax(form)
    if ("nullif" in form) return this.nullif(form)
    if ("distinct" in form) return this.distinct(form)
    if ("any" in form) return this.any(form)
    if ("array" in form)
      return arrayOf(
        form.array.map((part) => this.compile(part)),
        form.nested
      )
    if ("fields" in form) {
      const parts = form.fields.map((part) => this.compile(part))
      return (constants) => parts.map((part) => part(constants))
    }
    if ("rows" in form) return this.rows(form)
    if ("at" in form) return this.subscript(form)
    if ("slice" in form) return this.slice(form)
    if ("field" in form) {
      const record = this.compile(form.of)
      const index = form.field
      return (constants) => {
        const value = record(constants)
        return value === null ? null : ((value as ReadonlyArray<unknown>)[index] ?? null)
      }
    }
    if ("io" in form) return this.viaText(form)
    if ("each" in form) return this.each(form)
    if ("slow" in form) return () => undefined
    if ("sub" in form)
      return subselect(
        form,
        form.group.map((part) => this.compile(part)),
        form.probe.map((part) => this.compile(part))
      )
    if ("e" in form) {
      const { at } = this
      const index = form.e
      return () => at[index]
    }
    if ("loop" in form) return this.loop(form)
    const arg = this.compile(form.not)
    return (constants) => {
      const value = arg(constants)
      return value === true ? false : value === false ? true : value
    }
  }

  loop(form: LoopForm): Closure {
    const tables = form.tables.map(({ rows, when }) => ({
      group: rows.group.map((part) => this.compile(part)),
      when: this.compile(when)
    }))
    const give = form.give === undefined ? undefined : this.compile(form.give)
    return nestedLoop(form, { first: this.compile(form.first), tables, give }, this.at)
  }

  call(form: FormOf<"f">): Closure {
    const native = natives.get(form.f)
    const signature: Signature =
      form.s === undefined
        ? { args: [], result: "text", collation: "c" }
        : { args: form.s.a, result: form.s.r, collation: form.s.l ?? undefined }
    const implementation = native?.make(signature)
    if (native === undefined || implementation === undefined) {
      return () => undecided(`function ${form.f} is not known to this version`)
    }
    const args = form.a.map((arg) => this.compile(arg))
    const [first, second] = args
    if (native.prepare !== undefined && first !== undefined && second !== undefined) {
      return this.prepared(form, first, second, implementation, native.prepare(signature))
    }
    if (!native.strict) return (constants) => implementation(...args.map((arg) => arg(constants)))
    if (first !== undefined && args.length === 1) {
      const [only] = form.a
      if (only !== undefined && "c" in only && (form.f === "lower" || form.f === "upper")) {
        return this.remembered(`${form.f}|${signature.collation ?? ""}`, only.c, implementation)
      }
      return (constants) => {
        const a = first(constants)
        return a === null ? null : implementation(a)
      }
    }
    if (first !== undefined && second !== undefined && args.length === 2) {
      return binary(form, first, second, implementation)
    }
    return (constants) => {
      // All arguments are evaluated, as in Postgres: an error in one shows even when another is NULL.
      let sawNull = false
      const values: Array<unknown> = []
      for (const arg of args) {
        const value = arg(constants)
        if (value === null) sawNull = true
        values.push(value)
      }
      return sawNull ? null : implementation(...values)
    }
  }

  /** A function of one column, computed once per row for all clauses. */
  remembered(key: string, column: number, implementation: Implementation): Closure {
    const { reader } = this
    const source = this.slots[column] ?? 0
    const slot = reader.derivedSlot(`${key}|${source}`, () => {
      const value = reader.value(source)
      return value === null ? null : implementation(value)
    })
    return () => reader.value(slot)
  }

  prepared(
    form: FormOf<"f">,
    first: Closure,
    second: Closure,
    implementation: Implementation,
    prepare: (argument: unknown) => unknown
  ): Closure {
    let subject = first
    const [source, pattern] = form.a
    if (/^(?:text|name)icn?like$/.test(form.f)) {
      // Case-insensitive LIKE compares in lower case; that of a column is shared by all clauses.
      const lower: Form = {
        f: "lower",
        a: source === undefined ? [] : [source],
        ...(form.s === undefined ? {} : { s: form.s })
      }
      subject = this.compile(lower)
    }
    if (pattern !== undefined && "k" in pattern) {
      const index = this.plan.constants.length + this.derived.length
      this.derived.push({ from: pattern.k, derive: (value) => lazily(() => prepare(value)) })
      return (constants) => {
        const text = subject(constants)
        return text === null ? null : implementation(text, (constants[index] as () => unknown)())
      }
    }
    return (constants) => {
      const text = subject(constants)
      const value = second(constants)
      return text === null || value === null ? null : implementation(text, prepare(value))
    }
  }

  nullTest(form: FormOf<"isNull">): Closure {
    const { reader } = this
    const { not, row } = form
    if ("c" in form.isNull && !row) {
      const slot = this.slots[form.isNull.c] ?? 0
      return () => reader.isNull(slot) !== not
    }
    const arg = this.compile(form.isNull)
    if (!row) return (constants) => (arg(constants) === null) !== not
    return (constants) => {
      const value = arg(constants)
      if (value === null) return !not
      return (value as ReadonlyArray<unknown>).every((part) => (part === null) !== not)
    }
  }

  caseOf(form: FormOf<"case">): Closure {
    const whens = form.case.map(
      ([condition, result]) => [this.compile(condition), this.compile(result)] as const
    )
    const otherwise = this.compile(form.else)
    return (constants) => {
      for (const [condition, result] of whens) if (condition(constants) === true) return result(constants)
      return otherwise(constants)
    }
  }

  minmax(form: FormOf<"greatest">): Closure {
    const { compare } = codecOf(form.t, form.l)
    const args = form.a.map((arg) => this.compile(arg))
    const sign = form.greatest ? 1 : -1
    return (constants) => {
      let best: unknown = null
      for (const arg of args) {
        const value = arg(constants)
        if (value === null) continue
        if (best === null || (compare?.(value, best) ?? 0) * sign > 0) best = value
      }
      return best
    }
  }

  nullif(form: FormOf<"nullif">): Closure {
    const { operands } = this
    const equal = this.compile(form.nullif)
    const left = this.compile(form.l)
    const right = this.compile(form.r)
    return (constants) => {
      const a = left(constants)
      const b = right(constants)
      if (a === null || b === null) return a
      const [savedLeft, savedRight] = operands
      operands[0] = a
      operands[1] = b
      const same = equal(constants)
      operands[0] = savedLeft
      operands[1] = savedRight
      return same === true ? null : a
    }
  }

  distinct(form: FormOf<"distinct">): Closure {
    const { operands } = this
    const equal = this.compile(form.distinct)
    const left = this.compile(form.l)
    const right = this.compile(form.r)
    const { not } = form
    return (constants) => {
      const a = left(constants)
      const b = right(constants)
      if (a === null || b === null) return (a === b) === not
      const [savedLeft, savedRight] = operands
      operands[0] = a
      operands[1] = b
      const same = equal(constants)
      operands[0] = savedLeft
      operands[1] = savedRight
      return (same === true) === not
    }
  }

  any(form: FormOf<"any">): Closure {
    const { operands } = this
    const compare = this.compile(form.any)
    const left = this.compile(form.l)
    const right = this.compile(form.r)
    const deciding = !form.all
    return (constants) => {
      const a = left(constants)
      const array = right(constants) as ArrayValue | null
      if (array === null) return null
      if (array.elements.length === 0) return !deciding
      if (a === null) return null
      if (array.elements.length > 16) spend(array.elements.length * 2)
      let sawNull = false
      const [savedLeft, savedRight] = operands
      operands[0] = a
      try {
        for (const element of array.elements) {
          if (element === null) {
            sawNull = true
            continue
          }
          operands[1] = element
          const verdict = compare(constants)
          if (verdict === deciding) return deciding
          if (verdict === null) sawNull = true
        }
      } finally {
        operands[0] = savedLeft
        operands[1] = savedRight
      }
      return sawNull ? null : !deciding
    }
  }

  rows(form: FormOf<"rows">): Closure {
    const pairs = form.pairs.map(([left, right]) => [this.compile(left), this.compile(right)] as const)
    const compares = form.t.map((type, i) => codecOf(type, form.l[i]).compare)
    const { rows: operator } = form
    return (constants) => {
      for (const [i, [left, right]] of pairs.entries()) {
        const a = left(constants)
        const b = right(constants)
        if (a === null || b === null) return null
        const order = compares[i]?.(a, b) ?? 0
        if (order !== 0) return operator.startsWith("<") ? order < 0 : order > 0
      }
      return operator.endsWith("=")
    }
  }

  subscript(form: FormOf<"at">): Closure {
    const container = this.compile(form.at)
    const indexes = form.i.map((index) => this.compile(index))
    const { json } = form
    return (constants) => {
      const value = container(constants)
      if (value === null) return null
      const subscripts: Array<unknown> = []
      for (const index of indexes) {
        const subscript = index(constants)
        if (subscript === null) return null
        subscripts.push(subscript)
      }
      if (json) return jsonbPath(value as Json, subscripts) ?? null
      return arrays.elementAt(value as ArrayValue, subscripts as ReadonlyArray<number>)
    }
  }

  slice(form: FormOf<"slice">): Closure {
    const container = this.compile(form.slice)
    const bounds = form.i.map(
      ([low, high]) =>
        [
          low === null ? undefined : this.compile(low),
          high === null ? undefined : this.compile(high)
        ] as const
    )
    return (constants) => {
      const value = container(constants)
      if (value === null) return null
      const limits: Array<readonly [number | undefined, number | undefined]> = []
      for (const [low, high] of bounds) {
        const from = low?.(constants)
        const to = high?.(constants)
        if (from === null || to === null) return null
        limits.push([from as number | undefined, to as number | undefined])
      }
      return arrays.sliceArray(value as ArrayValue, limits)
    }
  }

  viaText(form: FormOf<"io">): Closure {
    const source = this.compile(form.io)
    const { write, textSteps: writeSteps } = codecOf(form.t, "c")
    const { read, textSteps: readSteps } = codecOf(form.to, "c")
    const same = form.to === "text" || form.to === "varchar"
    return (constants) => {
      const value = source(constants)
      if (value === null) return null
      spend(writeSteps)
      const text = write(value)
      if (same) return text
      spend(readSteps + Math.min(text.length, longShortText) * 2)
      return read(text)
    }
  }

  each(form: FormOf<"each">): Closure {
    const { operands } = this
    const source = this.compile(form.of)
    const convert = this.compile(form.each)
    return (constants) => {
      const array = source(constants) as ArrayValue | null
      if (array === null) return null
      spendElements(array.elements.length * 2)
      const [saved] = operands
      const elements = array.elements.map((element) => {
        if (element === null) return null
        operands[0] = element
        return convert(constants)
      })
      operands[0] = saved
      return { ...array, elements }
    }
  }
}
