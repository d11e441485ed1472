import type { Form, LinkKey, SubselectForm } from "../../../src/where/index.ts"
import { linkKeyOf } from "../../../src/where/index.ts"

export type Row = ReadonlyArray<number | null>
/** The rows of each table, by its oid. */
export type Database = ReadonlyMap<number, ReadonlyArray<Row>>

/** Where Postgres would raise an error. */
export const error = Symbol("error")

type Value = number | boolean | null | typeof error

const not = (value: Value): Value => (typeof value === "boolean" ? !value : value)

/** Three-valued; an error counts where nothing else decides. */
const junction = (values: ReadonlyArray<Value>, deciding: boolean): Value =>
  values.includes(deciding)
    ? deciding
    : values.includes(error)
      ? error
      : values.includes(null)
        ? null
        : !deciding

const equals = (a: Value, b: Value): Value =>
  a === error || b === error ? error : a === null || b === null ? null : a === b

/** By going through all rows, for the forms that these tests use. */
export const evaluate = (form: Form, row: Row, texts: ReadonlyArray<string>, db: Database): Value => {
  if ("k" in form) return Number(texts[form.k])
  if ("c" in form) return row[form.c] ?? null
  if ("b" in form) return form.b
  if ("f" in form) {
    const [a, b] = form.a.map((one) => evaluate(one, row, texts, db))
    return equals(a ?? null, b ?? null)
  }
  if ("and" in form)
    return junction(
      form.and.map((one) => evaluate(one, row, texts, db)),
      false
    )
  if ("or" in form)
    return junction(
      form.or.map((one) => evaluate(one, row, texts, db)),
      true
    )
  if ("sub" in form) return membership(form, row, texts, db)
  if ("isNull" in form) {
    const value = evaluate(form.isNull, row, texts, db)
    return value === error ? error : (value === null) !== form.not
  }
  if ("not" in form && typeof form.not === "object") return not(evaluate(form.not, row, texts, db))
  throw new Error(`not among the forms of these tests: ${JSON.stringify(form)}`)
}

/**
 * Whether a condition takes the row. False and NULL are the same here, also below AND and OR: a part of an AND that is not true rules it
 * out, whatever becomes of the others.
 */
const takes = (form: Form, row: Row, texts: ReadonlyArray<string>, db: Database): boolean | typeof error => {
  const deciding = "and" in form ? false : "or" in form ? true : undefined
  if (deciding === undefined) {
    const value = evaluate(form, row, texts, db)
    return value === error ? error : value === true
  }
  const forms = "and" in form ? form.and : "or" in form ? form.or : []
  const parts = forms.map((one) => takes(one, row, texts, db))
  return parts.includes(deciding) ? deciding : parts.includes(error) ? error : !deciding
}

/** What a row gives to a sub-select. */
export interface Gift {
  readonly group: ReadonlyArray<number | null>
  readonly values: ReadonlyArray<number | null>
}

const columnsOf = (forms: ReadonlyArray<Form>, row: Row): ReadonlyArray<number | null> =>
  forms.map((form) => ("c" in form ? (row[form.c] ?? null) : null))

/** What all rows give to a sub-select with these constants; `error` where some row cannot be judged. */
export const gifts = (
  sub: SubselectForm["sub"],
  constants: string,
  db: Database
): ReadonlyArray<Gift> | typeof error => {
  const texts = JSON.parse(constants) as ReadonlyArray<string>
  const found: Array<Gift> = []
  for (const row of db.get(sub.table.oid) ?? []) {
    const verdict = takes(sub.plan.root, row, texts, db)
    if (verdict === error) return error
    const group = columnsOf(sub.group, row)
    if (verdict === true && !group.includes(null)) found.push({ group, values: columnsOf(sub.select, row) })
  }
  return found
}

export const inGroup = (
  given: ReadonlyArray<Gift>,
  group: ReadonlyArray<number | null>
): ReadonlyArray<Gift> => given.filter((gift) => gift.group.every((value, i) => value === group[i]))

/** `values IN (...)`. */
export const isAmong = (given: ReadonlyArray<Gift>, values: ReadonlyArray<number | null>): boolean | null => {
  const verdicts = given.map((gift) =>
    junction(
      gift.values.map((value, i) => equals(value, values[i] ?? null)),
      false
    )
  )
  return junction(verdicts, true) as boolean | null
}

export const onlyValue = (
  given: ReadonlyArray<Gift>,
  { distinct }: SubselectForm["sub"]
): number | null | typeof error => {
  const values = given.map((gift) => gift.values[0] ?? null)
  const rows = distinct === true ? [...new Set(values)] : values
  return rows.length > 1 ? error : (rows[0] ?? null)
}

const membership = (form: SubselectForm, row: Row, texts: ReadonlyArray<string>, db: Database): Value => {
  const given = gifts(form.sub, texts[form.slot] ?? "[]", db)
  const group = columnsOf(form.group, row)
  if (given === error) return error
  const found = inGroup(given, group)
  if (form.how === "exists") return found.length > 0
  return form.how === "any" ? isAmong(found, columnsOf(form.probe, row)) : onlyValue(found, form.sub)
}

export const linkOf = (values: ReadonlyArray<number | null>): LinkKey => linkKeyOf(values)

/** The row's values of the sub-select's two sides. */
export const sidesOf = (form: SubselectForm, row: Row): Gift => ({
  group: columnsOf(form.group, row),
  values: columnsOf(form.probe, row)
})
