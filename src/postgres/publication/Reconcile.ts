import { Effect, Exit, Result } from "effect"
import { nowMillis } from "../../shared/Timers.ts"
import type { PgError } from "../errors/PgError.ts"
import { completePublication } from "./AlterPublication.ts"
import { PublicationError, shown } from "./PublicationError.ts"
import type { PublicationReport, TableProblem } from "./PublicationReport.ts"
import { planTable } from "./PublicationPlan.ts"
import { type PublicationState, readMembers, readTables, type TableState } from "./PublicationState.ts"
import { needsWork, type PublicationTables, refusesWrites } from "./PublicationTables.ts"

/** Thousands of tables are compared in pieces, and whatever else the service does has its turn in between. */
const tablesPerQuery = 250

interface ReconcileOptions {
  /** How long a table stays in the publication that no shape uses. */
  readonly graceMillis: number
  /** A table is to be looked at again before its time. */
  readonly lookSoon: () => void
}

/** Compares the publication with what the tables in use need, and repairs what it may. One at a time. */
export class Reconciler {
  private readonly tables: PublicationTables
  private readonly options: ReconcileOptions
  /** What was told of generated columns is not told again until they are back. */
  private toldOfGeneratedColumns = false
  private quiet = false

  constructor(tables: PublicationTables, options: ReconcileOptions) {
    this.tables = tables
    this.options = options
  }

  /** See `Publication.reconcile`. */
  run(tablesInUse: Iterable<number>): Effect.Effect<PublicationReport, PgError> {
    const { ledger, mode, pool } = this.tables
    return Effect.gen({ self: this }, function* () {
      this.quiet = false
      const inUse = new Set(tablesInUse)
      const now = yield* nowMillis
      const publication = yield* this.tables.read
      const missing = { ...nothingFound, isMissing: true, repaired: false }
      if (publication === undefined) return missing
      const carries = yield* this.complete(publication)
      const oids = [...new Set([...inUse, ...(yield* readMembers(pool, mode.publicationName))])]
      const found = new Set<number>()
      const problems: Array<TableProblem> = []
      const removed: Array<number> = []
      let isQuiet = true
      for (let from = 0; from < oids.length; from += tablesPerQuery) {
        const begun = ledger.tick()
        const some = oids.slice(from, from + tablesPerQuery)
        for (const state of yield* readTables(pool, mode.publicationName, publication, some)) {
          found.add(state.oid)
          // The request that is just making a shape of it looks after the table; what was read of it may be old already.
          if (ledger.touchedSince(state.oid, begun) && !refusesWrites(state)) {
            isQuiet = false
            if (needsWork(planTable(publication, state, mode, false))) this.options.lookSoon()
          } else if (inUse.has(state.oid)) {
            const problem = yield* this.tableInUse(publication, state)
            if (problem !== undefined) problems.push(problem)
          } else {
            isQuiet &&= !this.tables.mayAlter(publication)
            if (yield* this.unusedTable(publication, state, now)) removed.push(state.oid)
          }
        }
      }
      const vanished = this.vanished(inUse, found)
      // Without a publication no table is found: it may have been dropped in between.
      if (vanished.length > 0 && (yield* this.tables.read) === undefined) return missing
      this.quiet = isQuiet && carries.repaired && problems.length + vanished.length === 0
      return { isMissing: false, ...carries, tables: [...vanished, ...problems], removed }
    })
  }

  /** The last comparison has found nothing, and left nothing for later: another one finds nothing as long as nothing is altered. */
  get isQuiet(): boolean {
    return this.quiet
  }

