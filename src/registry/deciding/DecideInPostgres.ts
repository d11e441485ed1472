import { notice } from "../../telemetry/Notices.ts"
import { slowDecisionShare } from "../RegistryTimings.ts"
import { quoteTable } from "../../postgres/Identifiers.ts"
import { Effect } from "effect"
import { aboveLimit, type Limits } from "../../config/Limits.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import { columnText, type Tuple } from "../../postgres/Tuple.ts"
import { askPostgres, columnsRead, loadParser, type RowTexts, type TypeCatalogue } from "../../where/index.ts"
import type { Classification, WhereClause } from "../../where/WhereClause.ts"
import type { DecisionBudget } from "../routing/DecisionBudget.ts"
import type { DecisionPool } from "./DecisionPool.ts"
import type { DeferredRow, Undecidable } from "../routing/DeferredRows.ts"
import { type Answer, settleConditions } from "./SettleConditions.ts"

/** Of the time that a transaction may wait, what the first statement about its rows may take. */
export const firstStatementShare = 0.25

interface DecideServices {
  readonly catalogue: Effect.Effect<TypeCatalogue, unknown>
  readonly tableByOid: (oid: number) => Effect.Effect<TableInfo | undefined, PgError>
  readonly pool: DecisionPool
  readonly clauseOf: (shapeId: number) => WhereClause | undefined
  readonly limits: Limits
  readonly nowMillis: () => number
  /** How often the connection was lost in a row while Postgres evaluated the shape's condition; outlives the session. */
  readonly losses: Map<number, number>
}

/** A condition that has ended so many connections is not asked about any more: it may be what ends them. */
const mostLosses = 3

/** The old or the new row of a change, with the shapes to ask about. */
interface Face {
  readonly row: DeferredRow
  readonly tuple: Tuple
  readonly isOld: boolean
  readonly shapes: ReadonlyArray<number>
}

/** A condition that is asked about once for all shapes that have it. */
interface Condition {
  readonly clause: WhereClause
  readonly shapes: Array<number>
}

/**
 * Has Postgres decide which shapes changed rows belong to, for conditions that only Postgres can evaluate: one statement
 * for all conditions and rows of a table, unless some of them fail or are slow. Waits no longer than the budget allows;
 * what has not been decided by then never will be. Fails when Postgres cannot be asked: ask again for the same rows.
 */
export const decideInPostgres = (
  services: DecideServices,
  rows: ReadonlyArray<DeferredRow>,
  budget: DecisionBudget
): Effect.Effect<Undecidable, unknown> =>
  Effect.gen(function* () {
    const result: Undecidable = { failed: new Map(), aboveLimit: new Map() }
    const catalogue = yield* services.catalogue
    yield* services.pool.ready
    const answers: Array<() => void> = []
    for (const faces of byTable(rows)) {
      const [first] = faces
      if (first === undefined) continue
      const { relation, target } = first.row
      const table = yield* services.tableByOid(target.tableOid)
      if (table === undefined) continue
      const began = services.nowMillis()
      answers.push(yield* decideFaces(services, { relation, table, catalogue, faces }, budget, result))
      const millis = services.nowMillis() - began
      if (millis >= services.limits.decisionMillis * slowDecisionShare)
        yield* tellSlowConditions(table, faces, millis)
    }
    // Only now: when Postgres cannot be asked, everything is asked again.
    for (const add of answers) add()
    return result
  })

const tellSlowConditions = (
  table: TableInfo,
  faces: ReadonlyArray<Face>,
  millis: number
): Effect.Effect<void> =>
  notice(
    "BATON-CLAUSE-SLOW",
    `Postgres took ${Math.round(millis)} ms for the conditions of ${new Set(faces.flatMap(({ shapes }) => shapes)).size} shape(s) on ` +
      `${quoteTable(table)} that it is asked about (class postgres), for ${faces.length} row(s); changes wait for that, and above BATON_MAX_DECISION_TIME the shapes are dropped. Use functions ` +
      "that are evaluated here (docs/where-clauses.md), or join a comparison of a column with a constant by AND; look at the load of Postgres.",
    String(table.oid)
  )

