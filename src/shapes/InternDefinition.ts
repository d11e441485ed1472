import type { ShapeDefinition } from "./ShapeDefinition.ts"
import { isStoredExpression, type StoredExpression } from "../where/index.ts"
import type { WhereClause } from "../where/WhereClause.ts"

/** What many shapes have in common, by its content. Gone when no shape has it any more. */
class Shared<A extends object> {
  private readonly known = new Map<string, WeakRef<A>>()
  private additions = 0

  get(key: string): A | undefined {
    return this.known.get(key)?.deref()
  }

  add(key: string, value: A): A {
    this.known.set(key, new WeakRef(value))
    if (++this.additions % 1000 === 0) {
      for (const [k, reference] of this.known) if (reference.deref() === undefined) this.known.delete(k)
    }
    return value
  }
}

const definitions = new Shared<ShapeDefinition>()
/** What definitions were made from, so that most need not be looked at as a whole. */
const byColumns = new WeakMap<ReadonlyArray<string>, Array<Known>>()
const knownByColumns = 16

interface Known {
  readonly from: ShapeDefinition
  readonly shared: ShapeDefinition
}

const forms = new Shared<ClauseForm>()
/** By the columns of the form: those of a clause that was interned before. */
const byClauseColumns = new WeakMap<ReadonlyArray<string>, ClauseTemplate>()
const numbers = new WeakMap<ShapeDefinition, number>()
let lastNumber = 0

/** The parts of a clause that all clauses of its form have which go with the same rest of a definition. */
export interface ClauseForm {
  readonly expression: Omit<StoredExpression, "constants">
  readonly clause: Omit<WhereClause, "sql" | "expression">
}

interface ClauseTemplate {
  readonly common: ShapeDefinition
  readonly form: ClauseForm
}

/** What interned definitions have in common that differ in the text and the constants of their clauses only. */
export interface DefinitionTemplate {
  /** All but the clause; with the clause, where that is of no form. */
  readonly common: ShapeDefinition
  readonly form: ClauseForm | undefined
}

/** What the clauses of a template have in common; `undefined` where it has none. */
export const sharedClause = ({
  common,
  form
}: DefinitionTemplate): Omit<WhereClause, "sql" | "expression"> | undefined => form?.clause ?? common.where

const commonOf = (definition: ShapeDefinition): ShapeDefinition => {
  let known = byColumns.get(definition.columns)
  if (known === undefined) byColumns.set(definition.columns, (known = []))
  const before = known.find(({ from }) => isLike(from, definition))
  if (before !== undefined) return before.shared
  const common = { ...definition, where: undefined }
  const key = JSON.stringify(common)
  const shared = definitions.get(key) ?? definitions.add(key, common)
  if (known.length === knownByColumns) known.length = 0
  known.push({ from: common, shared })
  return shared
}

const sameNames = (a: ReadonlyArray<string> | undefined, b: ReadonlyArray<string> | undefined): boolean =>
  a === b || (a?.length === b?.length && a?.every((name, i) => name === b?.[i]) === true)

/** Made from the same parts: nothing that can be told apart. */
const isLike = (a: ShapeDefinition, b: ShapeDefinition): boolean =>
  a.columns === b.columns &&
  a.tableColumns === b.tableColumns &&
  a.table === b.table &&
  sameNames(a.whereColumns, b.whereColumns) &&
  a.keyColumns === b.keyColumns &&
  a.leafOids === b.leafOids &&
  a.hasPrimaryKey === b.hasPrimaryKey &&
  a.selectsAllColumns === b.selectsAllColumns &&
  a.replica === b.replica &&
  a.log === b.log &&
  a.schemaHeader === b.schemaHeader &&
  sameNames(a.earlierHeaders, b.earlierHeaders)

/** Parts of clauses that are lists are made anew with each clause. */
const isSame = (a: unknown, b: unknown): boolean =>
  a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b))

/** All members but these. */
const areSame = <A extends object>(a: A, b: A, except: ReadonlyArray<string>): boolean => {
  for (const key in a) if (!except.includes(key) && !isSame(a[key], b[key])) return false
  for (const key in b) if (!(key in a) && !except.includes(key) && b[key] !== undefined) return false
  return true
}

