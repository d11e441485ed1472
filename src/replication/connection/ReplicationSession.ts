import { Duration, Effect, type Scope } from "effect"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Client, ClientConfig } from "pg"
import { LogicalReplicationService, PgoutputPlugin } from "pg-logical-replication"
import { classifyPgError } from "../../postgres/errors/ClassifyPgError.ts"
import type { ErrorSubject } from "../../postgres/errors/ExplainPgError.ts"
import { ownPgError, type PgError } from "../../postgres/errors/PgError.ts"
import { StreamTap } from "./StreamTap.ts"

/** A row of an answer in the simple query protocol: every value as the text that Postgres sent. */
export type TextRow = Readonly<Record<string, string | null>>

/** One walsender connection, as far as bytes and statements go. */
export interface ReplicationSession {
  readonly backendPid: number
  readonly stream: Duplex
  readonly tap: StreamTap
  /** Why the connection cannot be used any more; `undefined` while it can. */
  readonly failure: () => PgError | undefined
  /** Calls `listener` once when the connection cannot be used any more, at once if that is so already. */
  readonly onFailure: (listener: (failure: PgError) => void) => void
  /** Runs statements. One at a time. Interrupting it destroys the connection: nothing else ends a wait at once. */
  readonly query: (sql: string) => Effect.Effect<ReadonlyArray<TextRow>, PgError>
  /** Sends START_REPLICATION. Whatever ends that command is a failure of the connection. */
  readonly startReplication: (sql: string) => void
  /** Drops the connection without a word to the server. */
  readonly destroy: () => void
}

/**
 * `pg-logical-replication` connects and hands the connection over by calling `start` of its plugin. From there on this
 * service runs its own steps on it (lock, slot, START_REPLICATION) and reads the stream itself: the package's way of
 * passing on messages cannot stop in the middle of a chunk, and lets exceptions out of the socket's event handler.
 */
class OwnStepsPlugin extends PgoutputPlugin {
  private readonly steps: (client: Client) => Promise<void>

  constructor(steps: (client: Client) => Promise<void>) {
    super({ protoVersion: 1, publicationNames: [] })
    this.steps = steps
  }

  override start(client: Client): Promise<void> {
    return this.steps(client)
  }
}

interface OpenOptions {
  /** How to connect; the caller's `types`, `stream` of its own included. `replication` is added here. */
  readonly client: ClientConfig
  /** Names the database in messages. */
  readonly subject: ErrorSubject
  readonly connectTimeoutMillis: number
}

const textOnly = { getTypeParser: () => (value: string | Buffer) => value }

/**
 * Opens a walsender connection: name resolution, TLS and login included, within `connectTimeoutMillis`. Interrupting it
 * at any moment, or closing the scope, leaves nothing behind on this side.
 */
export const openSession = (options: OpenOptions): Effect.Effect<ReplicationSession, PgError, Scope.Scope> =>
  Effect.gen(function* () {
    // Registered before anything is under way, so that no interruption can come in between.
    const stream = yield* Effect.acquireRelease(
      Effect.sync(() => options.client.stream?.() ?? new Socket()),
      (opened) => Effect.sync(() => opened.destroy())
    )
    return yield* Effect.timeoutOrElse(open(options, stream), {
      duration: Duration.millis(options.connectTimeoutMillis),
      orElse: () => Effect.fail(connectTimedOut(options.subject))
    })
  })

/** The same failure that the operating system reports when it gives up first. */
export const connectTimedOut = (subject: ErrorSubject): PgError =>
  classifyPgError(Object.assign(new Error("Connection timed out"), { code: "ETIMEDOUT" }), subject)

const open = (options: OpenOptions, stream: Duplex): Effect.Effect<ReplicationSession, PgError> =>
  Effect.callback<ReplicationSession, PgError>((resume) => {
    const classify = (error: unknown) => classifyPgError(error, options.subject)
    const tap = new StreamTap(stream)
    const listeners = new Set<(failure: PgError) => void>()
    let failure: PgError | undefined
    // The package waits for this promise in the place where a plugin would replicate.
    const finished = Promise.withResolvers<void>()

    const fail = (error: unknown): void => {
      if (failure !== undefined) return
      failure = classify(error)
      resume(Effect.fail(failure)) // without effect once the session was handed over
      for (const listener of listeners) listener(failure)
      listeners.clear()
      stream.destroy()
      finished.resolve()
    }

    const service = new LogicalReplicationService(
      {
        ...options.client,
        stream: () => stream,
        types: textOnly,
        connectionTimeoutMillis: 0 // ours covers name resolution and TLS as well
      },
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } }
    )
    service.on("error", fail)
    // The reason, if the server gave one, is on its way through promises; it must win over the bare fact.
    stream.once("close", () => setImmediate(() => fail(new Error("Connection closed"))))
    stream.on("error", () => {}) // `pg` reports it; without a listener before that it would be uncaught

    const plugin = new OwnStepsPlugin((client) => {
      resume(Effect.succeed(sessionOf(client)))
      return finished.promise
    })
    service.subscribe(plugin, "", "0/0").catch(fail)

    const sessionOf = (client: Client): ReplicationSession => ({
      backendPid: processIdOf(client),
      stream,
      tap,
      failure: () => failure,
      onFailure: (listener) => {
        if (failure !== undefined) listener(failure)
        else listeners.add(listener)
      },
      query: (sql) =>
        Effect.callback<ReadonlyArray<TextRow>, PgError>((answer) => {
          if (failure !== undefined) return answer(Effect.fail(failure))
          client.query<Record<string, string | null>>(sql).then(
            (result) => {
              // Several statements give several results; the last one counts.
              const last = Array.isArray(result) ? result.at(-1) : result
              answer(Effect.succeed(last?.rows ?? []))
            },
            (error: unknown) => answer(Effect.fail(classify(error)))
          )
          return Effect.sync(() => stream.destroy())
        }),
      startReplication: (sql) => {
        client.query(sql).then(() => fail(ended()), fail)
      },
      destroy: () => stream.destroy()
    })

    return Effect.sync(() => stream.destroy())
  })

/** Not in the type declarations; sent by the server before it accepts statements. */
const processIdOf = (client: Client): number => {
  const { processID } = client as Client & { readonly processID: number | null }
  return processID ?? 0
}

const ended = (): PgError =>
  ownPgError(
    "database_server_shutting_down",
    "Postgres ended the replication stream, as it does when it shuts down. It is tried again until it succeeds."
  )
