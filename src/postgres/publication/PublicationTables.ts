import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect, Semaphore } from "effect"
import type { PgError } from "../errors/PgError.ts"
import type { TableInfo } from "../catalogue/TableInfo.ts"
import type { SessionPool } from "../connection/SessionPool.ts"
import {
  addToPublication,
  type AlterTarget,
  dropFromPublication,
  type PlainIdentity,
  restoreIdentity,
  setIdentityFull
} from "./AlterPublication.ts"
import { boundOfWriters } from "./OpenWriters.ts"
import { fromPgError, PublicationError, shown, tableChanged } from "./PublicationError.ts"
import { type PublicationMode, type PublicationPlan, planTable } from "./PublicationPlan.ts"
import { type PublicationState, readPublication, readTables, type TableState } from "./PublicationState.ts"
import { identityIndex, possibleIdentityIndex } from "./RefusedWrites.ts"
import { TableLedger } from "./TableLedger.ts"

/** Tables altered at a time, so that locked ones never use up the connections that others need. */
const concurrentAlters = 2

interface PublicationTablesOptions {
  readonly pool: SessionPool
  readonly mode: PublicationMode
  readonly lockTimeoutMillis: number
  /** Before a table is altered: others may want the same at this moment. */
  readonly debounceMillis: number
  /** Something was left half done: look at it before its time. */
  readonly lookSoon: () => void
}

/**
 * One publication and what is known of the tables in it, with the statements that bring a table into order, or give it back.
 * The parts that stand on it: `EnsureTable`, `Settle`, `Reconcile`.
 */
export class PublicationTables {
  readonly ledger = new TableLedger()
  readonly mode: PublicationMode
  readonly pool: SessionPool
  /** Who alters a table has one of these. */
  readonly turns = Semaphore.makeUnsafe(concurrentAlters)
  /** 0 while it is not known. */
  serverVersionNum = 0

  private readonly options: PublicationTablesOptions
  private readonly target: AlterTarget
  /** Indexes that were the identity of tables before it became FULL, by the tables' OIDs. */
  private readonly indexesBefore = new Map<number, string>()

  constructor(options: PublicationTablesOptions) {
    const { lockTimeoutMillis, mode, pool } = options
    this.options = options
    this.mode = mode
    this.pool = pool
    this.target = { pool, publicationName: mode.publicationName, lockTimeoutMillis }
  }

  readonly read: Effect.Effect<PublicationState | undefined, PgError> = Effect.suspend(() =>
    Effect.tap(readPublication(this.pool, this.mode.publicationName), (publication) =>
      Effect.sync(() => {
        this.serverVersionNum = publication?.serverVersionNum ?? this.serverVersionNum
      })
    )
  )

  /** Reads the table as it is now, under the name by which it was looked up. */
  readTable(
    publication: PublicationState,
    table: TableInfo
  ): Effect.Effect<TableState, PgError | PublicationError> {
    const generatedColumns = table.columns.some(({ generated }) => generated !== "no")
    return Effect.flatMap(
      readTables(this.pool, this.mode.publicationName, publication, [table.oid], { generatedColumns }),
      ([state]) =>
        state === undefined || state.name !== table.name || state.schema !== table.schema
          ? Effect.fail(tableChanged(table))
          : Effect.succeed(state)
    )
  }

  /** The publication is ours, and we may change what is in it. */
  mayAlter(publication: PublicationState): boolean {
    return !this.mode.manual && publication.isOurs
  }

  /**
   * Brings one table into order; true when something was altered. Without anything to do it takes no lock and no turn.
   */
  bringIntoOrder(
    publication: PublicationState,
    state: TableState,
    needsGeneratedColumns: boolean
  ): Effect.Effect<boolean, PublicationError> {
    return Effect.gen({ self: this }, function* () {
      const plan = planTable(publication, state, this.mode, needsGeneratedColumns)
      if (plan instanceof PublicationError) {
        if (refusesWrites(state)) yield* this.withdraw(publication, state)
        return yield* plan
      }
      const altered = needsWork(plan)
      if (altered) yield* this.alter(publication, state, plan)
      // When a table that is a member already was added nobody knows: a transaction that writes to it now may have begun before.
      if (!this.ledger.isSettled(state.oid) && this.ledger.boundOf(state.oid) === undefined) {
        const bound = yield* Effect.mapError(boundOfWriters(this.pool), (error) => fromPgError(state, error))
        this.ledger.setBound(state.oid, bound)
      }
      return altered
    })
  }

  /** First the identity, so that the application can always update a table without primary key; then the membership. */
  private alter(
    publication: PublicationState,
    state: TableState,
    plan: PublicationPlan
  ): Effect.Effect<void, PublicationError> {
    const statements = Effect.gen({ self: this }, function* () {
      for (const identity of plan.setIdentity) {
        const index = yield* Effect.mapError(identityIndex(this.pool, identity.oid), (error) =>
          fromPgError(state, error)
        )
        if (index !== undefined) this.indexesBefore.set(identity.oid, index)
        yield* setIdentityFull(this.target, identity)
      }
      if (plan.add) yield* addToPublication(this.target, state, publication.serverVersionNum)
    })
    const { debounceMillis } = this.options
    return Effect.gen({ self: this }, function* () {
      if (debounceMillis > 0) yield* Effect.sleep(debounceMillis)
      if (plan.add) this.ledger.unsettle(state.oid)
      yield* this.turns.withPermit(statements)
    })
  }

  /**
   * Lets the application write to a table again that has become one whose UPDATE and DELETE Postgres refuses: the
   * identity is what it was before, and the table is not ours any more. In this order, so that a table that is still a
   * member has not been put into order yet.
   */
  withdraw(publication: PublicationState, state: TableState): Effect.Effect<void, PublicationError> {
    if (!this.mayAlter(publication) || !state.isMember) return Effect.void
    return Effect.gen({ self: this }, function* () {
      this.ledger.unsettle(state.oid)
      for (const leaf of state.identities) {
        if (!leaf.isFull || leaf.refusals.length === 0) continue
        const index =
          this.indexesBefore.get(leaf.oid) ??
          (yield* Effect.mapError(possibleIdentityIndex(this.pool, leaf.oid), (error) =>
            fromPgError(leaf, error)
          ))
        const identity: PlainIdentity = index === undefined ? "DEFAULT" : { index }
        yield* restoreIdentity(this.target, leaf, identity)
        yield* reportFault(
          "BATON-TABLE-WRITES",
          `Postgres refused UPDATE and DELETE of the table "${shown(leaf)}" with REPLICA IDENTITY FULL: it has been ` +
            `given the replica identity ${index === undefined ? "DEFAULT" : `USING INDEX ${index}`} again.`
        )
      }
      yield* this.drop(state)
    }).pipe(Effect.tapError(() => Effect.sync(this.options.lookSoon)))
  }

  /** Takes the table out of the publication. */
  drop(state: TableState): Effect.Effect<void, PublicationError> {
    return Effect.suspend(() => {
      this.ledger.unsettle(state.oid)
      return dropFromPublication(this.target, state)
    })
  }
}

export const refusesWrites = (state: TableState): boolean =>
  state.identities.some(({ refusals }) => refusals.length > 0)

export const needsWork = (plan: PublicationPlan | PublicationError): boolean =>
  plan instanceof PublicationError || plan.add || plan.setIdentity.length > 0