const ownOfClause = ["sql", "expression"]
const ownOfExpression = ["constants"]

const isOfForm = (where: WhereClause, expression: StoredExpression, form: ClauseForm): boolean =>
  form.expression.plan === expression.plan &&
  areSame<Partial<WhereClause>>(form.clause, where, ownOfClause) &&
  areSame<Partial<StoredExpression>>(form.expression, expression, ownOfExpression)

const formOf = (common: ShapeDefinition, where: WhereClause, stored: StoredExpression): ClauseForm => {
  const before = byClauseColumns.get(stored.columns)
  if (before?.common === common && isOfForm(where, stored, before.form)) return before.form
  let number = numbers.get(common)
  if (number === undefined) numbers.set(common, (number = ++lastNumber))
  const { expression: _expression, sql: _sql, ...clause } = where
  const { constants: _constants, ...expression } = stored
  const key = `${number} ${JSON.stringify([clause, { ...expression, plan: "" }])} ${expression.plan}`
  const known = forms.get(key)
  if (known !== undefined) return known
  // The columns are its own: they stand for the form, see `templateOf`.
  const form = { expression: { ...expression, columns: [...expression.columns] }, clause }
  byClauseColumns.set(form.expression.columns, { common, form })
  return forms.add(key, form)
}

const clauseOf = (form: ClauseForm, sql: string, constants: ReadonlyArray<string>): WhereClause => ({
  sql,
  expression: { ...form.expression, constants },
  ...form.clause
})

/** The same clause; what it shares with others of its form is held in memory once. */
const internClause = (common: ShapeDefinition, where: WhereClause): WhereClause => {
  const { expression, sql } = where
  if (!isStoredExpression(expression) || !Array.isArray(expression.columns)) return where
  // A copy takes no more room than it needs.
  return clauseOf(formOf(common, where, expression), sql, expression.constants.slice())
}

/** `common` is a definition without a clause that was interned before. */
export const withClause = (common: ShapeDefinition, where: WhereClause): ShapeDefinition => ({
  ...common,
  where: internClause(common, where)
})

/** The same definition with the parts that many shapes have in common held in memory once. */
export const internDefinition = (definition: ShapeDefinition): ShapeDefinition => {
  const common = commonOf(definition)
  return definition.where === undefined ? common : withClause(common, definition.where)
}

/**
 * An object that stands for all interned definitions which differ in the text and the constants of their clauses only.
 * `undefined` when the clause is not of a kind that can tell.
 */
export const templateOf = (interned: ShapeDefinition): object | undefined => {
  const { where } = interned
  if (where === undefined) return interned
  return isStoredExpression(where.expression) ? where.expression.columns : undefined
}

const wholes = new WeakMap<ShapeDefinition, DefinitionTemplate>()

const sharesAllWith = (definition: ShapeDefinition, common: ShapeDefinition): boolean => {
  const keys = Object.keys(definition) as Array<keyof ShapeDefinition>
  return (
    keys.length === Object.keys(common).length &&
    keys.every((key) => key === "where" || definition[key] === common[key])
  )
}

/** The template of an interned definition; any other one is a template by itself. */
export const templateFor = (definition: ShapeDefinition): DefinitionTemplate => {
  const { where } = definition
  if (where !== undefined && isStoredExpression(where.expression)) {
    const { expression } = where
    const template = byClauseColumns.get(expression.columns)
    if (
      template !== undefined &&
      isOfForm(where, expression, template.form) &&
      sharesAllWith(definition, template.common)
    )
      return template
  }
  let whole = wholes.get(definition)
  if (whole === undefined) wholes.set(definition, (whole = { common: definition, form: undefined }))
  return whole
}

/** The definition of a template that has a form. */
export const definitionOf = (
  { common, form }: DefinitionTemplate,
  sql: string,
  constants: ReadonlyArray<string>
): ShapeDefinition => (form === undefined ? common : { ...common, where: clauseOf(form, sql, constants) })
