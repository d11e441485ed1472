import { Effect } from "effect"
import type { PgError } from "../postgres/PgError.ts"
import type { Relation } from "../postgres/Relation.ts"
import type { TableInfo } from "../postgres/TableInfo.ts"
import { columnText, type Tuple } from "../postgres/Tuple.ts"
import { evaluateInPostgres, type Question, type RowTexts, type SlowQuery } from "../where/index.ts"
import type { TypeCatalogue } from "../where/index.ts"
import type { WhereClause } from "../where/WhereClause.ts"
import type { DeferredRow } from "./DeferredRows.ts"

/** A clause may take this long for a batch of rows; what exceeds it counts as an error of the clause. */
const statementMillis = 10_000

export interface DecideServices {
  readonly catalogue: Effect.Effect<TypeCatalogue, unknown>
  readonly tableByOid: (oid: number) => Effect.Effect<TableInfo | undefined, PgError>
  readonly query: SlowQuery<PgError>
  readonly clauseOf: (shapeId: number) => WhereClause | undefined
  readonly onBatch?: (rows: number) => void
}

const textsOf = (relation: Relation, row: Tuple): RowTexts => {
  const texts: Record<string, string | null> = {}
  relation.columns.forEach((column, i) => {
    texts[column.name] = columnText(row, i)
  })
  return texts
}

interface Asked {
  readonly row: DeferredRow
  readonly shapeId: number
  readonly isOld: boolean
}

/**
 * Has Postgres decide which shapes changed rows belong to, for conditions that only Postgres can evaluate: one query for
 * each condition and transaction. Fails when Postgres cannot be asked; the stream then waits and asks again.
 */
export const decideInPostgres = (
  services: DecideServices,
  relation: Relation,
  rows: ReadonlyArray<DeferredRow>
): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const catalogue = yield* services.catalogue
    for (const tableOid of new Set(rows.map((row) => row.tableOid))) {
      const table = yield* services.tableByOid(tableOid)
      if (table === undefined) continue
      const questions: Array<Question> = []
      const asked: Array<Asked> = []
      for (const row of rows) {
        if (row.tableOid !== tableOid) continue
        for (const isOld of [true, false]) {
          const tuple = isOld ? row.oldRow : row.row
          if (tuple === undefined) continue
          const texts = textsOf(relation, tuple)
          for (const shapeId of isOld ? row.askBefore : row.askAfter) {
            const clause = services.clauseOf(shapeId)
            if (clause === undefined) continue
            questions.push({ row: texts, clause })
            asked.push({ row, shapeId, isOld })
          }
        }
      }
      const answers = yield* evaluateInPostgres(questions, {
        table,
        catalogue,
        query: services.query,
        timeoutMillis: statementMillis,
        isDataError: (error) => !error.unreachable,
        messageOf: (error) => error.serverMessage ?? error.message
      })
      services.onBatch?.(questions.length)
      asked.forEach(({ row, shapeId, isOld }, i) => {
        const answer = answers[i]
        if (answer?.kind === "true") (isOld ? row.before : row.after).push(shapeId)
        else if (answer?.kind === "failed") row.failed.push({ shapeId, message: answer.message })
      })
    }
  })
