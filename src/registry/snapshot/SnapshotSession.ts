import { Effect } from "effect"
import pg from "pg"
import type { ClientConfig, Submittable } from "pg"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import { columnText, type Tuple } from "../../postgres/Tuple.ts"
import { Transport } from "../../postgres/connection/Transport.ts"
import { MessageFilter, type RowColumn } from "./MessageFilter.ts"
import { type Timers } from "../../shared/Timers.ts"
import { cancelTimeoutMillis } from "../RegistryTimings.ts"

/** Row values as the text that Postgres sent, or null; `undefined` for a statement that gave no rows. */
type TextRows = ReadonlyArray<ReadonlyArray<string | null>> | undefined

/** What happens while a query runs; called in this order, never again after `onEnd`. */
interface RowHandlers {
  /** What the rows of a statement are like, before the first of them; there may be none. */
  readonly onColumns?: (columns: ReadonlyArray<RowColumn>, statement: number) => void
  /** `statement` counts the statements of the text from 0. The row is valid during the call only. */
  readonly onRow: (row: Tuple, statement: number) => void
  /** What arrived together has been handed over; more may follow. */
  readonly onBatch: () => void
  /** The query is over; `undefined` when it succeeded. */
  readonly onEnd: (failure: StatementFailure | undefined) => void
}

export interface StatementFailure {
  readonly error: PgError
  /**
   * The server points at a place in the statement: it failed while the statement was read, before any row was looked
   * at, so its text holds nothing but what the statement says.
   */
  readonly pointsAtStatement: boolean
}

/** What a session reads into: as much as the system gives at once. */
export const snapshotReadBytes = 64 * 1024

/** Parts of `pg`'s client and connection that its type declarations leave out. */
interface ClientInternals {
  readonly processID: number | null
  readonly secretKey: number | null
}

/**
 * One Postgres session for reading rows at full speed: `pg` connects, logs in and runs statements; the data rows of
 * statements bypass it. One statement at a time. Speaks the simple protocol only, which every pooler passes on.
 */
export class SnapshotSession {
  /** False once the session is lost or was given up. */
  usable = true
  /** A statement runs whose end has not arrived. */
  busy = false

  readonly timers: Timers
  private readonly options: ClientConfig
  private readonly client: pg.Client
  private readonly classify: (error: unknown) => PgError
  private readonly filter: MessageFilter
  private onBatch: (() => void) | undefined
  /** What ended the session while no statement was running. */
  private lostWith: PgError | undefined
  private gaveUpWith: PgError | undefined
  /** A statement failed, and what Postgres says of the transaction since then has not arrived. */
  private hasFailed = false

  private constructor(
    options: ClientConfig,
    client: pg.Client,
    classify: (error: unknown) => PgError,
    timers: Timers
  ) {
    this.timers = timers
    this.options = options
    this.client = client
    this.classify = classify
    const { stream } = client.connection
    const readers = stream.listeners("data") as unknown as ReadonlyArray<(bytes: Buffer) => void>
    this.filter = new MessageFilter((messages) => {
      for (const read of readers) read(messages)
    })
    for (const read of readers) stream.off("data", read)
    const take = (chunk: Buffer): void => {
      try {
        this.filter.feed(chunk)
      } catch (error) {
        stream.destroy(error instanceof Error ? error : new Error(String(error)))
        return
      }
      this.onBatch?.()
    }
    // Nothing of a piece is kept: rows are encoded, and what `pg` is given is read, before `take` is done.
    if (!(stream instanceof Transport) || !stream.readInPlace(take)) stream.on("data", take)
  }

  /** Between transactions. */
  get isIdle(): boolean {
    return !this.hasFailed && this.client.getTransactionStatus() === "I"
  }

  /** In a transaction in which another query can be run. */
  get isInTransaction(): boolean {
    return this.usable && !this.busy && !this.hasFailed && this.client.getTransactionStatus() === "T"
  }

  /** Opens a session. `onLost` is called when it ends for whatever reason. */
  static connect(
    options: ClientConfig,
    classify: (error: unknown) => PgError,
    onLost: (session: SnapshotSession) => void,
    timers: Timers
  ): Effect.Effect<SnapshotSession, PgError> {
    return Effect.callback((resume) => {
      const client = new pg.Client(options)
      let session: SnapshotSession | undefined
      const lost = (error?: unknown) => {
        if (session === undefined) return
        session.usable = false
        if (error !== undefined) session.lostWith ??= classify(error)
        onLost(session)
      }
      // What is running learns of it by itself; without a listener it would end the process.
      client.on("error", lost)
      client.on("end", () => lost())
      client.connect().then(
        () => {
          session = new SnapshotSession(options, client, classify, timers)
          resume(Effect.succeed(session))
        },
        (error: unknown) => {
          client.connection.stream.destroy()
          resume(Effect.fail(classify(error)))
        }
      )
      return Effect.sync(() => client.connection.stream.destroy())
    })
  }

