import { Effect, type Scope } from "effect"
import { bodyPieces } from "../http/reply/ApiReply.ts"
import type { ApiRequest } from "../http/request/ApiRequest.ts"
import { OperatorDoor, type OperatorReply } from "../http/shape/OperatorDoor.ts"
import { pause, systemTimers } from "../shared/Timers.ts"
import type { MainLink } from "./MainLink.ts"
import type { Answers } from "./WorkerProtocol.ts"
import { operatorLookMillis } from "./WorkerTimings.ts"

type Operated = Answers["Operate"]

/** A stream, as a process sees it that is given one event at a time: the event is asked for with this in the query. */
const once = "once=true"

/** Asks for the request's answer, with those headers that it depends on. */
const ask = (main: MainLink, request: Pick<ApiRequest, "method" | "header">, target: string) => {
  const headers: Record<string, string> = {}
  for (const name of [
    "authorization",
    "accept-encoding",
    "if-none-match",
    "sec-fetch-site",
    "x-baton-page"
  ]) {
    const value = request.header(name)
    if (value !== undefined) headers[name] = value
  }
  return main.ask({ _tag: "Operate", method: request.method, target, headers })
}

const silent: OperatorReply = {
  status: 503,
  headers: [
    "content-type",
    "application/json; charset=utf-8",
    "cache-control",
    "no-store",
    "retry-after",
    "2"
  ],
  body: {
    _tag: "Text",
    text: '{"error":"unavailable","message":"The main process does not answer. Try again."}'
  }
}

const mostStreams = 50
const tooMany: OperatorReply = {
  ...silent,
  body: { _tag: "Text", text: '{"error":"too-many","message":"Too many pages look at this instance."}' }
}

const bytesReply = ({ body, headers, status }: Operated): OperatorReply => ({
  status,
  headers: [...headers],
  body: { _tag: "Bytes", pieces: [body], byteLength: body.length }
})

/** Gives what is for operators to the main process, which knows it, and its answers to them; as long as the scope is open. */
export const passOperator = (main: MainLink): Effect.Effect<void, never, OperatorDoor | Scope.Scope> =>
  Effect.flatMap(OperatorDoor, (door) => {
    let streams = 0
    const draining = new AbortController()
    const handle = (request: ApiRequest): Effect.Effect<OperatorReply> => {
      const isLive = /^\/+baton\/+api\/+live(?:\?|$)/.test(request.target)
      const target = isLive
        ? `${request.target}${request.target.includes("?") ? "&" : "?"}${once}`
        : request.target
      const asked = Effect.orElseSucceed(ask(main, request, target), () => undefined)
      return Effect.flatMap(asked, (answer) => {
        if (answer === undefined) return Effect.succeed(silent)
        if (!isLive || answer.status !== 200) return Effect.succeed(bytesReply(answer))
        if (streams >= mostStreams) return Effect.succeed(tooMany)
        return Effect.map(Effect.context<never>(), (context): OperatorReply => {
          const next = Effect.runPromiseWith(context)
          return {
            status: 200,
            headers: [...answer.headers],
            body: {
              _tag: "Stream",
              pieces: async function* () {
                let event: Operated | undefined = answer
                streams++
                try {
                  while (event?.status === 200 && !draining.signal.aborted) {
                    yield Buffer.from(event.body)
                    await pause(systemTimers, operatorLookMillis)
                    event = await next(asked)
                  }
                } finally {
                  streams--
                }
              }
            }
          }
        })
      })
    }
    return door.open({ handle, drain: () => draining.abort() })
  })

/** The reply whole, for a worker; of a stream the beginning, which ends by itself where it was asked for `once`. */
export const operatedOf = (reply: OperatorReply): Effect.Effect<Operated> =>
  Effect.map(
    Effect.tryPromise({ try: () => wholeBody(reply), catch: () => undefined }).pipe(
      Effect.orElseSucceed(() => Buffer.alloc(0))
    ),
    (body): Operated => ({ _tag: "Operated", status: reply.status, headers: reply.headers, body })
  )

const wholeBody = async ({ body }: OperatorReply): Promise<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for await (const piece of bodyPieces(body)) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}
