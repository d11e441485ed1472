import type { Duplex } from "node:stream"
import { Deferred, Effect, type Scope, Semaphore } from "effect"
import { duties } from "../../health/Duties.ts"
import { startDuty } from "../../shared/Duty.ts"
import type { BatonConfig, DatabaseTarget } from "../../config/BatonConfig.ts"
import {
  clientOptions,
  type ConnectionConfig,
  displaySettings,
  errorSubject,
  serverTcpSettings
} from "../../postgres/connection/ConnectionOptions.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { applicationName, heartbeatMillis } from "../connection/HolderProtocol.ts"
import { quoteLiteral } from "../../postgres/Identifiers.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { guardEncoding } from "../wire/EncodingGuard.ts"
import { passOver, type PassedOver, type PassOverOptions } from "./PassOver.ts"
import {
  connectTimedOut,
  openSession,
  type ReplicationSession,
  type TextRow
} from "../connection/ReplicationSession.ts"
import { runStream, statusIntervalMillis, type StreamOptions } from "./RunStream.ts"
import { StatusSender } from "./StatusSender.ts"
import { currentTimers, type Timers } from "../../shared/Timers.ts"

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
  /** Streams until it fails or is interrupted; see `runStream`. */
  readonly stream: (options: StreamOptions) => Effect.Effect<never, PgError>
  /** Reads a transaction without its values, in place of `stream`; see `passOver`. Acknowledges like `stream`. */
  readonly passOver: (
    options: PassOverOptions & { readonly durableLsn: () => Lsn }
  ) => Effect.Effect<PassedOver, PgError>
  /** Tells the stream that `sink.durableLsn()` may have moved. May be called at any time, from anywhere. */
  readonly notifyDurable: () => void
  /** Fails when the connection is lost; never succeeds. */
  readonly closed: Effect.Effect<never, PgError>
  /**
   * Acknowledges what is durable and closes. Postgres frees lock and slot within milliseconds. Safe to call twice, and
   * done by the scope if not before.
   */
  readonly close: Effect.Effect<void>
}

export interface ConnectOptions {
  readonly target: DatabaseTarget
  readonly config: ConnectionConfig & Pick<BatonConfig, "walSenderTimeoutMillis">
  readonly connectTimeoutMillis?: number
  /** What to speak through instead of a connection to `target`. */
  readonly socket?: (() => Duplex) | undefined
}

const defaultConnectTimeoutMillis = 30_000

/** How long `close` waits for a silent server to hang up, and how often it looks whether it is silent. */
const closeGraceMillis = 250
const closeWindowMillis = 5

const terminate = Buffer.from([0x58, 0, 0, 0, 4]) // X

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
    const connectTimeoutMillis = options.connectTimeoutMillis ?? defaultConnectTimeoutMillis
    const subject = errorSubject(options.target)
    const session = yield* openSession({
      client: {
        ...clientOptions(options.target, options.config, {
          applicationName,
          settings: { ...displaySettings, ...neverCancelled }
        }),
        ...(options.socket === undefined ? {} : { stream: options.socket })
      },
      subject,
      connectTimeoutMillis
    })
    const turn = yield* Semaphore.make(1)
    const timers = yield* currentTimers
    let usedAtMillis = timers.nowMillis()
    let busy = false
    let status: StatusSender | undefined

    const run = (sql: string) =>
      Effect.suspend(() => {
        busy = true
        return session.query(sql)
      }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            busy = false
            usedAtMillis = timers.nowMillis()
          })
        )
      )
    const query = (sql: string) =>
      Effect.suspend(() =>
        status === undefined
          ? turn.withPermits(1)(run(sql))
          : Effect.die(new Error("A streaming replication connection takes no statements"))
      )

    const stream = (streamOptions: StreamOptions) =>
      turn.withPermits(1)(
        runStream(
          session,
          facts.walSenderTimeoutMillis,
          facts.isRaw ? { ...streamOptions, sink: guardEncoding(streamOptions.sink) } : streamOptions,
          (started) => (status = started.status)
        )
      )

    const passOverNow: ReplicationConnection["passOver"] = ({ durableLsn, ...passOptions }) =>
      turn.withPermits(1)(
        Effect.gen(function* () {
          yield* session.query(`SET client_encoding = ${quoteLiteral(facts.encoding)}`)
          const sender = new StatusSender(
            timers,
            (frame) => void (session.stream.writable && session.stream.write(frame)),
            durableLsn,
            () => session.destroy()
          )
          status = sender
          sender.start(statusIntervalMillis(facts.walSenderTimeoutMillis))
          return yield* passOver(session, sender, passOptions)
        })
      )

    /** The last status update; none when the sink cannot say what is durable, which is safe. */
    const lastStatus = (): Buffer | undefined => {
      try {
        return status?.encode(false)
      } catch {
        return undefined
      }
    }
    const close = Effect.suspend(() => closeSession(session, timers, lastStatus(), busy))
    yield* Effect.addFinalizer(() => close)

    const closed = yield* Deferred.make<never, PgError>()
    session.onFailure((failure) => Deferred.doneUnsafe(closed, Effect.fail(failure)))

    const facts = yield* Effect.timeoutOrElse(prepare(query, options), {
      duration: connectTimeoutMillis,
      orElse: () => Effect.fail(connectTimedOut(subject))
    })
    yield* startDuty(
      duties.replicationHeartbeat,
      heartbeat(
        turn.withPermitsIfAvailable(1)(run("SELECT")),
        () => timers.nowMillis() - usedAtMillis,
        () => status !== undefined
      )
    )
    return {
      ...facts,
      backendPid: session.backendPid,
      query,
      stream,
      passOver: passOverNow,
      notifyDurable: () => status?.notify(),
      closed: Deferred.await(closed),
      close
    }
  })

