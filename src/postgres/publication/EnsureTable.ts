import { Effect, Exit, FiberSet, type Scope } from "effect"
import type { TableInfo } from "../catalogue/TableInfo.ts"
import { makeSingleFlight } from "../../shared/Coalesce.ts"
import { type Asked, makeGather } from "../../shared/Gather.ts"
import type { PgError } from "../errors/PgError.ts"
import { boundOfWriters } from "./OpenWriters.ts"
import { fromPgError, PublicationError, tableChanged } from "./PublicationError.ts"
import { type PublicationPlan, planTable, publicationProblem } from "./PublicationPlan.ts"
import type { PublicationState, TableState } from "./PublicationState.ts"
import { isStill, needsWork, type PublicationTables } from "./PublicationTables.ts"

export interface EnsureTableOptions {
  /** The shape selects generated columns, which the publication then has to carry. Default false. */
  readonly generatedColumns?: boolean
}

export interface EnsuredTable {
  /** It was added, or its replica identity was set, just now. */
  readonly altered: boolean
}

type EnsureTable = (
  table: TableInfo,
  options?: EnsureTableOptions
) => Effect.Effect<EnsuredTable, PublicationError>

interface Wanted {
  readonly table: TableInfo
  readonly needsGeneratedColumns: boolean
}

type AskedFor = Asked<Wanted, EnsuredTable, PublicationError>

/** A table that can be brought into order, and how. */
interface Planned {
  readonly asked: AskedFor
  readonly state: TableState
  readonly plan: PublicationPlan
}

/** So many tables are altered in one transaction at most: for as long as it takes nobody else can use any of them. */
const mostAtOnce = 64

/**
 * Makes tables' changes be published. Concurrent calls for one table share the work, and tables that are asked for at the same time
 * share transactions. What cannot be done for all of them at once is done for each table alone: one that is locked, or cannot be
 * altered, delays nobody else.
 */
export const makeEnsureTable = (tables: PublicationTables): Effect.Effect<EnsureTable, never, Scope.Scope> =>
  Effect.gen(function* () {
    const flights = yield* makeSingleFlight<EnsuredTable, PublicationError>()
    const alone = yield* FiberSet.make()
    const run = yield* FiberSet.runtime(alone)()
    const gather = yield* makeGather<Wanted, EnsuredTable, PublicationError>(mostAtOnce, (asked) =>
      Effect.catchTag(
        together(tables, asked, (one) => void run(answer(one, ensureAlone(tables, one)))),
        "PgError",
        (error) =>
          Effect.sync(() => {
            for (const { done, input } of asked) done(Exit.fail(fromPgError(input.table, error)))
          })
      )
    )
    return (table, { generatedColumns: needsGeneratedColumns = false } = {}) =>
      Effect.suspend(() =>
        Effect.map(
          flights.join(
            `${table.oid} ${needsGeneratedColumns}`,
            tables.ledger.using(table.oid, gather.ask({ table, needsGeneratedColumns }))
          ),
          (flight) => flight.value
        )
      )
  })

const answer = (
  { done }: AskedFor,
  work: Effect.Effect<EnsuredTable, PublicationError>
): Effect.Effect<void> => Effect.map(Effect.exit(work), done)

/** With transactions of its own, which wait for locks. */
const ensureAlone = (
  tables: PublicationTables,
  { input: { needsGeneratedColumns, table } }: AskedFor
): Effect.Effect<EnsuredTable, PublicationError> =>
  Effect.gen(function* () {
    const publication = yield* usable(tables, table)
    const state = yield* tables.readTable(publication, table)
    return { altered: yield* tables.bringIntoOrder(publication, state, needsGeneratedColumns) }
  }).pipe(Effect.catchTag("PgError", (error) => Effect.fail(fromPgError(table, error))))

const usable = (
  tables: PublicationTables,
  table: TableInfo
): Effect.Effect<PublicationState, PgError | PublicationError> =>
  Effect.flatMap(tables.read, (publication) => {
    const problem = publicationProblem(publication, tables.mode)
    return publication === undefined || problem !== undefined
      ? Effect.fail(problem ?? tableChanged(table))
      : Effect.succeed(publication)
  })

const together = (
  tables: PublicationTables,
  asked: ReadonlyArray<AskedFor>,
  /** Leaves a table to itself. */
  alone: (one: AskedFor) => void
): Effect.Effect<void, PgError | PublicationError> =>
  Effect.gen(function* () {
    const [first] = asked
    if (first === undefined) return
    const publication = yield* usable(tables, first.input.table)
    const states = yield* tables.readTables(
      publication,
      asked.map(({ input }) => input.table)
    )
    const settled: Array<{ readonly asked: AskedFor; readonly oid: number; readonly altered: boolean }> = []
    const planned: Array<Planned> = []
    for (const one of asked) {
      const { needsGeneratedColumns, table } = one.input
      const state = states.get(table.oid)
      if (!isStill(table, state)) {
        one.done(Exit.fail(tableChanged(table)))
        continue
      }
      const plan = planTable(publication, state, tables.mode, needsGeneratedColumns)
      // It may have to be withdrawn, too.
      if (plan instanceof PublicationError) alone(one)
      else if (needsWork(plan)) planned.push({ asked: one, state, plan })
      else settled.push({ asked: one, oid: table.oid, altered: false })
    }
    const altered = yield* tables.alterAll(publication, planned)
    for (const { asked: one, state } of planned)
      if (altered.has(state.oid)) settled.push({ asked: one, oid: state.oid, altered: true })
      else alone(one)
    const unbound = settled.filter(({ oid }) => tables.needsBound(oid))
    if (unbound.length > 0) {
      const bound = yield* boundOfWriters(tables.pool)
      for (const { oid } of unbound) tables.ledger.setBound(oid, bound)
    }
    for (const { altered: isAltered, asked: one } of settled) one.done(Exit.succeed({ altered: isAltered }))
  })
