import { Result } from "effect"
import { BoundedMap } from "../shared/BoundedMap.ts"
import { aboveLimit, standardLimits, type Limits } from "../config/Limits.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import type { TypeCatalogue } from "./catalogue/TypeCatalogue.ts"
import type { Form, StoredExpression } from "./evaluate/Form.ts"
import { subselectsOf } from "./evaluate/SubselectsOf.ts"
import { oids } from "./expression/Expression.ts"
import { lowerExpression, type Lowered } from "./lower/Lower.ts"
import { refuseLargeValues } from "./lower/MadeSize.ts"
import { parseCondition, parseLikeBefore, type ParsedExpression } from "./parse/Parser.ts"
import { needsOrder, orderOf } from "./print/Narrowing.ts"
import { printExpression } from "./print/PrintExpression.ts"
import { transform } from "./resolve/Transform.ts"
import { coerce } from "./resolve/Coerce.ts"
import { usedObjects } from "./UsedObjects.ts"
import { checkParams, usableColumns, type Scope, type Source } from "./resolve/Scope.ts"
import { Members } from "./subselect/Members.ts"
import { subselectResolver } from "./subselect/ResolveSubselect.ts"
import { memoryOf, sizeOfParams } from "./MemoryOf.ts"
import { accessPaths } from "./index/AccessPaths.ts"
import type { Classification, WhereClause } from "./WhereClause.ts"
import { allow, evaluationTime, ranOut } from "./values/Work.ts"
import { refuse, refuseAt, Refusal, type WhereError } from "./WhereError.ts"

/** A clause whose cost is known. */
export interface CompiledWhere extends WhereClause {
  readonly classification: Classification
  readonly reason: string
}

export interface WhereRequest {
  readonly sql: string
  readonly params: Readonly<Record<string, string>>
  readonly table: TableInfo
  readonly catalogue: TypeCatalogue
  /** The tables that sub-selects of the clause name, as far as they exist, by `tableKey`. */
  readonly tables?: ReadonlyMap<string, TableInfo> | undefined
  /** The only columns the clause may use; all of the table's when omitted. */
  readonly queryableColumns?: ReadonlyArray<string> | undefined
  /** For clauses that only Postgres ever evaluates: nothing is refused for lack of a value on the stream. */
  readonly onlyInQueries?: boolean | undefined
  /** Stored generated columns are in the stream (PostgreSQL 18 and `publish_generated_columns = stored`). */
  readonly generatedColumnsReplicated?: boolean | undefined
  /** What is stored has to tell NULL from false, which makes no difference to the rows that are selected. */
  readonly isThreeValued?: boolean | undefined
  /** The standard ones when omitted. */
  readonly limits?: Limits | undefined
}

const limitsOf = (request: WhereRequest): Limits => request.limits ?? standardLimits

/**
 * Checks, types and normalises a clause. Pure and synchronous; `loadParser` must have run before. The result can
 * be stored, and made runnable without parser or catalogue.
 */
export const compileWhere = (request: WhereRequest): Result.Result<CompiledWhere, WhereError> => {
  allow(compileSteps, limitsOf(request).clauseValueLength)
  try {
    return compileTwice(request)
  } finally {
    allow(Infinity, Infinity)
  }
}

/** The same, unless the constant parts cost more than the event loop has time for: then `undefined`. */
export const compileQuickly = (
  request: WhereRequest
): Result.Result<CompiledWhere, WhereError> | undefined => {
  allow(quickSteps, limitsOf(request).clauseValueLength, undefined, evaluationTime)
  try {
    const outcome = compileTwice(request)
    return ranOut() ? undefined : outcome
  } finally {
    allow(Infinity, Infinity)
  }
}

/** What constant parts may cost that are computed once and for all; after that they are left as they are. */
const compileSteps = 5_000_000
/** Some 5 ms. */
const quickSteps = 500_000

const compileTwice = (request: WhereRequest): Result.Result<CompiledWhere, WhereError> => {
  try {
    return Result.succeed(compile(request, parseLikeBefore(request.sql, limitsOf(request))))
  } catch (failure) {
    if (!(failure instanceof Refusal)) return refused(failure, true)
  }
  // What is wrong with it, and where in this very text.
  let isParsed = false
  try {
    const parsed = parseCondition(request.sql, limitsOf(request))
    isParsed = true
    return Result.succeed(compile(request, parsed))
  } catch (failure) {
    return refused(failure, !isParsed)
  }
}

const refused = (failure: unknown, final: boolean): Result.Result<never, WhereError> => {
  if (failure instanceof Refusal)
    return Result.fail({ ...failure.error, final: final || failure.error.final })
  if (failure instanceof RangeError) {
    return Result.fail({
      message: "the clause is nested too deep",
      position: undefined,
      parameter: "where",
      final: true
    })
  }
  throw failure
}

