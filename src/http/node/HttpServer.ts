import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { readFileSync } from "node:fs"
import type { Server } from "node:http"
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from "node:http2"
import { type AddressInfo, Socket as PlainSocket, type Socket } from "node:net"
import { Context, Effect, Layer, Schema } from "effect"
import { Config, type BatonConfig } from "../../config/BatonConfig.ts"
import { nextRequestMillis } from "../HttpTimings.ts"
import { countRequest } from "./LastReply.ts"
import { createServer, Server as PlainServer } from "./Exchange.ts"
import { makeNodeServing, type NodeHandler, type NodeServing } from "./NodeHandler.ts"
import { connectionLimit, openFilesLimit } from "./OpenFiles.ts"
import { answerParseError, type ParseError } from "../request/ParseErrors.ts"
import { ShapeApi } from "../shape/ShapeApi.ts"
import { currentTimers, nowMillis, type Timers } from "../../shared/Timers.ts"
import { SimpleConnections } from "../simple/SimpleConnections.ts"

/** The service cannot listen: nothing will change until somebody changes the configuration or frees the port. */
export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  /** `portTaken`: another process has it; `certificate`: it or its key cannot be used; `notAllowed`: what the system says. */
  reason: Schema.Literals(["portTaken", "certificate", "notAllowed"]),
  message: Schema.String,
  cause: Schema.Defect()
}) {}

/** Request line and headers together; what is longer is refused by the parser itself. */
const maxHeaderBytes = 64 * 1024
const listenBacklog = 4096

const makeServer = (config: BatonConfig): Server | Http2SecureServer => {
  const options = {
    keepAliveTimeout: config.tcpReadTimeoutMillis,
    headersTimeout: config.tcpReadTimeoutMillis,
    requestTimeout: config.tcpReadTimeoutMillis,
    maxHeaderSize: maxHeaderBytes,
    noDelay: true
  }
  const server: Server | Http2SecureServer =
    config.tlsCertFile === undefined || config.tlsKeyFile === undefined
      ? createServer(options)
      : createSecureServer({
          ...options,
          allowHTTP1: true,
          handshakeTimeout: config.tcpReadTimeoutMillis,
          settings: { maxConcurrentStreams: config.limits.streams },
          cert: readFileSync(config.tlsCertFile),
          key: readFileSync(config.tlsKeyFile)
        })
  const { maxRequestsPerConnection } = config
  if (maxRequestsPerConnection > 0)
    (server as Server).on("request", (request, response) =>
      countRequest(request.socket, request, response, maxRequestsPerConnection)
    )
  return server
}

/** The API on a port of its own. */
export class HttpServer extends Context.Service<
  HttpServer,
  {
    readonly port: number
    /** For people: where the API can be reached from this machine. */
    readonly url: string
    /** Requests whose response is not finished, held ones included. */
    readonly running: () => number
    /**
     * Replies ask their clients to connect elsewhere from now on; running requests go on. Completes when connections that
     * nobody uses have been closed. A connection that has just been used is left alone for a moment: its client may be
     * sending the next request, and gets its answer.
     */
    readonly beginDrain: Effect.Effect<void>
    /** Completes when no request is running. */
    readonly awaitIdle: Effect.Effect<void>
    /** Answers the long polls that wait, as if their time were over. */
    readonly expireHeld: Effect.Effect<void>
  }
>()("baton/http/HttpServer") {
  /**
   * Listens until the scope closes. Closing it stops listening and cuts what is still running, so drain before.
   * With certificate and key in the configuration it speaks HTTP/2, and HTTP/1.1 to clients that cannot.
   */
  static readonly layer = Layer.effect(
    HttpServer,
    Effect.gen(function* () {
      const config = yield* Config
      const api = yield* ShapeApi
      const { arrivedSimply, handler } = yield* makeNodeServing({
        sendTimeoutMillis: config.tcpSendTimeoutMillis,
        pipelinedRequests: config.limits.pipelinedRequests
      })
      const secure = config.tlsCertFile !== undefined && config.tlsKeyFile !== undefined
      const server = yield* Effect.try({
        try: () => makeServer(config),
        catch: (error) =>
          new ListenError({
            reason: "certificate",
            cause: error,
            message:
              "The certificate or key of BATON_TLS_CERT_FILE and BATON_TLS_KEY_FILE cannot be used: " +
              `${error instanceof Error ? error.message : String(error)}. The service cannot start without them.`
          })
      })
      const { connections: most, problem } = connectionLimit(config, openFilesLimit())
      if (problem !== undefined) yield* reportFault("BATON-REQUEST-CONNECTIONS", problem)
      server.maxConnections = most
      const closeSessions = trackSessions(server, handler, config.tcpReadTimeoutMillis)
      const simple =
        server instanceof PlainServer
          ? takeSimple(server, config, yield* currentTimers, arrivedSimply)
          : undefined
      const address = yield* listen(server, config)

      yield* Effect.addFinalizer(() =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          closeSessions("all")
          simple?.closeAll()
        })
      )
      const host = address.family === "IPv6" ? "[::1]" : "127.0.0.1"
      return {
        port: address.port,
        url: `${secure ? "https" : "http"}://${host}:${address.port}`,
        running: handler.running,
        beginDrain: Effect.gen(function* () {
          yield* api.beginDrain
          closeSessions("afterTheirRequests")
          const until = (yield* nowMillis) + nextRequestMillis
          while ((yield* nowMillis) < until && (yield* connections(server)) > 0) yield* Effect.sleep(10)
          closeSessions("idle")
          simple?.closeIdle()
        }),
        awaitIdle: handler.awaitIdle,
        expireHeld: Effect.sync(handler.expireHeld)
      }
    })
  )
}

