import { Effect, Fiber, Scope } from "effect"
import type { DatabaseTarget } from "../../config/BatonConfig.ts"
import {
  allRowsOrNone,
  type ConnectionConfig,
  connectTimeoutMillis,
  displaySettings,
  errorSubject,
  poolOptions,
  serverTcpSettings
} from "../../postgres/connection/ConnectionOptions.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import { makeSessionPool } from "../../postgres/connection/SessionPool.ts"
import type { AskingQuery } from "../../where/index.ts"
import {
  decisionGraceMillis,
  decisionWarmMillis,
  longestAcquireMillis,
  quickMillis,
  shortestAcquireMillis
} from "../RegistryTimings.ts"

/**
 * One is in use at a time. The others are for when Postgres does not end a statement that is over its time: some functions
 * cannot be stopped.
 */
const connections = 3
/**
 * For so long a statement may wait for a connection: where statements may take longer, as long as one may take, for it is no
 * fault of a condition that a busy machine takes seconds to connect. Always less than a network gets that says nothing.
 */
const acquireMillis = (statementMillis: number): number =>
  Math.min(longestAcquireMillis, Math.max(shortestAcquireMillis, statementMillis))

/**
 * Two to three milliseconds of work where nothing else is going on. No less: a busy machine is quick at what takes no time, and
 * makes only those wait who have work to do, as conditions have.
 */
const knownWorkSql = "SELECT pg_catalog.sum(i) FROM pg_catalog.generate_series(1, 10000) AS i"

export interface DecisionPool {
  /** Completes when a statement need not wait for a connection to be made, as far as that can be known. */
  readonly ready: Effect.Effect<void, PgError>
  /**
   * Milliseconds that Postgres needs for a statement that is always the same work: how busy it is. A slow one is asked again,
   * and the quicker one counts. Never fails, and is bounded.
   */
  readonly knownWorkMillis: Effect.Effect<number>
  /** Runs statements that take no longer than given, and fails with `statement_timeout` soon after. */
  readonly query: (limitMillis: number) => AskingQuery<PgError>
}

/**
 * Sessions in which Postgres evaluates conditions, opened when there are such conditions and closed when there are none
 * for a minute. A pool of their own: what is slow there must keep nothing else waiting. They read only. The usual limit,
 * `statementMillis`, costs no more than the statement itself; others, a transaction.
 */
export const makeDecisionPool = (
  target: DatabaseTarget,
  config: ConnectionConfig,
  statementMillis: number,
  nowMillis: () => number
): Effect.Effect<DecisionPool, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const pool = yield* makeSessionPool(
      poolOptions(target, config, {
        size: connections,
        applicationName: "baton conditions",
        settings: {
          ...displaySettings,
          ...allRowsOrNone,
          ...serverTcpSettings(config),
          statement_timeout: String(Math.ceil(statementMillis)),
          default_transaction_read_only: "on"
        }
      }),
      {
        subject: errorSubject(target),
        acquireTimeoutMillis: acquireMillis(statementMillis),
        queryTimeoutMillis: undefined
      }
    )
    let warmUntilMillis = -Infinity
    const ready = Effect.suspend(() =>
      nowMillis() < warmUntilMillis ? Effect.void : within(pool.query("SELECT"), connectTimeoutMillis, scope)
    ).pipe(
      // All are taken by statements that cannot be ended: the next one finds that out.
      Effect.catch((error) => (error.kind === "pool_timeout" ? Effect.void : Effect.fail(error))),
      Effect.map(() => void (warmUntilMillis = nowMillis() + decisionWarmMillis))
    )
    const query: DecisionPool["query"] = (limitMillis) => (sql, texts) => {
      const parameters = texts.map(arrayLiteral)
      const statement =
        limitMillis === statementMillis
          ? pool.query(sql, parameters)
          : pool.transaction((transaction) => transaction.query(sql, parameters), {
              settings: { statement_timeout: String(Math.ceil(limitMillis)) }
            })
      return within(statement, limitMillis, scope)
    }
    const onceMillis = Effect.suspend(() => {
      const began = nowMillis()
      return within(pool.query(knownWorkSql), connectTimeoutMillis, scope).pipe(
        Effect.ignore,
        Effect.map(() => nowMillis() - began)
      )
    })
    const knownWorkMillis = Effect.flatMap(onceMillis, (millis) =>
      millis <= quickMillis
        ? Effect.succeed(millis)
        : Effect.map(onceMillis, (again) => Math.min(millis, again))
    )
    return { ready, knownWorkMillis, query }
  })

/** Does not wait for the end of what it gives up: that may take as long as it likes. */
const within = <A>(
  effect: Effect.Effect<A, PgError>,
  limitMillis: number,
  scope: Scope.Scope
): Effect.Effect<A, PgError> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkIn(effect, scope, { startImmediately: true })
    return yield* Fiber.join(fiber).pipe(
      Effect.timeoutOrElse({
        duration: limitMillis + decisionGraceMillis,
        orElse: () => Effect.fail(overTime(limitMillis))
      }),
      Effect.ensuring(Effect.forkIn(Fiber.interrupt(fiber), scope))
    )
  })

const overTime = (limitMillis: number): PgError =>
  ownPgError("statement_timeout", `Postgres did not end a statement within ${Math.ceil(limitMillis)} ms.`)

/** A text array as Postgres reads it. */
const arrayLiteral = (texts: ReadonlyArray<string | null>): string =>
  `{${texts.map((text) => (text === null ? "NULL" : `"${text.replace(/[\\"]/g, "\\$&")}"`)).join(",")}}`
