import type { Form } from "../evaluate/Form.ts"
import { oids, type Call, type Expression } from "../expression/Expression.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"

/** Functions whose constant arguments are rather part of the question than values to compare with. */
export const selecting =
  /^(?:jsonb?_(?:object_field|array_element|extract_path)(?:_text)?|(?:timestamp|timestamptz)_(?:trunc|part|zone)|extract_\w+|split_part|text_substr(?:_no_len)?|text_left|text_right|array_length)$/

/** A constant, NULL or boolean included. */
export const isFixed = (form: Form): boolean => "k" in form || "b" in form

export const isNullForm = (form: Form): boolean => "b" in form && form.b === null

/** The operands of a form that Postgres folds when all of them are constant; `undefined` when they are not. */
export const constantChildren = (form: Form): ReadonlyArray<Form> | undefined => {
  const children = foldableChildren(form)
  return children?.every((child) => "k" in child || "b" in child) === true ? children : undefined
}

const foldableChildren = (form: Form): ReadonlyArray<Form> | undefined => {
  if ("greatest" in form) return form.a
  if ("nullif" in form || "distinct" in form || "any" in form) return [form.l, form.r]
  if ("array" in form) return form.array
  if ("at" in form) return [form.at, ...form.i]
  if ("slice" in form) {
    return [form.slice, ...form.i.flatMap(([from, to]) => [from, to].filter((one) => one !== null))]
  }
  if ("isNull" in form) return [form.isNull]
  if ("each" in form && isImmutableCast(form.each)) return [form.of]
  if ("is" in form) return [form.a]
  return undefined
}

/** Element casts that Postgres folds: between numbers, and through text to what does not depend on settings. */
const isImmutableCast = (form: Form): boolean =>
  "io" in form
    ? !isMoment(form.to) && !isMoment(form.t)
    : "f" in form && /^(?:int\d|i\d|numeric_|float\d|[df]to)/.test(form.f)

/** Types whose input or output functions are STABLE: dates and times, and all that is made of other types. */
export const isMoment = (spec: TypeSpec): boolean =>
  typeof spec !== "string" || /^(?:date|time|timetz|timestamp|timestamptz|interval)$/.test(spec)

/** The reason of the first open condition inside a boolean form. */
export const openReason = (form: Form): string | undefined => {
  if ("slow" in form) return form.slow
  if ("and" in form) return firstReason(form.and)
  if ("or" in form) return firstReason(form.or)
  if ("is" in form) return openReason(form.a)
  return "not" in form && typeof form.not === "object" ? openReason(form.not) : undefined
}

const firstReason = (forms: ReadonlyArray<Form>): string | undefined => {
  for (const form of forms) {
    const reason = openReason(form)
    if (reason !== undefined) return reason
  }
  return undefined
}

const isText = (spec: TypeSpec): boolean => spec === "text" || spec === "varchar"

/** A value of the one type is one of the other as it stands, and so is an array of such values. */
export const isSameText = (from: TypeSpec, to: TypeSpec): boolean =>
  typeof from === "object" && "array" in from && typeof to === "object" && "array" in to
    ? isSameText(from.array, to.array)
    : isText(from) && (isText(to) || to === "bpchar")

/** `make_interval` with its omitted arguments filled in: they are all zero. */
export const intervalArguments = (call: Call, names: ReadonlyArray<string>): ReadonlyArray<Expression> => {
  const [first] = call.args
  return names.map((name, i): Expression => {
    const named = call.names?.indexOf(name) ?? -1
    const positional = call.names === undefined || call.names[i] === "" ? call.args[i] : undefined
    const given = named >= 0 ? call.args[named] : positional
    if (given !== undefined) return given
    const type = name === "secs" ? oids.float8 : oids.int4
    return {
      kind: "constant",
      value: "0",
      parameter: undefined,
      type,
      typmod: -1,
      collation: 0,
      strength: "none",
      at: first?.at ?? call.at
    }
  })
}
