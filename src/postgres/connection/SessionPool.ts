import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as PgPool from "@effect/sql-pg/PgPool"
import { Effect, Exit, type Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { classifyPgError } from "../errors/ClassifyPgError.ts"
import type { ErrorSubject } from "../errors/ExplainPgError.ts"
import { ownPgError, type PgError } from "../errors/PgError.ts"

/**
 * Runs statements. Rows are objects by column name, values as the driver decodes them (`int8` as bigint, `json` parsed
 * and so on); `Row` is the caller's promise about the statement, which nothing checks. Cast in SQL what must be exact, and composite values, which the
 * driver cannot read.
 */
export interface Queryable {
  /**
   * One statement with `$1`-style parameters. Interrupting it cancels it in Postgres. `kept`: a statement that comes again with the same
   * text. Where its session can, it keeps how Postgres goes about it, which for long statements takes many times as long to find out as the rest.
   */
  readonly query: <Row extends object = Record<string, unknown>>(
    sql: string,
    params?: ReadonlyArray<unknown>,
    kept?: "kept"
  ) => Effect.Effect<ReadonlyArray<Row>, PgError>
}

export interface TransactionOptions {
  /** Settings for the length of the transaction. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface SessionPool extends Queryable {
  /** Most sessions that the pool ever has open. */
  readonly size: number
  /**
   * Runs `work` in a transaction of its own: commits when it succeeds, rolls back when it fails or is interrupted. A
   * session that cannot be rolled back is thrown away. Only the wait for a session is limited. What `work` is given is one
   * session, for the fiber that runs it, and not valid afterwards.
   */
  readonly transaction: <A, E, R>(
    work: (transaction: Queryable) => Effect.Effect<A, E, R>,
    options?: TransactionOptions
  ) => Effect.Effect<A, E | PgError, R>
}

interface SessionPoolOptions {
  /** Names the database in messages. */
  readonly subject: ErrorSubject
  /** Bound on the wait for a session, after which the failure is `pool_timeout`. */
  readonly acquireTimeoutMillis: number
  /** Bound on single statements (not transactions), so that no caller waits for ever on a network that swallows packets. */
  readonly queryTimeoutMillis: number | undefined
}

/** Bound on ROLLBACK, after which the session is given up instead. */
const rollbackTimeoutMillis = 2000

/**
 * A pool of Postgres sessions that can be made, and stays usable, whatever the database does: it connects when a session
 * is needed, closes idle ones, and replaces lost ones. A statement that meets an outage fails; the next one tries again.
 */
export const makeSessionPool = (
  config: PgPool.Config & { readonly maxConnections: number },
  options: SessionPoolOptions
): Effect.Effect<SessionPool, never, Scope.Scope> =>
  Effect.gen(function* () {
    // Fails only for options that no release of ours can produce: it does not connect.
    const pool = yield* Effect.orDie(PgPool.make(config))
    const reserve = (timeoutMillis: number) =>
      pool.reserve.pipe(
        Effect.mapError((error) => classifyPgError(error, options.subject)),
        Effect.timeoutOrElse({
          duration: timeoutMillis,
          orElse: () => Effect.fail(poolTimeout(timeoutMillis, config.maxConnections))
        })
      )

    const query: SessionPool["query"] = <Row extends object>(
      sql: string,
      params: ReadonlyArray<unknown> = [],
      kept?: "kept"
    ) => {
      const { acquireTimeoutMillis, queryTimeoutMillis, subject } = options
      // There are many of these, and what bounds one costs several fibers: it is bounded once where that says the same.
      if (queryTimeoutMillis !== undefined && queryTimeoutMillis <= acquireTimeoutMillis)
        return Effect.suspend(() => {
          let hasSession = false
          const run = pool.use((connection) => {
            hasSession = true
            return connection.query(sql, params, kept !== undefined)
          })
          return Effect.timeoutOrElse(rowsOf<Row>(run, subject), {
            duration: queryTimeoutMillis,
            orElse: () =>
              Effect.fail(
                hasSession
                  ? noAnswer(queryTimeoutMillis)
                  : poolTimeout(queryTimeoutMillis, config.maxConnections)
              )
          })
        })
      const run = Effect.scoped(
        Effect.flatMap(reserve(acquireTimeoutMillis), (connection) =>
          sessionOf(connection, subject).query<Row>(sql, params, kept)
        )
      )
      return queryTimeoutMillis === undefined
        ? run
        : Effect.timeoutOrElse(run, {
            duration: queryTimeoutMillis,
            orElse: () => Effect.fail(noAnswer(queryTimeoutMillis))
          })
    }

    const transaction: SessionPool["transaction"] = (work, settings = {}) =>
      Effect.scoped(
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const connection = yield* restore(reserve(options.acquireTimeoutMillis))
            const session = sessionOf(connection, options.subject)
            const exit = yield* Effect.exit(restore(Effect.andThen(begin(session, settings), work(session))))
            if (Exit.isFailure(exit)) {
              yield* session.query("ROLLBACK").pipe(
                Effect.timeout(rollbackTimeoutMillis),
                Effect.interruptible,
                Effect.catchCause(() => pool.invalidate(connection))
              )
              return yield* exit
            }
            // Whether a COMMIT without an answer took effect nobody can say; the session is not asked again.
            yield* Effect.onError(restore(session.query("COMMIT")), () => pool.invalidate(connection))
            return exit.value
          })
        )
      )

    return { size: config.maxConnections, query, transaction }
  })

const begin = (session: Queryable, options: TransactionOptions): Effect.Effect<unknown, PgError> => {
  const settings = Object.entries(options.settings ?? {})
  const start = session.query("BEGIN")
  if (settings.length === 0) return start
  const calls = settings.map((_, i) => `pg_catalog.set_config($${2 * i + 1}, $${2 * i + 2}, true)`)
  return Effect.andThen(start, session.query(`SELECT ${calls.join(", ")}`, settings.flat()))
}

/** The row type is the caller's promise (see `Queryable`); the driver knows only that rows are objects. */
const rowsOf = <Row extends object>(
  query: Effect.Effect<PgConnection.Result, SqlError>,
  subject: ErrorSubject
): Effect.Effect<ReadonlyArray<Row>, PgError> =>
  query.pipe(
    Effect.map((result) => result.rows as unknown as ReadonlyArray<Row>),
    Effect.mapError((error) => classifyPgError(error, subject))
  )

const sessionOf = (connection: PgConnection.PgConnection, subject: ErrorSubject): Queryable => ({
  query: <Row extends object>(sql: string, params: ReadonlyArray<unknown> = [], kept?: "kept") =>
    rowsOf<Row>(connection.query(sql, params, kept !== undefined), subject)
})

const poolTimeout = (millis: number, size: number): PgError =>
  ownPgError(
    "pool_timeout",
    `None of the ${size} connections of the pool became free within ${millis / 1000} s. This heals when running queries ` +
      "end. Raise ELECTRIC_DB_POOL_SIZE, or give slow snapshot queries an index."
  )

const noAnswer = (millis: number): PgError =>
  ownPgError(
    "connection_timeout",
    `Postgres did not answer a statement within ${millis / 1000} s. It is tried again when it is needed. If it keeps ` +
      "happening, look for locks and load in Postgres, and at the network in between."
  )