/**
 * What the first question needs, before a transaction waits for it: most of it connects and loads, which a restart in the
 * middle of a large transaction would otherwise have everybody wait for. Nothing where no shape can have such questions.
 */
export const readyToDecide = (
  {
    catalogue,
    pool
  }: {
    readonly catalogue: Effect.Effect<unknown, unknown>
    readonly pool: Pick<DecisionPool, "ready">
  },
  classes: Iterable<Classification | undefined>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    for (const classification of classes)
      if (classification === "postgres")
        return Effect.all([pool.ready, catalogue, loadParser], {
          concurrency: "unbounded",
          discard: true
        }).pipe(
          // The first question finds out, and has it tried again.
          Effect.ignore
        )
    return Effect.void
  })

const byTable = (rows: ReadonlyArray<DeferredRow>): Iterable<ReadonlyArray<Face>> => {
  const groups = new Map<object, Array<Face>>()
  const add = (row: DeferredRow, isOld: boolean): void => {
    const tuple = isOld ? row.oldRow : row.row
    const shapes = isOld ? row.askBefore : row.askAfter
    if (tuple === undefined || shapes.length === 0) return
    const known = groups.get(row.target)
    const face = { row, tuple, isOld, shapes }
    if (known === undefined) groups.set(row.target, [face])
    else known.push(face)
  }
  for (const row of rows) {
    add(row, true)
    add(row, false)
  }
  return groups.values()
}

interface FacesOfTable {
  readonly relation: Relation
  readonly table: TableInfo
  readonly catalogue: TypeCatalogue
  readonly faces: ReadonlyArray<Face>
}

const decideFaces = (
  services: DecideServices,
  { catalogue, faces, relation, table }: FacesOfTable,
  budget: DecisionBudget,
  result: Undecidable
): Effect.Effect<() => void, PgError> =>
  Effect.gen(function* () {
    const { limits, nowMillis } = services
    const known = conditionsOf(services, faces)
    const conditions = known.filter((condition) => {
      if (condition.shapes.some((id) => (services.losses.get(id) ?? 0) >= mostLosses)) {
        for (const id of condition.shapes)
          result.failed.set(id, `the connection was lost ${mostLosses} times while Postgres evaluated it`)
        return false
      }
      const bytes = largestRow(condition.clause, relation, faces)
      if (bytes <= limits.decisionBytes) return true
      for (const id of condition.shapes) result.aboveLimit.set(id, aboveLimit("decisionBytes", limits, bytes))
      return false
    })
    const numberOf = new Map<number, number>()
    for (const [i, { shapes }] of conditions.entries()) for (const id of shapes) numberOf.set(id, i)
    const asked = faces.map(({ shapes }) => {
      const numbers = new Set<number>()
      for (const id of shapes) {
        const number = numberOf.get(id)
        if (number !== undefined) numbers.add(number)
      }
      return numbers
    })
    const isPartial = asked.some((numbers) => numbers.size < conditions.length)
    const texts = textsOf(relation, faces, columnsRead(conditions.map(({ clause }) => clause)))
    const verdicts = faces.map(() => new Set<number>())

    const shapesOf = (number: number): ReadonlyArray<number> => conditions[number]?.shapes ?? []
    /** A statement was over its time: that tells of its conditions only where Postgres has time for others. */
    const tooSlow = Effect.suspend(() =>
      budget.isSure
        ? Effect.void
        : Effect.map(services.pool.knownWorkMillis, (millis) => budget.stretch(millis))
    ).pipe(Effect.as<Answer>({ _tag: "TooSlow" }))
    const ask = (numbers: ReadonlyArray<number>, limitMillis: number): Effect.Effect<Answer, PgError> => {
      const query = services.pool.query(limitMillis)
      const numberAt = (clause: number) => numbers[clause] ?? -1
      let began = nowMillis()
      return askPostgres(
        {
          table,
          catalogue,
          clauses: numbers.flatMap((number) => conditions[number]?.clause ?? []),
          rows: texts,
          ...(isPartial ? { isAsked: (row, clause) => asked[row]?.has(numberAt(clause)) === true } : {})
        },
        (sql, parameters) => {
          began = nowMillis()
          return query(sql, parameters)
        }
      ).pipe(
        Effect.map((isTrue): Answer => {
          if (services.losses.size > 0) for (const id of numbers.flatMap(shapesOf)) services.losses.delete(id)
          return { _tag: "Answered", isTrue }
        }),
        Effect.catch((error) => {
          if (isTooSlow(error)) return tooSlow
          if (error.unreachable && !isOutOfResources(error)) {
            if (isLoss(error)) noteLoss(services, numbers.flatMap(shapesOf))
            return Effect.fail(error)
          }
          return Effect.succeed<Answer>({ _tag: "Failed", message: error.serverMessage ?? error.message })
        }),
        Effect.ensuring(Effect.sync(() => budget.spend(began)))
      )
    }
    yield* settleConditions(
      conditions.length,
      ask,
      limits.decisionMillis * firstStatementShare,
      () => budget.leftMillis(),
      {
        answered: (numbers, isTrue) => {
          for (const [nth, number] of numbers.entries())
            for (let i = 0; i < faces.length; i++) if (isTrue(i, nth)) verdicts[i]?.add(number)
        },
        failed: (number, message) => {
          for (const id of shapesOf(number)) result.failed.set(id, message)
        },
        tooSlow: (number) => {
          for (const id of shapesOf(number)) result.aboveLimit.set(id, aboveLimit("decisionMillis", limits))
        }
      }
    )
    return () => {
      for (const [i, { isOld, row, shapes }] of faces.entries()) {
        const list = isOld ? row.before : row.after
        for (const id of shapes) if (verdicts[i]?.has(numberOf.get(id) ?? -1) === true) list.push(id)
      }
    }
  })