const connections = (server: Server | Http2SecureServer): Effect.Effect<number> =>
  Effect.callback((resume) => {
    server.getConnections((error, count) => resume(Effect.succeed(error === null ? count : 0)))
  })

/** Puts simple connections before those of Node's server: it gets what is none, or is none any more. */
const takeSimple = (
  server: Server,
  config: BatonConfig,
  timers: Timers,
  arrivedSimply: NodeServing["arrivedSimply"]
): SimpleConnections => {
  const { limits, maxRequestsPerConnection, tcpReadTimeoutMillis } = config
  const nodes = server.listeners("connection")
  const giveAway = (socket: unknown) => {
    for (const listener of nodes) listener.call(server, socket)
  }
  const simple = new SimpleConnections({
    timers,
    idleMillis: tcpReadTimeoutMillis,
    pipelinedRequests: limits.pipelinedRequests,
    arrived: (request, response) => {
      if (maxRequestsPerConnection > 0)
        countRequest(response.socket, request, response, maxRequestsPerConnection)
      arrivedSimply(request, response)
    },
    giveAway
  })
  server.removeAllListeners("connection")
  server.on("connection", (socket: unknown) => {
    // What stands in for a connection, see `answerParseError`, is Node's from the beginning.
    if (socket instanceof PlainSocket) simple.take(socket)
    else giveAway(socket)
  })
  return simple
}

/** Connects handler and server. Returns what closes HTTP/2 sessions after their requests, idle connections, or everything. */
const trackSessions = (
  server: Server | Http2SecureServer,
  handler: NodeHandler,
  idleMillis: number
): ((which: "afterTheirRequests" | "idle" | "all") => void) => {
  const emitter: Pick<Server, "on"> = server as Server
  emitter.on("request", handler)
  // What else a client expects of us than to go on is no reason to send it away.
  emitter.on("checkExpectation", handler)
  const plain = server instanceof PlainServer ? server : undefined
  emitter.on("clientError", (error: ParseError, socket: Socket) => answerParseError(error, socket, plain))
  const sessions = new Set<ServerHttp2Session>()
  const sockets = new Set<Socket>()
  emitter.on("session", (session: ServerHttp2Session) => {
    sessions.add(session)
    session.once("close", () => sessions.delete(session))
    let open = 0
    session.on("stream", (stream) => {
      open++
      stream.once("close", () => open--)
    })
    // As with HTTP/1.1: a connection without a request does not stay for ever.
    session.setTimeout(idleMillis, () => {
      if (open === 0) session.close()
    })
  })
  emitter.on("secureConnection", (socket: Socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  return (which) => {
    for (const session of sessions) {
      if (which === "all") session.destroy()
      else session.close() // tells the client to make a new connection; open streams go on
    }
    if (which === "afterTheirRequests") return
    // The secure server has fewer of these; what it lacks is done by hand.
    const { closeIdleConnections, closeAllConnections }: Partial<Server> = server as Partial<Server>
    if (which === "idle") closeIdleConnections?.call(server as Server)
    else if (closeAllConnections !== undefined) closeAllConnections.call(server as Server)
    else for (const socket of sockets) socket.destroy()
  }
}

/** Why the service cannot listen, and what to do. */
export const listenError = (config: BatonConfig, error: NodeJS.ErrnoException): ListenError => {
  const why =
    error.code === "EADDRINUSE"
      ? "another process listens there already; stop it, or set ELECTRIC_PORT to a free port"
      : error.code === "ENOTSUP" && config.httpWorkers > 0
        ? "this system cannot share a port between processes; unset BATON_HTTP_WORKERS"
        : error.message
  return new ListenError({
    reason: error.code === "EADDRINUSE" ? "portTaken" : "notAllowed",
    cause: error,
    message: `Cannot listen on port ${config.port} of ${config.listenHost}: ${why}.`
  })
}

const listen = (server: Server | Http2SecureServer, config: BatonConfig) =>
  Effect.callback<AddressInfo, ListenError>((resume) => {
    const host = config.listenHost
    const onError = (error: NodeJS.ErrnoException) => resume(Effect.fail(listenError(config, error)))
    server.once("error", onError)
    // The kernel divides new connections among all processes that listen so. Source: socket(7), SO_REUSEPORT.
    server.listen(
      { port: config.port, host, backlog: listenBacklog, reusePort: config.httpWorkers > 0 },
      () => {
        server.off("error", onError)
        resume(Effect.succeed(server.address() as AddressInfo))
      }
    )
  })
