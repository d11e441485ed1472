import { isStoredExpression } from "./evaluate/Form.ts"
import type { WhereClause } from "./WhereClause.ts"

/** Names of the columns that a clause reads. */
export const columnsOf = (clause: WhereClause): ReadonlyArray<string> =>
  isStoredExpression(clause.expression) ? clause.expression.columns : []
