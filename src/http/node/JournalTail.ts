import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Context, Effect, Layer, type Redacted, type Scope } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { makeErrands } from "../../shared/Duty.ts"
import { currentTimers } from "../../shared/Timers.ts"
import { Storage } from "../../storage/Storage.ts"
import { engineShowing } from "../../storage/tail/EngineShowing.ts"
import type { Showing } from "../../storage/tail/Shown.ts"
import { tailPath } from "../../storage/tail/TailFrames.ts"
import { TailSource } from "../../storage/tail/TailSource.ts"
import { destroyResponse, type NodeRequest, type NodeResponse } from "./Exchange.ts"
import { makeSecretCheck } from "../request/Secret.ts"
import { splitTarget } from "../request/Route.ts"
import { answerTail, type Refused } from "../tail/TailRoute.ts"

/**
 * The route by which mirrors are sent the journal. It stands beside the API: it is no request of a client, so it is not counted as
 * one, held to no limit of theirs, has nothing to do with caches or CORS, and no drain waits for it. It ends when the instance has
 * given up its storage.
 */
export class JournalTail extends Context.Service<
  JournalTail,
  {
    /** Takes the request if it is for this route; `target`: its path and query, without the prefix of a host. */
    readonly take: (request: NodeRequest, response: NodeResponse, target: string) => boolean
    /** How many mirrors are sent the journal. */
    readonly mirrors: () => number
  }
>()("baton/http/JournalTail") {
  /** What the engine of this process writes. Without a bucket there is no secret, and so no tail: a directory is shared. */
  static readonly layer = Layer.effect(
    JournalTail,
    Effect.gen(function* () {
      const { bucket } = yield* Config
      const { engine } = yield* Storage
      return yield* makeJournalTail(engineShowing(engine), bucket?.tailSecret)
    })
  )
}

const headersOf = (request: NodeRequest): Readonly<Record<string, string>> => ({
  "content-type": "application/octet-stream",
  "cache-control": "no-store",
  // Tells nginx not to collect it.
  "x-accel-buffering": "no",
  // When it ends, the instance is about to go.
  ...(request.httpVersionMajor === 1 ? { connection: "close" } : {})
})

/** What both protocols' responses do, without the differences of their types. */
type Writer = Pick<Extract<NodeResponse, { readonly shouldKeepAlive: boolean }>, "writeHead" | "end"> & {
  write(bytes: Buffer): boolean
}

const refuse = (response: NodeResponse, { body, headers, status }: Refused): void => {
  const writer = response as Writer
  writer.writeHead(status, { "content-type": "application/json", "cache-control": "no-store", ...headers })
  writer.end(JSON.stringify(body))
}

const openSink = (request: NodeRequest, response: NodeResponse) => {
  const writer = response as Writer
  writer.writeHead(200, headersOf(request))
  return {
    write: (bytes: Buffer) => writer.write(bytes),
    end: () => void writer.end(),
    cut: () => destroyResponse(response)
  }
}

/** Serves the journal that `showing` shows, until the scope closes, to those who know the secret; without one to nobody. */
export const makeJournalTail = (
  showing: Showing,
  secret: Redacted.Redacted<string> | undefined
): Effect.Effect<JournalTail["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = yield* makeErrands
    const source = yield* Effect.acquireRelease(
      Effect.map(
        currentTimers,
        (timers) =>
          new TailSource(showing, timers, (message) =>
            run("A line of the log", reportFault("BATON-TAIL-FAILED", message))
          )
      ),
      (opened) => Effect.sync(() => opened.close())
    )
    const isSecret = secret === undefined ? undefined : makeSecretCheck(secret)
    const take = (request: NodeRequest, response: NodeResponse, target: string): boolean => {
      if (!target.startsWith(tailPath)) return false
      const { path, query } = splitTarget(target)
      if (path !== tailPath || request.method !== "GET") return false
      const { authorization } = request.headers
      const answer = answerTail(source, isSecret, { query, authorization }, () => openSink(request, response))
      if ("status" in answer) refuse(response, answer)
      else {
        response.on("drain", () => answer.drained())
        response.on("close", () => answer.over())
      }
      return true
    }
    return JournalTail.of({ take, mirrors: () => source.mirrors })
  })
