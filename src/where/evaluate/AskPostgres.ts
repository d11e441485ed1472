import { Effect } from "effect"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { isStoredExpression } from "./Form.ts"
import { identifier, loadParser } from "../parse/Parser.ts"
import { narrowing } from "../print/Narrowing.ts"
import { collateClause } from "../print/PrintExpression.ts"
import { typeName } from "../print/PrintTypeName.ts"
import type { WhereClause } from "../WhereClause.ts"

/** A row as texts by column name, as the stream carries them; `null` is NULL. Columns that no clause reads may be missing. */
export type RowTexts = Readonly<Record<string, string | null>>

/** Which of several clauses hold for which of several rows of one table? */
export interface Questions {
  readonly table: TableInfo
  readonly catalogue: TypeCatalogue
  readonly clauses: ReadonlyArray<WhereClause>
  readonly rows: ReadonlyArray<RowTexts>
  /** Whether a clause is to be evaluated for a row at all: it might fail for others. Left out: each for each. */
  readonly isAsked?: (row: number, clause: number) => boolean
}

/**
 * Runs one query in a session with this service's settings (`TimeZone = UTC`, ISO dates, `iso_8601` intervals).
 * Parameters are arrays of texts. Rows come back as objects.
 */
export type AskingQuery<E> = (
  sql: string,
  parameters: ReadonlyArray<ReadonlyArray<string | null>>
) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, E>

/** Whether clause `clause` is true for row `row`; it is not where it is false or null. */
export type Verdicts = (row: number, clause: number) => boolean

const verdictColumn = "verdicts"
const isAskedByte = "1".charCodeAt(0)

/**
 * Has Postgres evaluate all clauses for all rows, in one statement. Fails as a whole when that fails: with what Postgres
 * raises for one of them, or because the database cannot be asked.
 */
export const askPostgres = <E>(questions: Questions, query: AskingQuery<E>): Effect.Effect<Verdicts, E> =>
  Effect.gen(function* () {
    yield* loadParser
    const { clauses, isAsked, rows } = questions
    const { sql, columns } = questionsSql(questions)
    const parameters: Array<ReadonlyArray<string | null>> = columns.map((column) =>
      rows.map((row) => row[column] ?? null)
    )
    if (isAsked !== undefined)
      parameters.push(
        rows.map((_row, row) => clauses.map((_, clause) => (isAsked(row, clause) ? "1" : "0")).join(""))
      )
    else if (parameters.length === 0) parameters.push(rows.map(() => null))
    const answers = yield* query(sql, parameters)
    const texts = answers.map((answer) => String(answer[verdictColumn]))
    // An array of booleans as text: `{t,f,...}`.
    return (row, clause) => texts[row]?.[1 + 2 * clause] === "t"
  })

/**
 * The query for some clauses: every parameter is the array of one column's texts, and the last one, where not everything
 * is asked, says for each row which clauses are. The columns are cast back to their types and collations under their own
 * names, so that a clause reads them as it reads the table's.
 */
const questionsSql = ({
  catalogue,
  clauses,
  isAsked,
  table
}: Omit<Questions, "rows">): { readonly sql: string; readonly columns: ReadonlyArray<string> } => {
  const used = columnsRead(clauses)
  const infos = table.columns.filter((column) => used === undefined || used.has(column.name))
  /** A name that no column of the user has: nothing of ours must be read for one of theirs. */
  const ownName = (name: string): string => {
    let own = name
    while (table.columns.some((info) => info.name === own)) own += "_"
    return own
  }
  const ordinal = ownName("n")
  const mask = ownName("asked")
  const values = infos.map((info, i) => {
    const cast = `v.c${i}::${typeName(catalogue, info.typeOid, info.typeModifier)}`
    const collate = collateClause(catalogue, info.collationOid)
    return `(${cast}${collate}) AS ${identifier(info.name)}`
  })
  if (isAsked !== undefined) values.push(`v.c${infos.length}::bytea AS ${mask}`)
  const arrays = values.length === 0 ? ["$1::text[]"] : values.map((_, i) => `$${i + 1}::text[]`)
  const row = `SELECT ${[`v.n AS ${ordinal}`, ...values].join(", ")} FROM ROWS FROM (${arrays
    .map((array) => `pg_catalog.unnest(${array})`)
    .join(", ")}) WITH ORDINALITY AS v(${[...arrays.map((_, i) => `c${i}`), "n"].join(", ")}) OFFSET 0`
  const conditions = clauses.map((clause) => narrowing([clause]) ?? "true")
  const verdicts = conditions.map((sql, i) =>
    isAsked === undefined
      ? `(${sql}) IS TRUE`
      : `CASE WHEN pg_catalog.get_byte(r.${mask}, ${i}) = ${isAskedByte} THEN (${sql}) IS TRUE ELSE false END`
  )
  const sql = `SELECT ARRAY[${verdicts.join(", ")}]::text AS ${verdictColumn} FROM (${row}) AS r ORDER BY r.${ordinal}`
  return { sql, columns: infos.map((info) => info.name) }
}

/** The columns that some of the clauses read; `undefined` when that is not known of one of them. */
export const columnsRead = (clauses: ReadonlyArray<WhereClause>): ReadonlySet<string> | undefined => {
  const used = new Set<string>()
  for (const { expression } of clauses) {
    if (!isStoredExpression(expression)) return undefined
    for (const column of expression.columns) used.add(column)
  }
  return used
}
