import { Context, Effect, Exit, Layer, Result, type Scope, Semaphore } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { explainedPgError } from "../errors/ClassifyPgError.ts"
import { boundOfWriters, hasOpenWriters } from "./OpenWriters.ts"
import type { PgError } from "../errors/PgError.ts"
import { AdminPool } from "../connection/Pools.ts"
import {
  addToPublication,
  type AlterTarget,
  completePublication,
  createPublication,
  dropFromPublication,
  type PlainIdentity,
  restoreIdentity,
  setIdentityFull
} from "./AlterPublication.ts"
import { fromPgError, PublicationError, publicationError, shown, tableChanged } from "./PublicationError.ts"
import type { PublicationReport, TableProblem } from "./PublicationReport.ts"
import {
  type PublicationMode,
  type PublicationPlan,
  type PublicationState,
  planTable,
  publicationProblem,
  readPublication,
  readTables,
  type TableState
} from "./PublicationState.ts"
import { makePublicationWatch } from "./PublicationWatch.ts"
import { identityIndex, possibleIdentityIndex } from "./RefusedWrites.ts"
import { createPublicationSql, letCreate } from "../RoleSql.ts"
import { readServerInfo, serverAdvice, type ServerInfo, serverProblem } from "../ServerInfo.ts"
import type { SessionPool } from "../connection/SessionPool.ts"
import { makeSingleFlight } from "../../shared/SingleFlight.ts"
import { TableLedger } from "./TableLedger.ts"
import type { TableInfo } from "../catalogue/TableInfo.ts"
import { nowMillis } from "../../shared/Timers.ts"

/** What `ensureExists` found and did. */
export interface EnsuredPublication {
  /** It was made just now. A slot that is older cannot be streamed with it and has to be made anew. */
  readonly created: boolean
  /** It did not carry everything until now: changes may be missing from the stream, shapes from before are stale. */
  readonly repaired: boolean
}

interface EnsureTableOptions {
  /** The shape selects generated columns, which the publication then has to carry. Default false. */
  readonly generatedColumns?: boolean
}

export interface EnsuredTable {
  /** It was added, or its replica identity was set, just now. */
  readonly altered: boolean
}

/** Tables altered at a time, so that locked ones never use up the connections that others need. */
const concurrentAlters = 2
const defaultSettleMillis = 30_000
const settlePollMillis = { first: 10, most: 500 }
const defaultRemovalGraceMillis = 3_600_000
const defaultLockTimeoutMillis = 5000

/**
 * The publication of the replication stream, and the tables in it. For the active instance only: whoever does not hold
 * the lock must not call what alters.
 *
 * Tables are added when a shape needs them and their replica identity is set to FULL, on the leaves of a partitioned
 * table; nothing is altered that is right already. Each statement is a transaction of its own, on one table: first the
 * identity, so that the application can always update a table without primary key, then the membership. No two
 * locks that others might take in another order are ever held, except that the table is locked before the publication, so
 * that a table one has to wait for holds up no other. A table that fails fails alone.
 */
