import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"
import { Context, Effect, Layer, Scope, Semaphore, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import { BoundedMap } from "../../shared/BoundedMap.ts"

/**
 * `effect/sql` on `node:sqlite`, with the interface of `@effect/sql-sqlite-node`, which has no release for this Effect
 * version yet. When it has, an import of it replaces this file.
 */
interface SqliteClientConfig {
  /** Path of the database file, or `:memory:`. */
  readonly filename: string
  readonly readonly?: boolean
  /** `DELETE` leaves no second file behind and works on network file systems. */
  readonly journalMode?: "DELETE" | "WAL"
  readonly synchronous?: "OFF" | "NORMAL" | "FULL"
  readonly cacheBytes?: number
  readonly busyTimeoutMillis?: number
}

export interface SqliteClient extends SqlClient.SqlClient {
  /** The connection itself, for loops over many rows; everything on it blocks the event loop. */
  readonly db: DatabaseSync
}

export const SqliteClient = Context.Service<SqliteClient>("baton/storage/SqliteClient")

const preparedStatements = 100

const failure = (cause: unknown, operation: string): SqlError.SqlError => {
  // The classifier reads `errno`; node:sqlite reports the same number as `errcode`.
  if (cause instanceof Error && "errcode" in cause) Object.assign(cause, { errno: cause.errcode })
  return new SqlError.SqlError({
    reason: SqlError.classifySqliteError(cause, { message: `SQLite: ${operation} failed`, operation })
  })
}

const openDatabase = (config: SqliteClientConfig): DatabaseSync => {
  const db = new DatabaseSync(config.filename, {
    readOnly: config.readonly ?? false,
    timeout: config.busyTimeoutMillis ?? 2000
  })
  if (config.readonly !== true) {
    db.exec(`PRAGMA journal_mode = ${config.journalMode ?? "WAL"}`)
    db.exec(`PRAGMA synchronous = ${config.synchronous ?? "NORMAL"}`)
  }
  if (config.cacheBytes !== undefined)
    db.exec(`PRAGMA cache_size = -${Math.max(1, Math.ceil(config.cacheBytes / 1024))}`)
  return db
}

/** Opens a database for as long as the scope lives. */
export const make = (
  config: SqliteClientConfig
): Effect.Effect<SqliteClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const db = yield* Effect.acquireRelease(
      Effect.try({ try: () => openDatabase(config), catch: (cause) => failure(cause, "open") }),
      (opened) => Effect.sync(() => opened.close())
    )
    const prepared = new BoundedMap<string, StatementSync>(preparedStatements)
    const prepare = (sql: string): StatementSync => {
      const known = prepared.get(sql)
      if (known !== undefined) return known
      const statement = db.prepare(sql)
      prepared.set(sql, statement)
      return statement
    }
    const run = (
      sql: string,
      params: ReadonlyArray<unknown>,
      how: { arrays: boolean; keep: boolean; raw: boolean }
    ) =>
      Effect.withFiber<ReadonlyArray<never>, SqlError.SqlError>((fiber) =>
        Effect.try({
          try: () => {
            const statement = how.keep ? prepare(sql) : db.prepare(sql)
            statement.setReadBigInts(Context.get(fiber.context, SqlClient.SafeIntegers))
            statement.setReturnArrays(how.arrays)
            const values = params as Array<SQLInputValue>
            if (statement.columns().length > 0)
              return statement.all(...values) as unknown as ReadonlyArray<never>
            const result = statement.run(...values)
            return (how.raw ? result : []) as unknown as ReadonlyArray<never>
          },
          catch: (cause) => failure(cause, "execute")
        })
      )
    const rows = { arrays: false, keep: true, raw: false }
    const connection: SqlConnection.Connection = {
      execute: (sql, params, transform) => {
        const result = run(sql, params, rows)
        return transform === undefined ? result : Effect.map(result, transform)
      },
      executeRaw: (sql, params) => run(sql, params, { ...rows, raw: true }),
      executeValues: (sql, params) => run(sql, params, { ...rows, arrays: true }),
      executeValuesUnprepared: (sql, params) => run(sql, params, { arrays: true, keep: false, raw: false }),
      executeUnprepared: (sql, params, transform) => {
        const result = run(sql, params ?? [], { arrays: false, keep: false, raw: false })
        return transform === undefined ? result : Effect.map(result, transform)
      },
      executeStream: (sql, params, transform) =>
        Stream.unwrap(
          Effect.map(run(sql, params, rows), (all) =>
            Stream.fromIterable(transform === undefined ? all : (transform(all) as ReadonlyArray<never>))
          )
        )
    }
    const lock = yield* Semaphore.make(1)
    const client = yield* SqlClient.make({
      driver: "sqlite",
      compiler: Statement.makeCompilerSqlite(),
      spanAttributes: [["db.system.name", "sqlite"]],
      acquirer: lock.withPermits(1)(Effect.succeed(connection)),
      transactionAcquirer: Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const scope = yield* Effect.scope
          yield* restore(lock.take(1))
          yield* Scope.addFinalizer(scope, lock.release(1))
          return connection
        })
      )
    })
    return Object.assign(client, { db })
  })

/** Provides both the client and the general `SqlClient`. */
export const layer = (
  config: SqliteClientConfig
): Layer.Layer<SqliteClient | SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effectContext(
    Effect.map(make(config), (client) =>
      Context.make(SqliteClient, client).pipe(Context.add(SqlClient.SqlClient, client))
    )
  ).pipe(Layer.provide(Reactivity.layer))