  /**
   * Runs statements and returns the rows of each. For small results. Interrupting it gives the session up, and so does `bound`, with which it
   * fails then: a timer, where another fiber would cost as much as the statements.
   */
  run(
    sql: string,
    bound?: { readonly millis: number; readonly failure: PgError }
  ): Effect.Effect<ReadonlyArray<TextRows>, PgError> {
    return Effect.callback((resume) => {
      const results: Array<Array<ReadonlyArray<string | null>>> = []
      const stopTimer =
        bound &&
        this.timers.after(bound.millis, () => {
          this.giveUp(bound.failure)
          resume(Effect.fail(bound.failure))
        })
      this.startRows(sql, {
        onRow: (row, statement) => (results[statement] ??= []).push(textOf(row)),
        onBatch: () => {},
        onEnd: (failure) => {
          stopTimer?.()
          resume(failure === undefined ? Effect.succeed(results) : Effect.fail(failure.error))
        }
      })
      return Effect.sync(() => {
        stopTimer?.()
        this.giveUp()
      })
    })
  }

  /** Starts statements, separated by semicolons, some of which return rows. */
  startRows(sql: string, handlers: RowHandlers): void {
    let statement = 0
    const end = (failure: StatementFailure | undefined) => {
      if (!this.busy) return
      this.busy = false
      this.hasFailed = failure !== undefined
      this.filter.onRow = undefined
      this.filter.onColumns = undefined
      this.onBatch = undefined
      handlers.onEnd(failure)
    }
    // The methods that `pg` calls on the query that is running.
    const query: Submittable & Record<string, unknown> = {
      submit: (connection) => connection.query(sql),
      handleCommandComplete: () => {
        statement++
      },
      handleEmptyQuery: () => {},
      handleReadyForQuery: () => end(undefined),
      handleError: (error: unknown) =>
        end({
          error: this.gaveUpWith ?? this.classify(error),
          pointsAtStatement: (error as { readonly position?: string }).position !== undefined
        })
    }
    if (!this.usable) {
      const error = this.loss()
      return queueMicrotask(() => handlers.onEnd({ error, pointsAtStatement: false }))
    }
    this.busy = true
    this.filter.onRow = (row) => handlers.onRow(row, statement)
    this.filter.onColumns = (columns) => handlers.onColumns?.(columns, statement)
    this.onBatch = handlers.onBatch
    this.client.query(query)
  }

  private loss(): PgError {
    return (
      this.gaveUpWith ??
      this.lostWith ??
      ownPgError("connection_closed", "The connection to the database was closed.")
    )
  }

  /** Stops reading: Postgres is made to wait as soon as the buffers in between are full. */
  pause(): void {
    this.client.connection.stream.pause()
  }

  resume(): void {
    this.client.connection.stream.resume()
  }

  /**
   * Ends the session at once. A running statement is cancelled in Postgres too, on a connection of its own; here it fails
   * with `reason`.
   */
  giveUp(reason?: PgError): void {
    this.gaveUpWith ??= reason
    if (this.busy && this.usable) this.requestCancel()
    this.usable = false
    this.client.connection.stream.destroy()
  }

  /** Ends an idle session in an orderly way. */
  close(): void {
    this.usable = false
    this.client.end().catch(() => {})
  }

  /** Source: PostgreSQL documentation, "Message Formats", CancelRequest. */
  private requestCancel(): void {
    const { processID, secretKey } = this.client as unknown as ClientInternals
    const stream = this.options.stream?.()
    if (stream === undefined || processID === null || secretKey === null) return
    const request = Buffer.alloc(16)
    request.writeInt32BE(16, 0)
    request.writeInt32BE(80877102, 4)
    request.writeInt32BE(processID, 8)
    request.writeInt32BE(secretKey, 12)
    const stopTimer = this.timers.after(cancelTimeoutMillis, () => stream.destroy())
    stream.on("error", () => {})
    stream.on("close", stopTimer)
    stream.resume()
    stream.end(request)
  }
}

const textOf = (row: Tuple): ReadonlyArray<string | null> => {
  const values: Array<string | null> = []
  for (let i = 0; i < row.columnCount; i++) values.push(columnText(row, i))
  return values
}