export class Publication extends Context.Service<
  Publication,
  {
    /**
     * Looks whether the server is fit for it at all (`ServerInfo`), and logs what an operator should know of it. Creates the
     * publication unless it is there; in manual mode as well. Repairs one of ours that lacks operations. Fails with a fatal
     * `config_error` when it is missing or incomplete and may not be created or altered. To be called after
     * each acquisition of the lock: what was known of tables from before counts no more (see `trust`).
     */
    readonly ensureExists: Effect.Effect<EnsuredPublication, PgError>
    /** Makes the table's changes be published. Concurrent calls for one table share the work. */
    readonly ensureTable: (
      table: TableInfo,
      options?: EnsureTableOptions
    ) => Effect.Effect<EnsuredTable, PublicationError>
    /**
     * Completes when no transaction is open any more that wrote to the table before it was published; from then on a
     * snapshot and the stream together hold everything. At once when that is known. `openTransaction` after the deadline.
     */
    readonly settle: (table: TableInfo, deadlineMillis?: number) => Effect.Effect<void, PublicationError>
    /** `ensureTable`, then `settle`: what has to be done before the snapshot of a shape. */
    readonly publish: (
      table: TableInfo,
      options?: EnsureTableOptions
    ) => Effect.Effect<void, PublicationError>
    /** Declares tables settled that have shapes with complete snapshots from an earlier run. */
    readonly trust: (oids: Iterable<number>) => void
    /**
     * Compares publication and replica identities with what the tables in use need, repairs what it may, and says what it
     * found. Tables that no shape has used for the grace period leave the publication. Fails only if it cannot look.
     */
    readonly reconcile: (tablesInUse: Iterable<number>) => Effect.Effect<PublicationReport, PgError>
    /** The definition of a table in use has changed, or what is below it: `run` compares within two seconds. */
    readonly tablesChanged: () => void
    /**
     * Reconciles every `publicationRefreshMillis`, and within two seconds of a change of a publication or table, for ever,
     * whatever else happens; reports that say something go to `onReport`.
     */
    readonly run: (options: {
      readonly tablesInUse: () => Iterable<number>
      readonly onReport: (report: PublicationReport) => Effect.Effect<void>
    }) => Effect.Effect<never>
  }
>()("baton/postgres/Publication") {
  static readonly layer = Layer.effect(
    Publication,
    Effect.gen(function* () {
      return yield* makePublication(yield* AdminPool, yield* Config)
    })
  )
}

export interface PublicationOptions {
  readonly publicationName: string
  readonly manualTablePublishing: boolean
  readonly publicationAlterDebounceMillis: number
  readonly publicationRefreshMillis: number
  /** How long a table stays in the publication that no shape uses. Default one hour. */
  readonly removalGraceMillis?: number
  /** How long ALTER waits for a table at most; while it waits, others wait behind it. Default 5 s. */
  readonly lockTimeoutMillis?: number
}

