import type { TypeContents } from "../postgres/catalogue/TableInfo.ts"
import type { MemberColumn } from "../where/index.ts"
import type { DefinedColumn, ShapeDefinition } from "./ShapeDefinition.ts"

/** What a `electric-schema` header says of one column, as far as clients read values by it. */
interface ToldColumn {
  readonly type: string
  readonly dims?: number
  readonly not_null?: boolean
}

type ToldColumns = Readonly<Record<string, ToldColumn | undefined>>

/**
 * How the official clients read values of a type, unless told otherwise by their application. Types of one reading may take the place of
 * each other. One that is not here is read in its own way: applications give parsers for such types (`timestamptz`, `numeric`).
 * Source: `defaultParser` of the TypeScript client.
 */
const readings: Readonly<Record<string, string>> = {
  int2: "number",
  int4: "number",
  float4: "number",
  float8: "number",
  json: "json",
  jsonb: "json",
  text: "text",
  varchar: "text",
  bpchar: "text",
  citext: "text",
  name: "text",
  uuid: "text"
}

const readingOf = ({ type }: ToldColumn): string => readings[type] ?? `as ${type}`

/** Labels of an enum are text to clients, whatever their type is called. */
const isEnum = (typeOid: number, contents: TypeContents | undefined): boolean => {
  const labels = contents?.[typeOid]
  return labels !== undefined && labels !== null && !Array.isArray(labels)
}

/** A client that was told of a `bigint` reads whole numbers so. One that was told of a number reads those so that are not too large. */
const isWholeNumber = ({ type }: ToldColumn): boolean => type === "int2" || type === "int4" || type === "int8"

const isOnceNumber = (told: ToldColumn): boolean => told.dims === undefined && readingOf(told) === "number"

/**
 * Whether a client that was told `told` reads values of the column right that `now` describes, but for those that `ForbiddenValues`
 * keeps from it. A value of a column of which it was told nothing it hands on as the text that came.
 */
const readsAlike = (told: ToldColumn | undefined, now: ToldColumn, isLabel: boolean): boolean => {
  if (told === undefined) return now.dims === undefined && (isLabel || readingOf(now) === "text")
  if ((told.dims === undefined) !== (now.dims === undefined)) return false
  if (told.dims === undefined && isWholeNumber(now) && (told.type === "int8" || isOnceNumber(told)))
    return true
  return (
    readingOf(told) === readingOf(now) || (isLabel && told.dims === undefined && readingOf(told) === "text")
  )
}

const parsed = new WeakMap<ShapeDefinition, ReadonlyArray<ToldColumns>>()

/** All that clients may have been told of the columns of the shape: what they hold is the header of their first answer. */
const headersOf = (definition: ShapeDefinition): ReadonlyArray<ToldColumns> => {
  const known = parsed.get(definition)
  if (known !== undefined) return known
  const { earlierHeaders = [], schemaHeader } = definition
  const headers = [schemaHeader, ...earlierHeaders].map((header) => JSON.parse(header) as ToldColumns)
  parsed.set(definition, headers)
  return headers
}

type Earlier = Pick<ShapeDefinition, "earlierHeaders">

const toldAs = ({ earlierHeaders = [] }: Earlier, is: (told: ToldColumn) => boolean): ReadonlySet<string> => {
  const names = new Set<string>()
  for (const header of earlierHeaders)
    for (const [name, column] of Object.entries(JSON.parse(header) as ToldColumns))
      if (column !== undefined && is(column)) names.add(name)
  return names
}

/** Columns that some earlier header which clients hold says to have no NULLs. */
export const toldNotNull = (definition: Earlier): ReadonlySet<string> =>
  toldAs(definition, (told) => told.not_null === true)

/** Columns that clients read as numbers of JavaScript by some earlier header. */
export const toldNumbers = (definition: Earlier): ReadonlySet<string> => toldAs(definition, isOnceNumber)

/** More of them means that somebody alters the table all day long: all that is told of has to be compared each time. */
const mostHeaders = 20

