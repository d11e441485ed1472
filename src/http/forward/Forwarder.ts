import type { Agent, ClientRequest, IncomingMessage } from "node:http"
import { Effect, type Scope } from "effect"
import { ShapeReadError } from "../../storage/ShapeLogs.ts"
import { failingWith } from "../../shared/Pieces.ts"
import { currentTimers } from "../../shared/Timers.ts"
import { forwardConnectMillis } from "../HttpTimings.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"
import { splitTarget } from "../request/Route.ts"
import type { ReplyBody } from "../reply/ApiReply.ts"
import { emptyBody } from "../reply/ApiReply.ts"

/** Says that another instance has handed a request on: it is not handed on again, or it might go round for ever. */
const forwardedBy = "baton-forwarded-by"

/** They are about one connection, and not about the request (RFC 9110, section 7.6.1); those of framing are made anew. */
const ofConnection = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "content-length",
  "expect",
  "host",
  "date"
])

/** What the active instance answers. */
interface Forwarded {
  readonly status: number
  /** Names (lower case) and values in turn. */
  readonly headers: Array<string>
  readonly body: ReplyBody
}

interface ForwardOptions {
  /** Base URL of the active instance, as far as it is known. */
  readonly writerUrl: () => string | undefined
  readonly instanceId: string
  /** An active instance that sends nothing for so long is given up. */
  readonly silenceMillis: number
}

/** Hands requests on to the active instance. */
export interface Forwarder {
  /**
   * The active instance's answer to a request, with `body` read before, as it comes; `undefined` when there is none: nobody is known
   * who could be asked, nobody answers, or another instance has handed it on already. The connection is given up with the scope, so
   * with the client's.
   */
  readonly forward: (
    request: ApiRequest,
    requestId: string,
    body: Uint8Array | undefined
  ) => Effect.Effect<Forwarded | undefined, never, Scope.Scope>
}

const headersFor = (
  request: ApiRequest,
  requestId: string,
  body: Uint8Array | undefined,
  instanceId: string
): Record<string, string> => {
  const headers: Record<string, string> = {}
  const given = request.headers()
  for (const name of Object.keys(given)) if (!ofConnection.has(name)) headers[name] = given[name] ?? ""
  headers["x-request-id"] = requestId
  headers[forwardedBy] = instanceId
  if (body !== undefined) headers["content-length"] = String(body.length)
  return headers
}

const replyHeaders = (response: IncomingMessage): Array<string> => {
  const headers: Array<string> = []
  const { rawHeaders } = response
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase()
    if (!ofConnection.has(name)) headers.push(name, rawHeaders[i + 1] ?? "")
  }
  return headers
}

async function* piecesOf(response: IncomingMessage): AsyncGenerator<Uint8Array> {
  for await (const piece of response as AsyncIterable<Buffer>) yield piece
}

const cut = (cause: unknown) =>
  new ShapeReadError({
    handle: "of the active instance",
    message: `its answer ended too early: ${String(cause)}`
  })

const bodyOf = (method: string, response: IncomingMessage): ReplyBody => {
  const { statusCode: status } = response
  if (method === "HEAD" || status === 204 || status === 304) {
    response.resume()
    return emptyBody
  }
  const length = response.headers["content-length"]
  return {
    _tag: "Stream",
    pieces: () => failingWith(piecesOf(response), cut),
    ...(length === undefined ? {} : { byteLength: Number(length) })
  }
}

/** Path and query at the active instance, as the client has sent them: only the address is ours, whatever form the target has. */
const targetBelow = (url: string, target: string): string | undefined => {
  const { path, query } = splitTarget(target)
  if (!/^\/[\u0021-\u00ff]*$/.test(path)) return undefined
  return `${new URL(url).pathname.replace(/\/$/, "")}${path}${query === "" ? "" : `?${query}`}`
}

/** Failed before anything came of it, on a connection that the other side was about to close: asked once more. */
const wasStale = (request: ClientRequest, error: NodeJS.ErrnoException): boolean =>
  request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE")

export const makeForwarder = (options: ForwardOptions): Effect.Effect<Forwarder, never, Scope.Scope> =>
  Effect.gen(function* () {
    // In this way, because importing `node:http` would read all that it exports (`http/node/Exchange.ts`).
    const http = process.getBuiltinModule("node:http")
    const https = process.getBuiltinModule("node:https")
    const agents = {
      plain: new http.Agent({ keepAlive: true }),
      secure: new https.Agent({ keepAlive: true })
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        agents.plain.destroy()
        agents.secure.destroy()
      })
    )
    const { instanceId, silenceMillis, writerUrl } = options
    const timers = yield* currentTimers

    const send = (
      url: string,
      request: ApiRequest,
      target: string,
      headers: Record<string, string>,
      body: Uint8Array | undefined
    ): Effect.Effect<IncomingMessage | undefined, never, Scope.Scope> => {
      let sent: ClientRequest | undefined
      const isSecure = url.startsWith("https:")
      const agent: Agent = isSecure ? agents.secure : agents.plain
      const attempt = (resume: (response: IncomingMessage | undefined) => void): void => {
        const made = (isSecure ? https : http).request(url, {
          path: target,
          method: request.method,
          agent,
          headers
        })
        sent = made
        // Its own time-out begins with the connection.
        const connected = timers.after(forwardConnectMillis, () =>
          made.destroy(new Error("it is out of reach"))
        )
        made.on("socket", (socket) => {
          if (socket.connecting) socket.once("connect", connected)
          else connected()
        })
        made.on("close", connected)
        made.setTimeout(silenceMillis, () => made.destroy(new Error("it is silent")))
        made.on("response", resume)
        // Also after the answer has begun: then its reader meets the same error, and this changes nothing.
        made.on("error", (error) => (wasStale(made, error) ? attempt(resume) : resume(undefined)))
        made.end(body)
      }
      return Effect.andThen(
        Effect.addFinalizer(() => Effect.sync(() => void sent?.destroy())),
        Effect.callback<IncomingMessage | undefined>((resume) =>
          attempt((response) => resume(Effect.succeed(response)))
        )
      )
    }

    return {
      forward: (request, requestId, body) => {
        const url = writerUrl()
        if (url === undefined || request.header(forwardedBy) !== undefined) return Effect.succeed(undefined)
        const target = targetBelow(url, request.target)
        if (target === undefined) return Effect.succeed(undefined)
        return Effect.map(
          send(url, request, target, headersFor(request, requestId, body, instanceId), body),
          (response) =>
            response === undefined
              ? undefined
              : {
                  status: response.statusCode ?? 502,
                  headers: replyHeaders(response),
                  body: bodyOf(request.method, response)
                }
        )
      }
    }
  })
