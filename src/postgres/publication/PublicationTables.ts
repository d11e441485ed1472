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
import { addAllToPublication, setIdentitiesFull } from "./AlterTogether.ts"
import { boundOfWriters } from "./OpenWriters.ts"
import { fromPgError, PublicationError, shown, tableChanged } from "./PublicationError.ts"
import { type PublicationMode, type PublicationPlan, planTable } from "./PublicationPlan.ts"
import {
  type IdentityState,
  type PublicationState,
  readPublication,
  readTables,
  type TableState
} from "./PublicationState.ts"
import { identityIndexes, possibleIdentityIndex } from "./RefusedWrites.ts"
import { TableLedger } from "./TableLedger.ts"

/** Replica identities set in one transaction at most: for as long as it takes nobody else can use any of these tables. */
const identitiesAtOnce = 64

/** How long a lock is waited for, one try after the other, as shares of the time that it may take at most. */
const sharesOfTimeout = [1 / 25, 1 / 5, 1]

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
    return Effect.flatMap(this.readTables(publication, [table]), (states) => {
      const state = states.get(table.oid)
      return isStill(table, state) ? Effect.succeed(state) : Effect.fail(tableChanged(table))
    })
  }

  /** Reads the tables as they are now, by their OIDs; those that are gone are left out. */
  readTables(
    publication: PublicationState,
    tables: ReadonlyArray<TableInfo>
  ): Effect.Effect<ReadonlyMap<number, TableState>, PgError> {
    const generatedColumns = tables.some(({ columns }) => columns.some(({ generated }) => generated !== "no"))
    const oids = tables.map(({ oid }) => oid)
    return Effect.map(
      readTables(this.pool, this.mode.publicationName, publication, oids, { generatedColumns }),
      (states) => new Map(states.map((state) => [state.oid, state]))
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
      if (this.needsBound(state.oid)) {
        const bound = yield* Effect.mapError(boundOfWriters(this.pool), (error) => fromPgError(state, error))
        this.ledger.setBound(state.oid, bound)
      }
      return altered
    })
  }

  /** When a table that is a member already was added nobody knows: a transaction that writes to it now may have begun before. */
  needsBound(oid: number): boolean {
    return !this.ledger.isSettled(oid) && this.ledger.boundOf(oid) === undefined
  }

  /**
   * Does for many tables what can be done for all of them in a few transactions, and without waiting for anybody who uses one of
   * them; gives the OIDs of those for which everything is done. In the order that `alter` has.
   */
  alterAll(
    publication: PublicationState,
    planned: ReadonlyArray<{ readonly state: TableState; readonly plan: PublicationPlan }>
  ): Effect.Effect<ReadonlySet<number>, PgError> {
    return Effect.gen({ self: this }, function* () {
      const done = new Set<number>()
      if (planned.length === 0) return done
      const { debounceMillis } = this.options
      if (debounceMillis > 0) yield* Effect.sleep(debounceMillis)
      const full = yield* this.setIdentities(planned.flatMap(({ plan }) => plan.setIdentity))
      const adding: Array<TableState> = []
      for (const { plan, state } of planned) {
        if (!plan.setIdentity.every(({ oid }) => full.has(oid))) continue
        if (!plan.add) done.add(state.oid)
        else {
          this.ledger.unsettle(state.oid)
          adding.push(state)
        }
      }
      const added = yield* addAllToPublication(this.target, adding, publication.serverVersionNum)
      for (const { oid } of added) done.add(oid)
      return done
    })
  }

  /** Of tables and partitions; those that somebody has locked are left as they are, and not among what it gives. */
  private setIdentities(wanted: ReadonlyArray<IdentityState>): Effect.Effect<ReadonlySet<number>, PgError> {
    return Effect.gen({ self: this }, function* () {
      const identities = [...new Map(wanted.map((identity) => [identity.oid, identity])).values()]
      const full = new Set<number>()
      for (let from = 0; from < identities.length; from += identitiesAtOnce) {
        const some = identities.slice(from, from + identitiesAtOnce)
        const indexes = yield* identityIndexes(
          this.pool,
          some.map(({ oid }) => oid)
        )
        for (const [oid, index] of indexes) this.indexesBefore.set(oid, index)
        for (const { oid } of yield* setIdentitiesFull(this.target, some)) full.add(oid)
      }
      return full
    })
  }

  /** First the identity, so that the application can always update a table without primary key; then the membership. */
  private alter(
    publication: PublicationState,
    state: TableState,
    plan: PublicationPlan
  ): Effect.Effect<void, PublicationError> {
    const statements = (target: AlterTarget) =>
      Effect.gen({ self: this }, function* () {
        const full = yield* Effect.mapError(this.setIdentities(plan.setIdentity), (error) =>
          fromPgError(state, error)
        )
        for (const identity of plan.setIdentity)
          if (!full.has(identity.oid)) yield* setIdentityFull(target, identity)
        if (plan.add) yield* addToPublication(target, state, publication.serverVersionNum)
      })
    // One that is locked for long lets others have its turn before it waits for as long as it may.
    const attempt = (shares: ReadonlyArray<number>): Effect.Effect<void, PublicationError> => {
      const [share = 1, ...later] = shares
      const lockTimeoutMillis = Math.ceil(this.target.lockTimeoutMillis * share)
      const waiting = this.turns.withPermit(statements({ ...this.target, lockTimeoutMillis }))
      return later.length === 0
        ? waiting
        : Effect.catchIf(
            waiting,
            ({ reason }) => reason === "lockTimeout",
            () => attempt(later)
          )
    }
    const { debounceMillis } = this.options
    return Effect.gen({ self: this }, function* () {
      if (debounceMillis > 0) yield* Effect.sleep(debounceMillis)
      if (plan.add) this.ledger.unsettle(state.oid)
      yield* attempt(sharesOfTimeout)
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

/** The table of this OID has the name by which it was looked up. */
export const isStill = (table: TableInfo, state: TableState | undefined): state is TableState =>
  state !== undefined && state.name === table.name && state.schema === table.schema

export const refusesWrites = (state: TableState): boolean =>
  state.identities.some(({ refusals }) => refusals.length > 0)

export const needsWork = (plan: PublicationPlan | PublicationError): boolean =>
  plan instanceof PublicationError || plan.add || plan.setIdentity.length > 0
