import { Effect } from "effect"
import type { TableInfo } from "../../postgres/TableInfo.ts"
import type { TypeCatalogue } from "../catalogue/TypeCatalogue.ts"
import { isStoredExpression } from "../evaluate/Form.ts"
import { identifier, loadParser } from "../parse/parser.ts"
import { narrowing } from "../print/narrowing.ts"
import { collateClause } from "../print/printExpression.ts"
import { typeName } from "../print/typeNames.ts"
import type { WhereClause } from "../WhereClause.ts"

/** A row as texts by column name, as the stream carries them; `null` is NULL. */
export type RowTexts = Readonly<Record<string, string | null>>

/** One question: does this clause hold for this row? */
export interface Question {
  readonly row: RowTexts
  readonly clause: WhereClause
}

export type Answer =
  | { readonly kind: "true" | "false" | "null" }
  /** Postgres raises an error for this row. */
  | { readonly kind: "failed"; readonly message: string }

/**
 * Runs one query in a session with this service's settings (`TimeZone = UTC`, ISO dates, `iso_8601` intervals)
 * under a statement timeout. Parameters are arrays of texts. Rows come back as objects.
 */
export type SlowQuery<E> = (
  sql: string,
  parameters: ReadonlyArray<ReadonlyArray<string | null>>,
  timeoutMillis: number
) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, E>

export interface SlowOptions<E> {
  readonly table: TableInfo
  readonly catalogue: TypeCatalogue
  readonly query: SlowQuery<E>
  readonly timeoutMillis: number
  /** Whether a failure is about the data (an error Postgres raises for a row), not about the connection. */
  readonly isDataError: (error: E) => boolean
  readonly messageOf: (error: E) => string
}

/**
 * Lets Postgres evaluate clauses: one query per clause for all its rows. An error in a row is isolated by halving
 * the batch, so that one bad row does not decide the others. Fails only when the database cannot be asked.
 */
export const evaluateInPostgres = Effect.fnUntraced(function* <E>(
  questions: ReadonlyArray<Question>,
  options: SlowOptions<E>
) {
  yield* loadParser
  const answers: Array<Answer> = Array.from({ length: questions.length }, () => ({ kind: "null" }) as const)
  const byClause = new Map<string, Array<number>>()
  for (const [i, question] of questions.entries()) {
    const known = byClause.get(question.clause.sql)
    if (known === undefined) byClause.set(question.clause.sql, [i])
    else known.push(i)
  }
  for (const indexes of byClause.values()) {
    const batches: Array<ReadonlyArray<number>> = []
    for (let i = 0; i < indexes.length; i += maxBatchRows) batches.push(indexes.slice(i, i + maxBatchRows))
    for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) {
      const outcome = yield* Effect.result(ask(questions, batch, options))
      if (outcome._tag === "Success") {
        for (const [n, index] of batch.entries()) answers[index] = outcome.success[n] ?? { kind: "null" }
        continue
      }
      const error = outcome.failure
      if (!options.isDataError(error)) return yield* Effect.fail(error)
      const [only] = batch
      if (batch.length === 1 && only !== undefined) {
        answers[only] = { kind: "failed", message: options.messageOf(error) }
        continue
      }
      const middle = batch.length >> 1
      batches.push(batch.slice(0, middle), batch.slice(middle))
    }
  }
  return answers
})

const maxBatchRows = 500

const ask = <E>(
  questions: ReadonlyArray<Question>,
  batch: ReadonlyArray<number>,
  options: SlowOptions<E>
): Effect.Effect<ReadonlyArray<Answer>, E> => {
  const first = questions[batch[0] ?? 0]
  if (first === undefined) return Effect.succeed([])
  const { sql, columns } = slowSql(first.clause, options.table, options.catalogue)
  const parameters: Array<ReadonlyArray<string | null>> = columns.map((column) =>
    batch.map((index) => questions[index]?.row[column] ?? null)
  )
  if (parameters.length === 0) parameters.push(batch.map(() => null))
  return Effect.map(options.query(sql, parameters, options.timeoutMillis), (rows) =>
    rows.map((row): Answer => {
      const verdict = row["verdict"]
      if (verdict === null || verdict === undefined) return { kind: "null" }
      return { kind: verdict === true || verdict === "t" || verdict === "true" ? "true" : "false" }
    })
  )
}

/**
 * The query for one clause: every parameter is the array of one column's texts. The columns are cast back to
 * their types and collations under their own names, so that the clause reads them as it reads the table's.
 */
export const slowSql = (
  clause: WhereClause,
  table: TableInfo,
  catalogue: TypeCatalogue
): { readonly sql: string; readonly columns: ReadonlyArray<string> } => {
  const used = isStoredExpression(clause.expression) ? new Set(clause.expression.columns) : undefined
  const infos = table.columns.filter((column) => used === undefined || used.has(column.name))
  const values = infos.map((info, i) => {
    const cast = `v.c${i}::${typeName(catalogue, info.typeOid, info.typeModifier)}`
    const collate = collateClause(catalogue, info.collationOid)
    return `(${cast}${collate}) AS ${identifier(info.name)}`
  })
  const arrays = infos.length === 0 ? ["$1::text[]"] : infos.map((_, i) => `$${i + 1}::text[]`)
  const names = arrays.map((_, i) => `c${i}`)
  // A name no user column has: ordering must not read one of theirs.
  let ordinal = "n"
  while (infos.some((info) => info.name === ordinal)) ordinal += "_"
  const row = `SELECT ${[`v.n AS ${ordinal}`, ...values].join(", ")} FROM ROWS FROM (${arrays
    .map((array) => `unnest(${array})`)
    .join(", ")}) WITH ORDINALITY AS v(${[...names, "n"].join(", ")}) OFFSET 0`
  const sql = `SELECT (${narrowing([clause]) ?? "true"}) AS verdict FROM (${row}) AS r ORDER BY r.${ordinal}`
  return { sql, columns: infos.map((info) => info.name) }
}