export const makePublication = (
  pool: SessionPool,
  options: PublicationOptions
): Effect.Effect<Publication["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const { publicationName } = options
    const mode: PublicationMode = { publicationName, manual: options.manualTablePublishing }
    const alter: AlterTarget = {
      pool,
      publicationName,
      lockTimeoutMillis: options.lockTimeoutMillis ?? defaultLockTimeoutMillis
    }
    const graceMillis = options.removalGraceMillis ?? defaultRemovalGraceMillis
    const turns = yield* Semaphore.make(concurrentAlters)
    const flights = yield* makeSingleFlight<EnsuredTable, PublicationError>()
    /** What was told of generated columns is not told again until they are back. */
    let toldOfGeneratedColumns = false
    /** The release that was spoken of in the log: it is told once, not with every turn. */
    let advisedOn: string | undefined
    const looks = yield* makeSingleFlight<boolean, PgError>()
    const tables = new TableLedger()
    let serverVersionNum = 0
    /** Indexes that were the identity of tables before it became FULL, by the tables' OIDs. */
    const indexesBefore = new Map<number, string>()

    const read = Effect.tap(readPublication(pool, publicationName), (publication) =>
      Effect.sync(() => {
        serverVersionNum = publication?.serverVersionNum ?? serverVersionNum
      })
    )

    /** Reads the table as it is now, under the name by which it was looked up. */
    const readTable = (publication: PublicationState, table: TableInfo) =>
      Effect.gen(function* () {
        const [state] = yield* readTables(pool, publicationName, publication, [table.oid], {
          generatedColumns: table.columns.some(({ generated }) => generated !== "no")
        })
        if (state === undefined || state.name !== table.name || state.schema !== table.schema) {
          return yield* tableChanged(table)
        }
        return state
      })

    /**
     * Lets the application write to a table again that has become one whose UPDATE and DELETE Postgres refuses: the
     * identity is what it was before, and the table is not ours any more. In this order, so that a table that is still a
     * member has not been put into order yet.
     */
    const withdraw = (publication: PublicationState, state: TableState) =>
      Effect.gen(function* () {
        if (mode.manual || !publication.isOurs || !state.isMember) return
        tables.unsettle(state.oid)
        for (const leaf of state.identities) {
          if (!leaf.isFull || leaf.refusals.length === 0) continue
          const index =
            indexesBefore.get(leaf.oid) ??
            (yield* Effect.mapError(possibleIdentityIndex(pool, leaf.oid), (error) =>
              fromPgError(leaf, error)
            ))
          const identity: PlainIdentity = index === undefined ? "DEFAULT" : { index }
          yield* restoreIdentity(alter, leaf, identity)
          yield* Effect.logWarning(
            `Postgres refused UPDATE and DELETE of the table "${shown(leaf)}" with REPLICA IDENTITY FULL: it has been ` +
              `given the replica identity ${index === undefined ? "DEFAULT" : `USING INDEX ${index}`} again.`
          )
        }
        yield* dropFromPublication(alter, state)
      }).pipe(Effect.tapError(() => Effect.sync(() => watch.lookSoon())))

    /** Brings one table into order. Without anything to do it takes no lock and no turn. */
    const bringIntoOrder = (
      publication: PublicationState,
      state: TableState,
      needsGeneratedColumns: boolean
    ): Effect.Effect<EnsuredTable, PublicationError> =>
      Effect.gen(function* () {
        const plan = planTable(publication, state, mode, needsGeneratedColumns)
        if (plan instanceof PublicationError) {
          if (refusesWrites(state)) yield* withdraw(publication, state)
          return yield* plan
        }
        const altered = plan.add || plan.setIdentity.length > 0
        if (altered) {
          if (options.publicationAlterDebounceMillis > 0) {
            yield* Effect.sleep(options.publicationAlterDebounceMillis)
          }
          if (plan.add) tables.unsettle(state.oid)
          yield* turns.withPermit(
            Effect.gen(function* () {
              for (const identity of plan.setIdentity) {
                const index = yield* Effect.mapError(identityIndex(pool, identity.oid), (error) =>
                  fromPgError(state, error)
                )
                if (index !== undefined) indexesBefore.set(identity.oid, index)
                yield* setIdentityFull(alter, identity)
              }
              if (plan.add) yield* addToPublication(alter, state, publication.serverVersionNum)
            })
          )
        }
        // When a table that is a member already was added nobody knows: whoever writes to it now may have begun before.
        if (!tables.isSettled(state.oid) && tables.boundOf(state.oid) === undefined) {
          tables.setBound(
            state.oid,
            yield* Effect.mapError(boundOfWriters(pool), (error) => fromPgError(state, error))
          )
        }
        return { altered }
      })

    const ensure = (table: TableInfo, needsGeneratedColumns: boolean) =>
      Effect.gen(function* () {
        const publication = yield* read
        const problem = publicationProblem(publication, mode)
        if (publication === undefined || problem !== undefined) return yield* problem ?? tableChanged(table)
        return yield* bringIntoOrder(publication, yield* readTable(publication, table), needsGeneratedColumns)
      }).pipe(Effect.catchTag("PgError", (error) => Effect.fail(fromPgError(table, error))))

    const ensureTable = (table: TableInfo, tableOptions: EnsureTableOptions = {}) =>
      Effect.suspend(() => {
        const needsGeneratedColumns = tableOptions.generatedColumns ?? false
        const work = tables.using(table.oid, ensure(table, needsGeneratedColumns))
        return Effect.map(flights(`${table.oid} ${needsGeneratedColumns}`, work), (flight) => flight.value)
      })

    const settle = (
      table: TableInfo,
      deadlineMillis = defaultSettleMillis
    ): Effect.Effect<void, PublicationError> =>
      Effect.gen(function* () {
        const deadline = (yield* nowMillis) + deadlineMillis
        let pauseMillis = settlePollMillis.first
        while (!tables.isSettled(table.oid)) {
          const bound = tables.boundOf(table.oid) ?? (yield* boundOfWriters(pool))
          if (tables.boundOf(table.oid) === undefined) tables.setBound(table.oid, bound)
          const look = yield* looks(`${table.oid} ${bound}`, hasOpenWriters(pool, table.oid, bound))
          if (!look.value) {
            tables.settle(table.oid, bound)
            continue
          }
          if ((yield* nowMillis) + pauseMillis > deadline) {
            return yield* publicationError(
              "openTransaction",
              `A transaction that wrote to the table "${shown(table)}" before it was published is still open. ` +
                "The shape can be made when that transaction has ended"
            )
          }
          yield* Effect.sleep(pauseMillis)
          pauseMillis = Math.min(2 * pauseMillis, settlePollMillis.most)
        }
      }).pipe(Effect.catchTag("PgError", (error) => Effect.fail(fromPgError(table, error))))

    const ensureExists: Effect.Effect<EnsuredPublication, PgError> = Effect.gen(function* () {
      tables.forget()
      const [server, found] = yield* Effect.all([readServerInfo(pool), read], { concurrency: 2 })
      const unfit = serverProblem(server, { createsNothing: mode.manual && found !== undefined })
      if (unfit !== undefined) return yield* unfit
      if (advisedOn !== server.version) {
        advisedOn = server.version
        for (const advice of serverAdvice(server)) yield* Effect.logWarning(advice)
      }
      if (found === undefined) {
        const created = yield* Effect.result(createPublication(pool, publicationName, server.versionNum))
        if (Result.isSuccess(created)) return { created: true, repaired: false }
        const error = created.failure
        if (error.kind === "permission_denied") {
          return yield* mayNotCreate(publicationName, server)
        }
        // Anything but: somebody else made it just now.
        if (error.code !== "42710" && error.code !== "23505") return yield* error
      }
      const publication = found ?? (yield* read)
      const problem = publicationProblem(publication, mode)
      if (publication === undefined) return yield* notUsable(problem)
      const incomplete = problem !== undefined || publication.generatedColumns === "none"
      if (!incomplete) return { created: false, repaired: false }
      if (publication.isOurs && !mode.manual) {
        yield* completePublication(pool, publicationName, publication.serverVersionNum)
        return { created: false, repaired: true }
      }
      return problem === undefined ? { created: false, repaired: false } : yield* notUsable(problem)
    })

    /** Compares one table in use; `undefined` when all is well. */
    const reconcileTable = (
      publication: PublicationState,
      state: TableState
    ): Effect.Effect<TableProblem | undefined, never> =>
      Effect.gen(function* () {
        const plan = planTable(publication, state, mode, false)
        if (refusesWrites(state) && plan instanceof PublicationError) {
          const done = yield* Effect.exit(tables.exclusively(state.oid, withdraw(publication, state)))
          return {
            oid: state.oid,
            problem: plan.reason,
            repaired: Exit.isSuccess(done),
            message: `${plan.message} The table is no longer published, and its shapes are dropped`
          }
        }
        const found =
          plan instanceof PublicationError ? plan.reason : plan.add ? "notPublished" : "identityNotFull"
        if (plan instanceof PublicationError) {
          return { oid: state.oid, problem: plan.reason, repaired: false, message: plan.message }
        }
        if (!plan.add && plan.setIdentity.length === 0) return undefined
        const repair = yield* Effect.result(
          tables.exclusively(state.oid, bringIntoOrder(publication, state, false))
        )
        const message = plan.add
          ? `Database table "${shown(state)}" was missing from the publication "${publicationName}"; its shapes are fetched again`
          : `Database table "${shown(state)}" did not have its replica identity set to FULL`
        return Result.isSuccess(repair)
          ? { oid: state.oid, problem: found, repaired: true, message }
          : {
              oid: state.oid,
              problem: found,
              repaired: false,
              message: `${message} (${repair.failure.message})`
            }
      })

    const removeUnused = (publication: PublicationState, state: TableState, now: number) =>
      Effect.suspend(() => {
        if (mode.manual || !publication.isOurs || !state.isMember) return Effect.succeed(false)
        if (tables.unusedMillis(state.oid, now) < graceMillis) return Effect.succeed(false)
        const remove = Effect.suspend(() => {
          // A shape may have asked for the table while this waited for its turn.
          if (tables.unusedMillis(state.oid, now) < graceMillis) return Effect.succeed(false)
          tables.unsettle(state.oid)
          return Effect.as(dropFromPublication(alter, state), true)
        })
        return turns
          .withPermit(tables.exclusively(state.oid, remove))
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

    const reconcile = (tablesInUse: Iterable<number>): Effect.Effect<PublicationReport, PgError> =>
      Effect.gen(function* () {
        const inUse = new Set(tablesInUse)
        const begun = tables.tick()
        const now = yield* nowMillis
        const publication = yield* read
        if (publication === undefined) return { ...nothingFound, isMissing: true, repaired: false }
        const operationsLost = publication.missingOperations
        const lacksGeneratedColumns = publication.generatedColumns === "none"
        const generatedColumnsLost = lacksGeneratedColumns && !toldOfGeneratedColumns
        toldOfGeneratedColumns = lacksGeneratedColumns
        const incomplete = operationsLost.length > 0 || lacksGeneratedColumns
        let repaired = !incomplete
        if (incomplete && publication.isOurs && !mode.manual) {
          yield* completePublication(pool, publicationName, publication.serverVersionNum)
          repaired = true
          toldOfGeneratedColumns = false
        }
        const states = yield* readTables(pool, publicationName, publication, [...inUse], { andMembers: true })
        const found = new Set(states.map((state) => state.oid))
        const problems: Array<TableProblem> = []
        const removed: Array<number> = []
        for (const oid of inUse) {
          tables.markUsed(oid)
          if (!found.has(oid)) {
            const message = `The database table with OID ${oid}, which shapes use, is gone; they are dropped`
            problems.push({ oid, problem: "vanished", repaired: false, message })
          }
        }
        for (const state of states) {
          // Whoever is just making a shape of it looks after the table; what was read of it may be old already.
          if (tables.touchedSince(state.oid, begun) && !refusesWrites(state)) {
            if (needsWork(planTable(publication, state, mode, false))) watch.lookSoon()
            continue
          }
          if (!inUse.has(state.oid)) {
            if (refusesWrites(state)) {
              yield* Effect.exit(tables.exclusively(state.oid, withdraw(publication, state)))
              continue
            }
            if (yield* removeUnused(publication, state, now)) removed.push(state.oid)
            continue
          }
          const problem = yield* reconcileTable(publication, state)
          if (problem !== undefined) problems.push(problem)
        }
        return { isMissing: false, operationsLost, generatedColumnsLost, repaired, tables: problems, removed }
      })

    const watch = makePublicationWatch({
      database: pool,
      publicationName,
      refreshMillis: options.publicationRefreshMillis,
      serverVersionNum: () => serverVersionNum,
      reconcile
    })

    return Publication.of({
      ensureExists,
      ensureTable,
      settle,
      publish: (table, tableOptions) => Effect.andThen(ensureTable(table, tableOptions), settle(table)),
      trust: (oids) => {
        for (const oid of oids) tables.trust(oid)
      },
      reconcile,
      tablesChanged: watch.lookSoon,
      run: watch.run
    })
  })

const refusesWrites = (state: TableState): boolean =>
  state.identities.some(({ refusals }) => refusals.length > 0)

const needsWork = (plan: PublicationPlan | PublicationError): boolean =>
  plan instanceof PublicationError || plan.add || plan.setIdentity.length > 0

const nothingFound: PublicationReport = {
  isMissing: false,
  operationsLost: [],
  generatedColumnsLost: false,
  repaired: true,
  tables: [],
  removed: []
}

const mayNotCreate = (name: string, { database, role, versionNum }: ServerInfo): PgError =>
  explainedPgError(
    "config_error",
    `Publication "${name}" not found in the database, and the role "${role}" may not create it. Run ` +
      `${letCreate(database, role)} Or create it, if you publish tables yourself: ` +
      createPublicationSql(name, versionNum >= 180000)
  )

const notUsable = (problem: PublicationError | undefined): PgError =>
  explainedPgError("config_error", problem?.message ?? "The publication cannot be used")
