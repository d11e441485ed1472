import type { CollationKind } from "../values/Text.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"

/**
 * A clause in the form that is stored: it needs neither parser nor catalogue to run. Constants are taken out, so
 * that clauses which differ in constants only share one form, and with it one compiled plan.
 */
export type Form =
  /** Constant number n. */
  | { readonly k: number }
  /** Column number n of the plan. */
  | { readonly c: number }
  | { readonly b: boolean | null }
  /** A constant that belongs to the form: the key in `meta ->> 'key'`, the unit in `date_trunc('day', …)`. */
  | { readonly v: string; readonly t: TypeSpec }
  | { readonly f: string; readonly a: ReadonlyArray<Form>; readonly s?: FormSignature }
  | { readonly and: ReadonlyArray<Form> }
  | { readonly or: ReadonlyArray<Form> }
  | { readonly not: Form }
  | { readonly isNull: Form; readonly not: boolean; readonly row: boolean }
  | { readonly is: "TRUE" | "FALSE" | "UNKNOWN"; readonly a: Form; readonly not: boolean }
  | { readonly case: ReadonlyArray<readonly [Form, Form]>; readonly else: Form }
  | { readonly coalesce: ReadonlyArray<Form> }
  | {
      readonly greatest: boolean
      readonly a: ReadonlyArray<Form>
      readonly t: TypeSpec
      readonly l: CollationKind
    }
  | { readonly nullif: Form; readonly l: Form; readonly r: Form }
  | { readonly distinct: Form; readonly l: Form; readonly r: Form; readonly not: boolean }
  /** Operands of the comparison inside `nullif`, `distinct`, `any` and `rows`. */
  | { readonly x: 0 | 1 }
  | { readonly any: Form; readonly all: boolean; readonly l: Form; readonly r: Form }
  | { readonly array: ReadonlyArray<Form>; readonly nested: boolean }
  | { readonly fields: ReadonlyArray<Form> }
  | {
      readonly rows: "<" | "<=" | ">" | ">="
      readonly pairs: ReadonlyArray<readonly [Form, Form]>
      readonly t: ReadonlyArray<TypeSpec>
      readonly l: ReadonlyArray<CollationKind>
    }
  | { readonly at: Form; readonly i: ReadonlyArray<Form>; readonly json: boolean }
  | { readonly slice: Form; readonly i: ReadonlyArray<readonly [Form | null, Form | null]> }
  | { readonly field: number; readonly of: Form }
  /** Through the text: written as `t`, read as `to`. */
  | { readonly io: Form; readonly t: TypeSpec; readonly to: TypeSpec }
  /** A cast of every element; `x: 0` inside stands for the element. */
  | { readonly each: Form; readonly of: Form }
  /** A condition that only Postgres decides. */
  | { readonly slow: string }
  /** A sub-select, see `SubselectForm`. */
  | SubselectForm
  | LoopForm
  /** Value number n of the rows that the loops around are at. */
  | { readonly e: number }

/**
 * The rows of one or more tables are gone through: `exists`, whether there are some for which everything holds; `value`: what the only
 * ones give, NULL where there are none. Its parts are about the row around it, and about those that it is at in tables before.
 */
export interface LoopForm {
  readonly loop: "exists" | "value"
  /** About no row of its own. */
  readonly first: Form
  readonly tables: ReadonlyArray<LoopTable>
  /** Of `value`: what it gives, how that is identified, and that equal rows are one. */
  readonly give?: Form
  readonly key?: SubselectPlan["keys"][number]
  readonly once?: true
}

export interface LoopTable {
  /** Its rows, by values that are known when they are looked up: it selects values of its columns. */
  readonly rows: SubselectForm
  /** The numbers of these values begin here. */
  readonly from: number
  /** What must be true of a row, beside what it was looked up by. */
  readonly when: Form
  /** Where nothing that they are looked up by follows from the row around. */
  readonly reach?: LoopReach
}

/** Which rows of a table before look rows of a table up. */
export interface LoopReach {
  /** The number of the one before. */
  readonly table: number
  /** The places, in `group` of the one that is looked up, of what the one before is looked up by here. */
  readonly parts: ReadonlyArray<number>
  /** The rows of the one before, by these: what they give to it, which is its own `group`. */
  readonly by: SubselectForm
}

/**
 * What the row has to do with the rows that a sub-select gives. `any`: the values of `probe` are among them (`IN`, `= ANY`);
 * `exists`: there are some; `value`: the only one's value, NULL where there is none; `rows`: a loop goes through all of the group.
 */
export interface SubselectForm {
  readonly sub: SubselectPlan
  /** Slot of a constant of type `text`: the JSON list of the texts of the sub-select's own constants. */
  readonly slot: number
  readonly how: "any" | "exists" | "value" | "rows"
  /** The row's side of equalities between the row and the rows of the sub-select (its correlation). */
  readonly group: ReadonlyArray<Form>
  /** One for each value that is selected; empty unless `how` is `any`. */
  readonly probe: ReadonlyArray<Form>
}