/**
 * What a shape becomes when the same request means `after` now, because its table was altered, or why it cannot go on under its
 * handle: clients keep the `electric-schema` header of their first answer, and everything that is to come has to be read right by each
 * of those that were ever given. Rows have to be compared, whatever has happened: values may have become others without a
 * word in the stream.
 */
export const continuationOf = (
  before: ShapeDefinition,
  after: ShapeDefinition
): ShapeDefinition | { readonly reason: string } => {
  const { name, oid, schema } = before.table
  const changed = `the definition of table ${schema}.${name} has changed`
  if (after.table.oid !== oid || after.table.schema !== schema || after.table.name !== name)
    return { reason: changed }
  if (
    after.log !== before.log ||
    after.replica !== before.replica ||
    after.selectsAllColumns !== before.selectsAllColumns ||
    after.hasPrimaryKey !== before.hasPrimaryKey ||
    !sameItems(after.keyColumns, before.keyColumns) ||
    (after.where === undefined) !== (before.where === undefined)
  )
    return { reason: changed }
  if (!before.selectsAllColumns && !sameItems(after.columns.toSorted(), before.columns.toSorted()))
    return { reason: changed }
  const wrong = misreadColumn(before, after)
  if (wrong !== undefined)
    return { reason: `${changed}: its clients would read column ${wrong} as they were told before` }
  const earlier = [...(before.earlierHeaders ?? []), before.schemaHeader]
  const earlierHeaders = [...new Set(earlier)].filter((header) => header !== after.schemaHeader)
  if (earlierHeaders.length > mostHeaders) return { reason: `${changed}, too often` }
  const { earlierHeaders: _, ...rest } = after
  return earlierHeaders.length === 0 ? rest : { ...rest, earlierHeaders }
}

/** A column that some client of the shape would read wrongly. */
const misreadColumn = (before: ShapeDefinition, after: ShapeDefinition): string | undefined => {
  const now = JSON.parse(after.schemaHeader) as ToldColumns
  const columns = new Map(after.tableColumns.map((column) => [column.name, column]))
  for (const [name, column] of Object.entries(now)) {
    if (column === undefined) continue
    const defined = columns.get(name)
    const isLabel = defined !== undefined && isEnum(defined.typeOid, defined.contents)
    for (const header of headersOf(before))
      if (!readsAlike(Object.hasOwn(header, name) ? header[name] : undefined, column, isLabel)) return name
  }
  return undefined
}

/** Whether a shape is to go on as the other: then it is the one that a client with its handle reads, until it does. */
export const goesOnAs = (before: ShapeDefinition, after: ShapeDefinition): boolean =>
  before.log !== "changes_only" &&
  isSameCondition(before, after) &&
  !("reason" in continuationOf(before, after))

/** Casts that nobody has written are written out, and follow from the types that the columns of the condition have. */
const isSameCondition = (before: ShapeDefinition, after: ShapeDefinition): boolean => {
  const [was, is] = [before.where?.sql, after.where?.sql]
  if (was === is) return true
  if (was === undefined || is === undefined || withoutCasts(was) !== withoutCasts(is)) return false
  const used = new Set([...(before.whereColumns ?? []), ...(after.whereColumns ?? [])])
  const types = ({ tableColumns, where }: ShapeDefinition) => [
    ...tableColumns.filter(({ name }) => used.has(name)).map(typeText),
    ...(where?.members ?? []).flatMap(({ columns, table }) =>
      columns.map((column) => `${table.name}.${typeText(column)}`)
    )
  ]
  return !sameItems(types(before).toSorted(), types(after).toSorted())
}

const typeText = ({ name, typeModifier, typeOid }: DefinedColumn | MemberColumn): string =>
  `${name} ${typeOid} ${typeModifier}`

const cast =
  /::(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))*(?: (?:varying|precision|with(?:out)? time zone))*(?:\(\d+(?:,\d+)?\))?(?:\[\])*/g

const withoutCasts = (sql: string): string => sql.replaceAll(cast, "").replaceAll(/[()\s]/g, "")

const sameItems = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i])