/** Waiting for the lock and creating the slot may take hours; limits that a role or database has would cut them off. */
const neverCancelled: Readonly<Record<string, string>> = {
  statement_timeout: "0",
  lock_timeout: "0",
  idle_in_transaction_session_timeout: "0"
}

interface SessionFacts {
  readonly systemId: string
  readonly timeline: number
  readonly serverVersion: number
  readonly walSenderTimeoutMillis: number
  /** Of the database, as Postgres names it. */
  readonly encoding: string
  /** Text comes as it is stored, in whatever encoding that may be. */
  readonly isRaw: boolean
}

type Query = ReplicationConnection["query"]

const prepare = Effect.fnUntraced(function* (query: Query, { config }: ConnectOptions) {
  const [system] = yield* query("IDENTIFY_SYSTEM")
  const configured = config.walSenderTimeoutMillis
  if (configured !== undefined) yield* query(`SET wal_sender_timeout = ${configured}`)
  const [server] = yield* query(
    "SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding, " +
      "(SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout') AS timeout"
  )
  const facts: SessionFacts = {
    systemId: system?.["systemid"] ?? "",
    timeline: Number(system?.["timeline"]),
    serverVersion: Number(server?.["version"]),
    walSenderTimeoutMillis: Number(server?.["timeout"]),
    encoding: server?.["encoding"] ?? "UTF8",
    isRaw: server?.["encoding"] === "SQL_ASCII"
  }
  // Postgres would refuse to give out what is not UTF-8, and with it everything behind it.
  if (facts.isRaw) yield* query("SET client_encoding = 'SQL_ASCII'")
  yield* endWithoutClient(query, facts, config)
  return facts
})

/**
 * Makes Postgres end this session when its client is gone (`client_connection_check_interval` while a statement runs,
 * TCP keepalives of the server's end while none does) or frozen (`idle_session_timeout` until it streams,
 * `wal_sender_timeout` from then on). A server that does not know or allow one of them is served without it.
 */
const endWithoutClient = Effect.fnUntraced(function* (
  query: Query,
  facts: SessionFacts,
  config: ConnectionConfig
) {
  const settings = {
    client_connection_check_interval: "500",
    idle_session_timeout: String(idleSessionTimeoutMillis(facts.walSenderTimeoutMillis)),
    // PG 17; counts while waiting for the lock as well.
    ...(facts.serverVersion >= 170_000 ? { transaction_timeout: "0" } : {}),
    tcp_keepalives_idle: "10",
    tcp_keepalives_interval: "5",
    tcp_keepalives_count: "3",
    ...serverTcpSettings(config)
  }
  const statements = Object.entries(settings).map(([name, value]) => `SET ${name} = ${value}`)
  yield* Effect.catch(query(statements.join("; ")), () =>
    Effect.forEach(statements, (statement) =>
      Effect.catch(Effect.asVoid(query(statement)), (error) =>
        error.unreachable
          ? Effect.fail(error)
          : Effect.logWarning(
              `Postgres refuses "${statement}" on the replication connection, so it may notice late when this process ` +
                `is gone. Everything else works. ${error.message}`
            )
      )
    )
  )
})

/** As long as `wal_sender_timeout`, so that one bound holds before and while streaming; 0 is "never" for both. */
const idleSessionTimeoutMillis = (walSenderTimeoutMillis: number): number =>
  walSenderTimeoutMillis === 0 ? 0 : Math.max(walSenderTimeoutMillis, 2 * heartbeatMillis)

/** Ends when the connection streams or is lost. */
const heartbeat = (
  beat: Effect.Effect<unknown, PgError>,
  idleMillis: () => number,
  streaming: () => boolean
): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (!streaming()) {
      const waitMillis = heartbeatMillis - idleMillis()
      if (waitMillis > 0) yield* Effect.sleep(waitMillis)
      else {
        yield* beat
        // Somebody else has the turn: what that one does is a sign of life as well.
        if (idleMillis() >= heartbeatMillis) yield* Effect.sleep(100)
      }
    }
  }).pipe(Effect.ignore)

/**
 * Says goodbye and waits for the server to hang up: by then it has read the last acknowledgement and freed the lock. A
 * server that goes on sending (a large transaction) would read the goodbye only after all of it, but notices at once
 * that its peer is gone; one that waits for a lock is not reading at all. Those connections are dropped.
 */
const closeSession = (
  session: ReplicationSession,
  timers: Timers,
  lastStatus: Buffer | undefined,
  busy: boolean
): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const { stream, tap } = session
    if (stream.destroyed) return resume(Effect.void)
    if (busy) {
      stream.once("close", () => resume(Effect.void))
      stream.destroy()
      return undefined
    }
    let windows = 0
    let windowsWithData = 0
    let sawData = false
    tap.attach(() => (sawData = true))
    const stopTimer = timers.every(closeWindowMillis, () => {
      windowsWithData = sawData ? windowsWithData + 1 : 0
      sawData = false
      if (windowsWithData === 2 || ++windows * closeWindowMillis >= closeGraceMillis) stream.destroy()
    })
    stream.once("close", () => {
      stopTimer()
      resume(Effect.void)
    })
    stream.resume()
    stream.end(lastStatus === undefined ? terminate : Buffer.concat([lastStatus, terminate]))
    return Effect.sync(() => stream.destroy())
  })