/** A statement that was ended, or that found no connection because others have not been. */
const isTooSlow = ({ kind }: PgError): boolean =>
  kind === "statement_timeout" || kind === "query_canceled" || kind === "pool_timeout"

/** Out of memory, or of what it may take of a disk: that is the statement's own doing, as far as anybody can tell. */
const isOutOfResources = ({ code }: PgError): boolean => code === "53200" || code === "53400"

/** The server hung up in the middle. */
const isLoss = ({ kind }: PgError): boolean =>
  kind === "connection_closed" || kind === "connection_failure" || kind === "server_connection_crashed"

const noteLoss = ({ losses }: DecideServices, shapes: ReadonlyArray<number>): void => {
  for (const id of shapes) losses.set(id, (losses.get(id) ?? 0) + 1)
}

/** What the faces are to be asked about, the conditions of the oldest shapes first. */
const conditionsOf = (services: DecideServices, faces: ReadonlyArray<Face>): ReadonlyArray<Condition> => {
  const ids = new Set<number>()
  for (const { shapes } of faces) for (const id of shapes) ids.add(id)
  const bySql = new Map<string, Condition>()
  for (const id of Array.from(ids).toSorted((a, b) => a - b)) {
    const clause = services.clauseOf(id)
    if (clause === undefined) continue
    const known = bySql.get(clause.sql)
    if (known === undefined) bySql.set(clause.sql, { clause, shapes: [id] })
    else known.shapes.push(id)
  }
  return Array.from(bySql.values())
}

/** Bytes that a condition reads of the largest row that there is. */
const largestRow = (clause: WhereClause, relation: Relation, faces: ReadonlyArray<Face>): number => {
  const columns = columnNumbers(relation, columnsRead([clause]))
  let largest = 0
  for (const { tuple } of faces) {
    let bytes = 0
    for (const i of columns) bytes += Math.max(0, tuple.lengths[i] ?? 0)
    if (bytes > largest) largest = bytes
  }
  return largest
}

const columnNumbers = (relation: Relation, names: ReadonlySet<string> | undefined): ReadonlyArray<number> =>
  relation.columns.flatMap(({ name }, i) => (names === undefined || names.has(name) ? [i] : []))

const textsOf = (
  relation: Relation,
  faces: ReadonlyArray<Face>,
  names: ReadonlySet<string> | undefined
): ReadonlyArray<RowTexts> => {
  const columns = columnNumbers(relation, names)
  return faces.map(({ tuple }) => {
    const texts: Record<string, string | null> = {}
    for (const i of columns) texts[relation.columns[i]?.name ?? ""] = columnText(tuple, i)
    return texts
  })
}
