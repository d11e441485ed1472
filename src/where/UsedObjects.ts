import type { TypeCatalogue } from "./catalogue/TypeCatalogue.ts"
import { cCollationOid, defaultCollationOid, type Expression, type Typed } from "./expression/Expression.ts"

/** What comes with Postgres is below. Source: `FirstNormalObjectId` of `access/transam.h`. */
const firstOwnOid = 16384
const posixCollationOid = 951

/** The collation of the database, which has no name that says which one it is. */
const databaseCollation = JSON.stringify(["d"])

const isOwn = (oid: number): boolean => oid >= firstOwnOid

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

const isTyped = (value: object): value is Typed & { readonly kind: string } =>
  "type" in value && "kind" in value

/**
 * What may be altered in the database so that the clause means something else, as texts of JSON by names, as the normalised
 * clause has them: functions, operators, types and casts that do not come with Postgres, and the collations by which Postgres
 * compares, as far as it is asked. Not the types of columns: those are looked after with the table.
 *
 * `["f", schema, name, types of arguments]`, `["o", schema, name, left, right]`, `["t", schema, name]`, `["x", source, target]`,
 * `["c", schema, name]`, `["d"]`.
 */
export const usedObjects = (
  catalogue: TypeCatalogue,
  expression: Expression,
  isAskedOfPostgres: boolean
): ReadonlyArray<string> => {
  const found = new Set<string>()
  const types = new Set<number>()
  const ofColumns = new Set<number>()

  const noteFunction = (oid: number): void => {
    const entry = isOwn(oid) ? catalogue.function(oid) : undefined
    if (entry !== undefined) found.add(JSON.stringify(["f", entry.schema, entry.name, entry.args.join(" ")]))
  }
  const noteOperator = (value: object, of: number): void => {
    if (!("schema" in value && "name" in value)) return
    for (const entry of catalogue.operatorsNamed(String(value.schema), String(value.name)))
      if (isOwn(entry.oid) && entry.function === of)
        found.add(JSON.stringify(["o", entry.schema, entry.name, entry.left, entry.right]))
  }
  const noteCollation = (oid: number): void => {
    if (oid === 0 || oid === cCollationOid || oid === posixCollationOid) return
    const entry = catalogue.collation(oid)
    if (oid === defaultCollationOid) found.add(databaseCollation)
    else if (entry !== undefined) found.add(JSON.stringify(["c", entry.schema, entry.name]))
  }
  const noteCast = (source: number, target: number): void => {
    const entry = catalogue.cast(source, target)
    if (isOwn(source) || isOwn(target) || isOwn(entry?.function ?? 0))
      found.add(JSON.stringify(["x", source, target]))
  }
  const noteType = (oid: number, into: Set<number>): void => {
    const entry = catalogue.type(oid)
    if (entry === undefined || into.has(oid)) return
    if (isOwn(oid)) into.add(oid)
    for (const part of [entry.element, entry.base, entry.subtype]) if (part !== 0) noteType(part, into)
  }

  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit)
    if (!isObject(value)) return
    if ("function" in value && typeof value.function === "number") {
      noteFunction(value.function)
      if ("operator" in value && isObject(value.operator)) noteOperator(value.operator, value.function)
    }
    if (isTyped(value)) {
      noteType(value.type, value.kind === "column" ? ofColumns : types)
      if ("steps" in value && "arg" in value && isObject(value.arg) && isTyped(value.arg))
        noteCast(value.arg.type, value.type)
      if (isAskedOfPostgres && value.kind === "collate") noteCollation(value.collation)
    }
    if (isAskedOfPostgres && "inputCollation" in value) noteCollation(Number(value.inputCollation))
    Object.values(value).forEach(visit)
  }
  visit(expression)

  for (const oid of types) {
    const entry = catalogue.type(oid)
    if (entry !== undefined && entry.element === 0 && !ofColumns.has(oid))
      found.add(JSON.stringify(["t", entry.schema, entry.name]))
  }
  return [...found].toSorted()
}