  /** The publication carries all operations and columns, or is made to. */
  private complete(
    publication: PublicationState
  ): Effect.Effect<Pick<PublicationReport, "operationsLost" | "generatedColumnsLost" | "repaired">, PgError> {
    const { mode, pool } = this.tables
    return Effect.gen({ self: this }, function* () {
      const operationsLost = publication.missingOperations
      const lacksGeneratedColumns = publication.generatedColumns === "none"
      const generatedColumnsLost = lacksGeneratedColumns && !this.toldOfGeneratedColumns
      this.toldOfGeneratedColumns = lacksGeneratedColumns
      const incomplete = operationsLost.length > 0 || lacksGeneratedColumns
      if (!incomplete) return { operationsLost, generatedColumnsLost, repaired: true }
      if (!this.tables.mayAlter(publication)) return { operationsLost, generatedColumnsLost, repaired: false }
      yield* completePublication(pool, mode.publicationName, publication.serverVersionNum)
      this.toldOfGeneratedColumns = false
      return { operationsLost, generatedColumnsLost, repaired: true }
    })
  }

  /** Tables in use that are not there any more. */
  private vanished(inUse: Iterable<number>, found: ReadonlySet<number>): Array<TableProblem> {
    const problems: Array<TableProblem> = []
    for (const oid of inUse) {
      this.tables.ledger.markUsed(oid)
      if (found.has(oid)) continue
      const message = `The database table with OID ${oid}, which shapes use, is gone; they are dropped`
      problems.push({ oid, problem: "vanished", repaired: false, message })
    }
    return problems
  }

  /** Compares one table in use; `undefined` when all is well. */
  private tableInUse(
    publication: PublicationState,
    state: TableState
  ): Effect.Effect<TableProblem | undefined> {
    const { ledger, mode } = this.tables
    return Effect.gen({ self: this }, function* () {
      const { oid } = state
      const plan = planTable(publication, state, mode, false)
      if (plan instanceof PublicationError) {
        const problem = { oid, problem: plan.reason }
        if (!refusesWrites(state)) return { ...problem, repaired: false, message: plan.message }
        const done = yield* Effect.exit(ledger.exclusively(oid, this.tables.withdraw(publication, state)))
        return {
          ...problem,
          repaired: Exit.isSuccess(done),
          message: `${plan.message} The table is no longer published, and its shapes are dropped`
        }
      }
      if (!needsWork(plan)) return undefined
      const problem = plan.add ? "notPublished" : "identityNotFull"
      const repair = yield* Effect.result(
        ledger.exclusively(oid, this.tables.bringIntoOrder(publication, state, false))
      )
      const message = plan.add
        ? `Database table "${shown(state)}" was missing from the publication "${mode.publicationName}"; all shapes are compared with the database`
        : `Database table "${shown(state)}" did not have its replica identity set to FULL`
      return Result.isSuccess(repair)
        ? { oid, problem, repaired: true, message }
        : { oid, problem, repaired: false, message: `${message} (${repair.failure.message})` }
    })
  }

  /** A member that no shape uses; true when it has left the publication because its grace is over. */
  private unusedTable(publication: PublicationState, state: TableState, now: number): Effect.Effect<boolean> {
    const { ledger, turns } = this.tables
    if (refusesWrites(state)) {
      const withdrawn = ledger.exclusively(state.oid, this.tables.withdraw(publication, state))
      return Effect.as(Effect.exit(withdrawn), false)
    }
    const isInGrace = () => ledger.unusedMillis(state.oid, now) < this.options.graceMillis
    const remove = Effect.suspend(() =>
      // A shape may have asked for the table while this waited for its turn.
      isInGrace() ? Effect.succeed(false) : Effect.as(this.tables.drop(state), true)
    )
    return Effect.suspend(() => {
      if (!this.tables.mayAlter(publication) || !state.isMember || isInGrace()) return Effect.succeed(false)
      return turns
        .withPermit(ledger.exclusively(state.oid, remove))
        .pipe(
          Effect.catch((error) =>
            Effect.as(
              Effect.logDebug(
                `The unused table "${shown(state)}" stays in the publication for now: ${error.message}`
              ),
              false
            )
          )
        )
    })
  }
}

const nothingFound: PublicationReport = {
  isMissing: false,
  operationsLost: [],
  generatedColumnsLost: false,
  repaired: true,
  tables: [],
  removed: []
}
