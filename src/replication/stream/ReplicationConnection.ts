import type { Duplex } from "node:stream"
import { Deferred, Effect, type Scope, Semaphore } from "effect"
import type { DatabaseTarget } from "../../config/BatonConfig.ts"
import { duties } from "../../health/Duties.ts"
import { clientOptions, displaySettings, errorSubject } from "../../postgres/connection/ConnectionOptions.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { quoteLiteral } from "../../postgres/Identifiers.ts"
import { startDuty } from "../../shared/Duty.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { currentTimers, type Timers } from "../../shared/Timers.ts"
import { closeSession } from "../connection/CloseSession.ts"
import { applicationName } from "../connection/HolderProtocol.ts"
import {
  idleSessionTimeoutMillis,
  prepareSession,
  type SessionConfig,
  type SessionFacts
} from "../connection/PrepareSession.ts"
import {
  connectTimedOut,
  openSession,
  type ReplicationSession,
  type TextRow
} from "../connection/ReplicationSession.ts"
import { replicationReadBytes } from "../connection/StreamTap.ts"
import * as timings from "../ReplicationTimings.ts"
import { guardEncoding } from "../wire/EncodingGuard.ts"
import { passOver, type PassedOver, type PassOverOptions } from "./PassOver.ts"
import { runStream, statusIntervalMillis, type StreamOptions } from "./RunStream.ts"
import { StatusSender } from "./StatusSender.ts"
import type { StreamPump } from "./StreamPump.ts"

/**
 * One connection in walsender mode: it takes the lock, makes the slot and streams, so that losing it loses all three
 * together. `query` works until `stream` is run, which happens once.
 */
export interface ReplicationConnection {
  /** Identifies the database cluster; differs after it was replaced by another one. */
  readonly systemId: string
  /** Differs after a promotion or a point-in-time recovery. */
  readonly timeline: number
  /** `server_version_num`, e.g. 180004. */
  readonly serverVersion: number
  readonly backendPid: number
  /** In force on this session; 0 when Postgres never ends it for silence. */
  readonly walSenderTimeoutMillis: number
  /** Simple query protocol: no parameters, values as text. Interrupting it destroys the connection. */
  readonly query: (sql: string) => Effect.Effect<ReadonlyArray<TextRow>, PgError>
  /**
   * As `query`, for a command that exports a snapshot: Postgres forgets it with the next statement of this connection, so none
   * is run as a sign of life until it has been there for `snapshotMillis`. Somebody takes it up before that.
   */
  readonly queryExporting: (sql: string) => Effect.Effect<ReadonlyArray<TextRow>, PgError>
  /** Streams until it fails or is interrupted; see `runStream`. */
  readonly stream: (options: StreamOptions) => Effect.Effect<never, PgError>
  /** Reads a transaction without its values, in place of `stream`; see `passOver`. Acknowledges like `stream`. */
  readonly passOver: (
    options: PassOverOptions & { readonly durableLsn: () => Lsn }
  ) => Effect.Effect<PassedOver, PgError>
  /** Tells the stream that `sink.durableLsn()` may have moved. May be called at any time, from anywhere. */
  readonly notifyDurable: () => void
  /** Asks the server how far it has sent everything: a keepalive answers. Nothing before the stream runs. */
  readonly askForPosition: () => void
  /** What is heard on the stream; of a connection that does not stream, nothing. */
  readonly hearing: () => StreamHearing
  /** Fails when the connection is lost; never succeeds. */
  readonly closed: Effect.Effect<never, PgError>
  /**
   * Acknowledges what is durable and closes. Postgres frees lock and slot within milliseconds. Safe to call twice, and
   * done by the scope if not before.
   */
  readonly close: Effect.Effect<void>
}

export interface StreamHearing {
  /** Nothing has come for so long; 0 while we do not listen. */
  readonly silentMillis: number
  /** What has come waits for us for so long; 0 when nothing does. */
  readonly heldMillis: number
  /** Bytes of changes that have come. */
  readonly dataBytes: number
}

export interface ConnectOptions {
  readonly target: DatabaseTarget
  readonly config: SessionConfig
  readonly connectTimeoutMillis?: number
  /** What to speak through instead of a connection to `target`. */
  readonly socket?: (() => Duplex) | undefined
}

/** Waiting for the lock and creating the slot may take hours; limits that a role or database has would cut them off. */
const neverCancelled: Readonly<Record<string, string>> = {
  statement_timeout: "0",
  lock_timeout: "0",
  idle_in_transaction_session_timeout: "0"
}

/**
 * Opens a walsender connection and prepares it for lock and stream. Fails within `connectTimeoutMillis` (30 s) when the
 * server cannot be reached; interrupting it at any moment leaves nothing behind.
 *
 * The session is set up so that Postgres itself ends it when this process is gone or frozen, whatever the session is
 * doing at that moment; `docs/lock.md` lists which setting covers which case.
 */
