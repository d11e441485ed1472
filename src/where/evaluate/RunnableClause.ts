import { BoundedMap } from "../../shared/BoundedMap.ts"
import { bytesOf, type Tuple } from "../../postgres/Tuple.ts"
import { EvaluationError, Undecided } from "../values/Failure.ts"
import { allow, evaluationTime } from "../values/Work.ts"
import { useZones, zonesOfRuntime } from "../zones/Zones.ts"
import { standardLimits, type Limits } from "../../config/Limits.ts"
import type { WhereClause } from "../WhereClause.ts"
import { compilePlan, type Compiled } from "./Compile.ts"
import { isStoredExpression, type Plan } from "./Form.ts"
import { RowReader } from "./RowReader.ts"

/** A column of a relation, as far as clauses care. */
export interface ClauseColumn {
  readonly name: string
  readonly typeOid: number
}

/**
 * A clause that can be evaluated against rows of one relation. Clauses of one form share everything but their
 * constants. Not for concurrent use: all clauses of a relation work on its one current row.
 */
export interface RunnableClause {
  readonly compiled: Compiled
  readonly constants: ReadonlyArray<unknown>
  readonly reader: RowReader
}

/**
 * What a clause says about a row. `undecided`: only Postgres can tell. `failed`: Postgres would raise an error.
 */
export type Verdict =
  | { readonly kind: "true" | "false" | "null" }
  | { readonly kind: "undecided"; readonly reason: string }
  | { readonly kind: "failed"; readonly message: string }

/** A stored clause does not fit the relation any more: a column it uses is gone or has another type. */
export class ClauseOutdated {
  readonly column: string
  constructor(column: string) {
    this.column = column
  }
}

interface Bound {
  readonly reader: RowReader
  readonly plans: BoundedMap<string, Compiled>
}

/** Texts of plans that are kept compiled for one list of columns, in characters. */
const maxPlanCharacters = 8_000_000

const bySignature = new BoundedMap<string, WeakRef<Bound>>(10_000)
const byColumns = new WeakMap<ReadonlyArray<ClauseColumn>, Bound>()

/** The reader that all clauses over these columns share. */
export const readerOf = (columns: ReadonlyArray<ClauseColumn>): RowReader => boundTo(columns).reader

/** The compiled plans of one list of columns; equal lists share them. */
const boundTo = (columns: ReadonlyArray<ClauseColumn>): Bound => {
  const known = byColumns.get(columns)
  if (known !== undefined) return known
  const signature = JSON.stringify(columns.map((column) => [column.name, column.typeOid]))
  let bound = bySignature.get(signature)?.deref()
  if (bound === undefined) {
    // Plans are few; a bound keeps clients that invent a new form per request from filling the memory.
    bound = { reader: new RowReader(), plans: new BoundedMap(maxPlanCharacters, (_, plan) => plan.length) }
    bySignature.set(signature, new WeakRef(bound))
  }
  byColumns.set(columns, bound)
  return bound
}

/**
 * Makes a stored clause runnable against a relation whose columns may stand in any order. Needs neither the
 * parser nor the database; a few microseconds for a clause whose form is known already.
 * Throws `ClauseOutdated` when a column it uses is missing or changed its type.
 */
export const makeRunnable = (
  clause: WhereClause,
  relationColumns: ReadonlyArray<ClauseColumn>
): RunnableClause => {
  const { expression } = clause
  if (!isStoredExpression(expression)) throw new ClauseOutdated("(unknown format)")
  const bound = boundTo(relationColumns)
  let compiled = bound.plans.get(expression.plan)
  if (compiled === undefined) {
    const plan = JSON.parse(expression.plan) as Plan
    const indexes = plan.columns.map((column) => {
      const index = relationColumns.findIndex(
        (one) => one.name === column.name && one.typeOid === column.typeOid
      )
      if (index < 0) throw new ClauseOutdated(column.name)
      return index
    })
    compiled = compilePlan(plan, bound.reader, indexes)
    bound.plans.set(expression.plan, compiled)
  }
  try {
    return { compiled, constants: compiled.load(expression.constants), reader: bound.reader }
  } catch (failure) {
    if (failure instanceof Undecided) throw new ClauseOutdated("(a constant)")
    throw failure
  }
}

/** Evaluates one clause against one row: for tests and single rows; the filter index does it in bulk. */
export const evaluate = (clause: RunnableClause, row: Tuple, limits: Limits = standardLimits): Verdict => {
  clause.reader.load(row)
  allow(limits.clauseSteps, limits.clauseValueLength, () => bytesOf(row), evaluationTime)
  useZones(zonesOfRuntime)
  try {
    const value = clause.compiled.root(clause.constants)
    if (value === undefined)
      return { kind: "undecided", reason: "a part of the clause is evaluated by Postgres" }
    return { kind: value === true ? "true" : value === false ? "false" : "null" }
  } catch (failure) {
    if (failure instanceof Undecided) return { kind: "undecided", reason: failure.reason }
    if (failure instanceof EvaluationError) return { kind: "failed", message: failure.message }
    throw failure
  } finally {
    allow(Infinity, Infinity)
  }
}
