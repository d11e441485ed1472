import { Effect, type Semaphore } from "effect"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { quoteIdentifier, quoteLiteral, quoteTable } from "../../postgres/Identifiers.ts"
import type { Queryable, SessionPool } from "../../postgres/connection/SessionPool.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { conjunctionOf } from "../../where/index.ts"
import { type PartVerdict, whyReport, type WhyReport } from "../reports/WhyReport.ts"

const statementMillis = 5000

const settings = {
  transaction_read_only: "on",
  statement_timeout: String(statementMillis)
}

/** As the first rows of a shape are asked for: only the table's own rows, unless it is partitioned. */
const fromOf = ({ leafOids, table }: ShapeDefinition): string =>
  `FROM ${leafOids === undefined ? "ONLY " : ""}${quoteTable(table)}`

const values = { t: "true", f: "false" } as const
type BooleanText = keyof typeof values

const verdictOf = (sql: string, text: BooleanText | null | undefined): PartVerdict => ({
  sql,
  value: text === null || text === undefined ? "null" : values[text],
  message: null
})

const wholeRow = "whole"

/** All parts in one statement; where one fails that fails, and each is asked by itself. */
const partsOf = (
  session: Queryable,
  parts: ReadonlyArray<string>,
  from: string
): Effect.Effect<ReadonlyArray<PartVerdict> | undefined, PgError> => {
  const columns = parts.map((part, i) => `CASE (${part}) WHEN true THEN 't' WHEN false THEN 'f' END AS p${i}`)
  return Effect.map(
    session.query<Record<string, BooleanText | null>>(
      `SELECT ${[`1 AS ${wholeRow}`, ...columns].join(", ")} ${from} LIMIT 1`
    ),
    ([row]) => (row === undefined ? undefined : parts.map((part, i) => verdictOf(part, row[`p${i}`])))
  )
}

/**
 * Asks Postgres what each part of the shape's condition says of the row with this key. Fails where the key is none, or Postgres
 * cannot be asked.
 */
export const askWhy = (
  admin: SessionPool,
  turns: Semaphore.Semaphore,
  definition: ShapeDefinition,
  key: ReadonlyArray<string>
): Effect.Effect<WhyReport, PgError> => {
  const condition = definition.keyColumns
    .map((column, i) => `${quoteIdentifier(column)} = ${quoteLiteral(key[i] ?? "")}`)
    .join(" AND ")
  const from = `${fromOf(definition)} WHERE ${condition}`
  const parts = definition.where === undefined ? [] : conjunctionOf(definition.where.sql)
  const ask = (some: ReadonlyArray<string>) =>
    admin.transaction((session) => partsOf(session, some, from), { settings })
  const oneByOne = Effect.forEach(parts, (part) =>
    ask([part]).pipe(
      Effect.map((found) => found?.[0] ?? verdictOf(part, null)),
      Effect.catch((error) =>
        Effect.succeed<PartVerdict>({
          sql: part,
          value: "failed",
          message: error.serverMessage ?? error.message
        })
      )
    )
  )
  const all = Effect.catch(ask(parts), (error) =>
    // The key itself may be what Postgres cannot read.
    parts.length === 0
      ? Effect.fail(error)
      : Effect.flatMap(ask([]), (found) => (found === undefined ? Effect.undefined : oneByOne))
  )
  return turns.withPermits(1)(Effect.map(all, whyReport))
}

/** How many rows belong to the shape now. Fails when counting takes longer than some seconds. */
export const countRows = (
  admin: SessionPool,
  turns: Semaphore.Semaphore,
  definition: ShapeDefinition
): Effect.Effect<number, PgError> => {
  const where = definition.where === undefined ? "" : ` WHERE ${definition.where.sql}`
  const sql = `SELECT pg_catalog.count(*)::pg_catalog.text AS rows ${fromOf(definition)}${where}`
  return turns.withPermits(1)(
    Effect.map(
      admin.transaction((session) => session.query<{ readonly rows: string }>(sql), { settings }),
      ([row]) => Number(row?.rows ?? 0)
    )
  )
}