export const connect = (
  options: ConnectOptions
): Effect.Effect<ReplicationConnection, PgError, Scope.Scope> =>
  Effect.gen(function* () {
    const connectTimeoutMillis = options.connectTimeoutMillis ?? timings.connectTimeoutMillis
    const subject = errorSubject(options.target)
    const session = yield* openSession({
      client: {
        ...clientOptions(options.target, options.config, {
          applicationName,
          settings: { ...displaySettings, ...neverCancelled },
          readBufferBytes: replicationReadBytes
        }),
        ...(options.socket === undefined ? {} : { stream: options.socket })
      },
      subject,
      connectTimeoutMillis
    })
    const statements = new Statements(session, yield* Semaphore.make(1), yield* currentTimers)
    yield* Effect.addFinalizer(() => statements.close)
    const closed = yield* Deferred.make<never, PgError>()
    session.onFailure((failure) => Deferred.doneUnsafe(closed, Effect.fail(failure)))
    const facts = yield* Effect.timeoutOrElse(prepareSession(statements.query, options.config), {
      duration: connectTimeoutMillis,
      orElse: () => Effect.fail(connectTimedOut(subject))
    })
    yield* startDuty(duties.replicationHeartbeat, statements.heartbeat)
    return {
      ...facts,
      backendPid: session.backendPid,
      query: statements.query,
      queryExporting: (sql) =>
        Effect.tap(statements.query(sql), () =>
          Effect.sync(() => statements.stayStill(snapshotMillis(facts.walSenderTimeoutMillis)))
        ),
      stream: (streamOptions) => statements.stream(facts, streamOptions),
      passOver: (passOptions) => statements.passOver(facts, passOptions),
      notifyDurable: () => statements.status?.notify(),
      askForPosition: () => statements.status?.ask(),
      hearing: () => statements.hearing,
      closed: Deferred.await(closed),
      close: statements.close
    }
  })

/** How long a snapshot that a session exports can be taken up: for most of what the session may be silent. */
const snapshotMillis = (walSenderTimeoutMillis: number): number => {
  const allowedMillis = idleSessionTimeoutMillis(walSenderTimeoutMillis)
  return allowedMillis === 0 ? timings.snapshotMillis : Math.min(timings.snapshotMillis, 0.75 * allowedMillis)
}

/** What goes on in a session: one thing after the other, a stream in the end, and a sign of life until then. */
class Statements {
  /** Of the stream; from then on there are no more statements. */
  status: StatusSender | undefined
  private pump: StreamPump | undefined
  private readonly session: ReplicationSession
  private readonly turn: Semaphore.Semaphore
  private readonly timers: Timers
  private usedAtMillis: number
  /** Signs of life wait until then: they would take an exported snapshot away. */
  private stillUntilMillis = 0
  private isBusy = false

  constructor(session: ReplicationSession, turn: Semaphore.Semaphore, timers: Timers) {
    this.session = session
    this.turn = turn
    this.timers = timers
    this.usedAtMillis = timers.nowMillis()
  }

  readonly query: ReplicationConnection["query"] = (sql) =>
    Effect.suspend(() =>
      this.status === undefined
        ? this.turn.withPermits(1)(this.run(sql))
        : Effect.die(new Error("A streaming replication connection takes no statements"))
    )

  stayStill(forMillis: number): void {
    this.stillUntilMillis = this.timers.nowMillis() + forMillis
  }

  private run(sql: string) {
    return Effect.suspend(() => {
      this.isBusy = true
      return this.session.query(sql)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          this.isBusy = false
          this.usedAtMillis = this.timers.nowMillis()
        })
      )
    )
  }

  stream(
    { isRaw, walSenderTimeoutMillis }: SessionFacts,
    options: StreamOptions
  ): Effect.Effect<never, PgError> {
    const guarded = isRaw ? { ...options, sink: guardEncoding(options.sink) } : options
    return this.turn.withPermits(1)(
      runStream(this.session, walSenderTimeoutMillis, guarded, (pump) => {
        this.status = pump.status
        this.pump = pump
      })
    )
  }

  get hearing(): StreamHearing {
    const { pump } = this
    return {
      silentMillis: pump?.silentMillis() ?? 0,
      heldMillis: pump?.heldMillis() ?? 0,
      dataBytes: pump?.dataBytes ?? 0
    }
  }

  passOver(
    { encoding, walSenderTimeoutMillis }: SessionFacts,
    { durableLsn, ...options }: Parameters<ReplicationConnection["passOver"]>[0]
  ): Effect.Effect<PassedOver, PgError> {
    const { session } = this
    return this.turn.withPermits(1)(
      Effect.gen({ self: this }, function* () {
        yield* session.query(`SET client_encoding = ${quoteLiteral(encoding)}`)
        const sender = new StatusSender(
          this.timers,
          (frame) => void (session.stream.writable && session.stream.write(frame)),
          durableLsn,
          () => session.destroy(),
          options.shift
        )
        this.status = sender
        sender.start(statusIntervalMillis(walSenderTimeoutMillis))
        return yield* passOver(session, sender, options)
      })
    )
  }

  /** Ends when the connection streams or is lost. */
  get heartbeat(): Effect.Effect<void> {
    const { heartbeatMillis, othersTurnMillis } = timings
    const idleMillis = () => this.timers.nowMillis() - this.usedAtMillis
    const waitMillis = () =>
      Math.max(heartbeatMillis - idleMillis(), this.stillUntilMillis - this.timers.nowMillis())
    return Effect.gen({ self: this }, function* () {
      while (this.status === undefined) {
        const millis = waitMillis()
        if (millis > 0) yield* Effect.sleep(millis)
        else {
          yield* this.turn.withPermitsIfAvailable(1)(this.run("SELECT"))
          // Somebody else has the turn: what that one does is a sign of life as well.
          if (idleMillis() >= heartbeatMillis) yield* Effect.sleep(othersTurnMillis)
        }
      }
    }).pipe(Effect.ignore)
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => closeSession(this.session, this.timers, this.lastStatus(), this.isBusy))
  }

  /** The last status update; none when the sink cannot say what is durable, which is safe. */
  private lastStatus(): Buffer | undefined {
    try {
      return this.status?.encode(false)
    } catch {
      return undefined
    }
  }
}