const compile = (request: WhereRequest, parsed: ParsedExpression): CompiledWhere => {
  const { catalogue } = request
  const limits = limitsOf(request)
  const size = sizeOfParams(request.params)
  if (size > limits.paramsBytes) refuse(aboveLimit("paramsBytes", limits, size), "params")
  checkParams(request.params)
  const { table } = request
  const own: Source = {
    name: table.name,
    schema: table.schema,
    table,
    columns: usableColumns(table, request.queryableColumns),
    merged: new Set(),
    used: new Set()
  }
  const members = new Members()
  const scope: Scope = {
    catalogue,
    sources: [own],
    outer: undefined,
    subselect: request.tables === undefined ? undefined : subselectResolver(request.tables, members),
    params: request.params,
    parameterTypes: new Map(),
    position: parsed.position,
    budget: { nodes: 0 },
    limits
  }
  const resolved = transform(scope, parsed.node)
  const expression =
    resolved.type === oids.unknown && resolved.kind === "constant" && resolved.parameter === undefined
      ? resolved
      : coerce(scope, resolved, oids.bool, "assignment")
  if (expression === undefined || catalogue.baseType(expression.type) !== oids.bool) {
    return refuse("WHERE clause must return a boolean")
  }
  refuseLargeValues(catalogue, expression, limits)
  const sql = printExpression(catalogue, expression, limits, table)
  const computed = new Set(
    request.table.columns.filter(({ generated }) => generated === "virtual").map(({ name }) => name)
  )
  const order = orderOf(catalogue, expression, computed)
  const lowered = lowerExpression(catalogue, expression, request.isThreeValued === true)
  if (request.onlyInQueries !== true) {
    refuseUnreplicated(request, table, own.used)
    members.each((one, used) => refuseUnreplicated(request, one, used))
    if (!members.isEmpty) refuseLeftToPostgres(lowered)
  }
  const stored: StoredExpression = {
    version: 1,
    plan: shared(JSON.stringify(lowered.plan)),
    constants: lowered.constants,
    columns: [...own.used],
    ...(lowered.moves.length === 0 ? {} : { moves: lowered.moves })
  }
  const memory = memoryOf({ sql, expression: stored })
  if (memory > limits.clauseMemory) refuse(aboveLimit("clauseMemory", limits, memory))
  const { classification, reason } = classify(lowered)
  const ordered = request.onlyInQueries === true || needsOrder(order) ? { order: shared(order) } : {}
  const uses =
    request.onlyInQueries === true
      ? []
      : usedObjects(catalogue, expression, classification === "postgres").map(shared)
  return {
    sql,
    expression: stored,
    ...ordered,
    ...(uses.length === 0 ? {} : { uses }),
    ...(members.isEmpty ? {} : { members: members.tables }),
    classification,
    reason: shared(reason)
  }
}

const maxCharacters = 4_000_000
const texts = new BoundedMap<string, string>(maxCharacters, ({ length }) => length)

/** The same text, in memory once: clauses that differ in constants only share all but those. */
const shared = (text: string): string => {
  const known = texts.get(text)
  if (known !== undefined) return known
  texts.set(text, text)
  return text
}

/** Columns whose values the stream does not carry cannot be judged there. */
const refuseUnreplicated = (request: WhereRequest, table: TableInfo, used: ReadonlySet<string>): void => {
  for (const column of table.columns) {
    if (!used.has(column.name) || column.generated === "no") continue
    if (column.generated === "stored" && request.generatedColumnsReplicated === true) continue
    refuseAt(-1, `column ${column.name} is generated and its values are not part of the replication stream`)
  }
}

/** Postgres knows what sub-selects give at another moment than the stream has come to. */
const refuseLeftToPostgres = ({ reasons }: Lowered): void => {
  if (reasons.length > 0)
    refuse(
      `only Postgres evaluates ${reasons.slice(0, 5).join("; ")}, which cannot stand in one clause with a sub-select: store the value in a column of its own`
    )
}

const classify = (lowered: Lowered): { readonly classification: Classification; readonly reason: string } => {
  if (lowered.reasons.length > 0) {
    return {
      classification: "postgres",
      reason: `only Postgres evaluates ${lowered.reasons.slice(0, 5).join("; ")}`
    }
  }
  const paths = accessPaths(lowered.plan.root, lowered.plan.columns, lowered.constants)
  if (paths.length === 0) return { classification: "evaluated", reason: whyNot(lowered.plan.root) }
  return {
    classification: "indexed",
    reason: `by ${paths.map((path) => path.description).join(" or ")}`
  }
}

const whyNot = (root: Form): string =>
  "b" in root
    ? "the clause is constant"
    : subselectsOf(root).length > 0
      ? "no sub-select that must give something for the row, and no comparison with a constant, is one that an index answers"
      : "no condition compares the row with a constant in a way that an index answers"