/** A sub-select without its constants. Everything in it is about the rows of one table. */
export interface SubselectPlan {
  readonly table: { readonly oid: number; readonly schema: string; readonly name: string }
  /** Its condition, correlation aside, over the columns of its table; may have sub-selects itself. */
  readonly plan: Plan
  /** The other side of the correlation, and what is selected (nothing for `exists`): over the same columns, without constants. */
  readonly group: ReadonlyArray<Form>
  readonly select: ReadonlyArray<Form>
  /** How the values of `group` and then of `select` are identified: both sides of each equality have been made of this type. */
  readonly keys: ReadonlyArray<{ readonly type: TypeSpec; readonly collation: CollationKind }>
  /** Rows with equal values are one; only where a value, or rows, are asked for. */
  readonly distinct?: true
  /**
   * SQL over the columns of its table that is true for all rows for which its condition is, whatever other sub-selects give: its
   * pieces, and between them the places in the list of its constants of what stands there as a literal. See `filterSql`. Left out
   * where nothing is known.
   */
  readonly filter?: ReadonlyArray<string | number>
  /** Of the sub-selects in its condition, in the order of `subselectsOf`. Left out where there are none. */
  readonly moves?: ReadonlyArray<SubselectMoves>
}

/** How the rows are found that a change of what a sub-select gives may concern. All texts are SQL without names of tables. */
export interface SubselectMoves {
  /**
   * `group` and `probe` of its form, over the columns of the table around it. `null` for what can fail because of a row: it must not
   * be computed for rows that another condition rules out.
   */
  readonly group: ReadonlyArray<string | null>
  readonly probe: ReadonlyArray<string | null>
  /** SQL names of the types of `keys`: each has the values of both sides. */
  readonly types: ReadonlyArray<string>
}

/** The kind of form that has a certain field. */
export type FormOf<K extends string> = Extract<Form, { readonly [P in K]: unknown }>

/** The forms right below one: what it is made of, types and signatures aside. */
export const partsOf = (form: Form): ReadonlyArray<Form> => {
  if ("and" in form) return form.and
  if ("or" in form) return form.or
  if ("f" in form) return form.a
  if ("isNull" in form) return [form.isNull]
  if ("is" in form) return [form.a]
  if ("case" in form) return [...form.case.flat(), form.else]
  if ("coalesce" in form) return form.coalesce
  if ("greatest" in form) return form.a
  if ("nullif" in form) return [form.nullif, form.l, form.r]
  if ("distinct" in form) return [form.distinct, form.l, form.r]
  if ("any" in form) return [form.any, form.l, form.r]
  if ("array" in form) return form.array
  if ("fields" in form) return form.fields
  if ("rows" in form) return form.pairs.flat()
  if ("at" in form) return [form.at, ...form.i]
  if ("slice" in form) return [form.slice, ...form.i.flat().filter((bound) => bound !== null)]
  if ("field" in form) return [form.of]
  if ("io" in form) return [form.io]
  if ("each" in form) return [form.each, form.of]
  // Of the row. What the sub-select is made of is about rows of another table.
  if ("sub" in form) return [...form.group, ...form.probe]
  if ("loop" in form)
    return [
      form.first,
      ...form.tables.flatMap(({ reach, rows, when }) =>
        reach === undefined ? [rows, when] : [rows, reach.by, when]
      ),
      ...(form.give === undefined ? [] : [form.give])
    ]
  if ("not" in form) return [form.not]
  // Does not compile while a kind of form is missing above.
  form satisfies
    FormOf<"k"> | FormOf<"c"> | FormOf<"e"> | FormOf<"b"> | FormOf<"v"> | FormOf<"x"> | FormOf<"slow">
  return []
}

/** Whether it, or anything in it, however deep, is such a form. */
export const some = (form: Form, holds: (part: Form) => boolean): boolean =>
  holds(form) || partsOf(form).some((part) => some(part, holds))

/** Of what a part of a form is made, besides constants. */
const Depends = { onNothing: 0, onOperands: 1, onRow: 2 } as const
type Depends = number

/**
 * Whether a part of it is made of constants alone and is none itself. Postgres may know its value while it plans, and so not come as far as
 * what fails here.
 */
export const hasOpenConstant = (form: Form): boolean => {
  let isOpen = false
  const visit = (part: Form): Depends => {
    if ("c" in part || "e" in part || "sub" in part || "loop" in part) return Depends.onRow
    if ("x" in part) return Depends.onOperands
    const parts = partsOf(part)
    if (parts.length === 0) return Depends.onNothing
    let most: Depends = Depends.onNothing
    for (const one of parts) most = Math.max(most, visit(one))
    const bindsOperands = "nullif" in part || "distinct" in part || "any" in part || "each" in part
    if (bindsOperands && most === Depends.onOperands) most = Depends.onNothing
    if (most === Depends.onNothing) isOpen = true
    return most
  }
  visit(form)
  return isOpen
}

export interface FormSignature {
  readonly a: ReadonlyArray<TypeSpec>
  readonly r: TypeSpec
  readonly l: CollationKind | null
}

export interface FormColumn {
  readonly name: string
  readonly typeOid: number
  readonly type: TypeSpec
}

/** The shared part of stored clauses. */
export interface Plan {
  readonly columns: ReadonlyArray<FormColumn>
  readonly constants: ReadonlyArray<TypeSpec>
  readonly root: Form
}

/**
 * What `WhereClause.expression` holds. `plan` is the text of a `Plan`: clauses of one form carry equal texts,
 * which is how they find each other.
 */
export interface StoredExpression {
  readonly version: 1
  readonly plan: string
  readonly constants: ReadonlyArray<string>
  /** Every column the clause reads, those of parts left to Postgres included. */
  readonly columns: ReadonlyArray<string>
  /** Of its sub-selects, in the order of `subselectsOf`. Left out where there are none. */
  readonly moves?: ReadonlyArray<SubselectMoves>
}

export const isStoredExpression = (value: unknown): value is StoredExpression =>
  typeof value === "object" &&
  value !== null &&
  "version" in value &&
  value.version === 1 &&
  "plan" in value &&
  typeof value.plan === "string" &&
  "constants" in value &&
  Array.isArray(value.constants)
