import { Clock, Context, Effect, Layer, Redacted, Scope } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { HealthRef } from "../../health/HealthRef.ts"
import { healthAnswer } from "../../health/HealthState.ts"
import { Inspector } from "../../postgres/catalogue/Inspector.ts"
import { ShapeRegistry } from "../../registry/ShapeRegistry.ts"
import { SubsetReader } from "../../registry/subset/SubsetReader.ts"
import { ShapeLogs } from "../../storage/ShapeLogs.ts"
import { Metrics } from "../../telemetry/Metrics.ts"
import { Admission, type AdmissionClass } from "./Admission.ts"
import type { ApiReply } from "../reply/ApiReply.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"
import type { ApiServices } from "./ApiServices.ts"
import { sseLifetimeMillis } from "./Timings.ts"
import type { Authorize } from "../hook/Authorize.ts"
import { Conditions } from "./Conditions.ts"
import { deleteShape } from "./DeleteShape.ts"
import { failedReply } from "../reply/FailedReply.ts"
import { unauthorized, undecodableQuery, type Failure } from "../reply/Failures.ts"
import { OpenBodies } from "../reply/OpenBodies.ts"
import { openApiDocument } from "../request/OpenApi.ts"
import { redactQuery } from "../request/QueryString.ts"
import type { ParkedEvents, ParkedRequest } from "./ParkedRequest.ts"
import { QueryParser, type ParsedQuery } from "../request/ParsedQuery.ts"
import { readBody } from "./ReadBody.ts"
import { admit, readShape, readShapeNow, refusedNow } from "./ReadShape.ts"
import { CompressedChunks } from "../reply/CompressedChunks.ts"
import { type Cors, corsProblem } from "../reply/Cors.ts"
import { countReply } from "../reply/CountReply.ts"
import { jsonType, Replies, requestIdOf, type ReplyContext } from "../reply/Replies.ts"
import type { MergedParams } from "../request/RequestBody.ts"
import { ShapeResolver } from "./ResolveShape.ts"
import { rootPage, wantsPage } from "../reply/RootPage.ts"
import { operationOf, routeOf, splitTarget, type Operation } from "../request/Route.ts"
import { makeSecretCheck } from "../request/Secret.ts"
import { batonVersion, serverIdentity } from "../../shared/ServerIdentity.ts"

export interface ShapeApiOptions<R = never> {
  /** Decides who may read what, and which shape that is. Without it whoever has the secret reads everything. */
  readonly authorize?: Authorize<R>
  /**
   * Whether responses may be kept in shared caches. Off by default with a hook: then who may read a URL may depend on
   * headers. Turn it on when the hook looks at nothing but the URL.
   */
  readonly sharedCaching?: boolean
  /**
   * Names of all request headers that the hook decides by, such as `authorization`, `cookie` or `x-api-key`. They are
   * named in `vary`, so a browser keeps its user's answers, and gives them to nobody else. Without it, and with a hook,
   * a browser asks each time before it uses what it has kept.
   */
  readonly decidesBy?: ReadonlyArray<string>
  /**
   * Which pages of other origins may read answers: every page (`"everybody"`, the default), those of `origins`, with
   * cookies if `credentials` says so, or whatever the host says itself (`false`).
   */
  readonly cors?: Cors
}

/** What a host with a hook has said about caches, as settings. */
const cachingOf = <R>({ authorize, decidesBy, sharedCaching }: ShapeApiOptions<R>) => {
  const shared = sharedCaching ?? (authorize === undefined && decidesBy === undefined)
  const vary = (decidesBy ?? ["authorization", "cookie"]).map((name) => name.toLowerCase())
  return {
    keeps: shared
      ? ("everybody" as const)
      : decidesBy === undefined
        ? ("nobody" as const)
        : ("client" as const),
    vary: shared && decidesBy === undefined ? [] : vary
  }
}

/** What runs now, for metrics. */
export interface ApiStats {
  readonly initialRequests: number
  readonly existingRequests: number
  /** Requests refused for too many others, since start. */
  readonly rejected: Readonly<Record<AdmissionClass, number>>
}

/**
 * The HTTP protocol, independent of any server: requests in, replies out, both plain data. Adapters are in
 * `NodeHandler.ts`, `FetchHandler.ts` and `RouterMount.ts`.
 */
export class ShapeApi extends Context.Service<
  ShapeApi,
  {
    /**
     * Answers one request; never fails. The scope must stay open until the body has been written or given up: it holds
     * the request's admission and, for a subset, its transaction. Interrupt it when the client is gone.
     */
    readonly handle: (request: ApiRequest) => Effect.Effect<ApiReply, never, Scope.Scope>
    /**
     * The same, but a live request that has to be held comes back parked, and `keep` takes it out of the scope: nothing is
     * left of this effect while it waits.
     */
    readonly begin: (
      request: ApiRequest
    ) => Effect.Effect<ApiReply | ParkedRequest | ParkedEvents, never, Scope.Scope>
    /**
     * The reply, if it can be given now: nothing is waited for, no Effect is run, and the body is small enough to be sent
     * at once. Or the request parked until there is something to say, or as a stream of events. `undefined` says nothing about the request; ask
     * `handle` then.
     */
    readonly immediate: (request: ApiRequest) => ApiReply | ParkedRequest | ParkedEvents | undefined
    /** From now on every reply asks its client to use another connection. Running requests go on. */
    readonly beginDrain: Effect.Effect<void>
    readonly stats: () => ApiStats
  }
>()("baton/http/ShapeApi") {
  static readonly layer = <R = never>(options: ShapeApiOptions<R> = {}) =>
    Layer.effect(
      ShapeApi,
      Effect.gen(function* () {
        const config = yield* Config
        const conditions = yield* Conditions
        const context = yield* Effect.context<R>()
        const { authorize } = options
        const { keeps, vary } = cachingOf(options)
        const { cors = "everybody" } = options
        const problem = corsProblem(cors)
        if (problem !== undefined) return yield* Effect.die(new TypeError(problem))
        const services: ApiServices = {
          config,
          logs: yield* ShapeLogs,
          registry: yield* ShapeRegistry,
          health: yield* HealthRef,
          subsets: yield* SubsetReader,
          conditions,
          resolver: new ShapeResolver(yield* Inspector, conditions),
          admission: new Admission(config.maxConcurrentRequests),
          bodies: new OpenBodies(config.limits),
          requests: (yield* Metrics).requests,
          compressed: new CompressedChunks(),
          replies: new Replies(
            serverIdentity,
            {
              maxAgeSeconds: config.cacheMaxAgeSeconds,
              staleAgeSeconds: config.cacheStaleAgeSeconds,
              sseLifetimeSeconds: sseLifetimeMillis / 1000,
              keeps
            },
            vary,
            cors
          ),
          authorize:
            authorize === undefined
              ? undefined
              : (request) => Effect.provideContext(authorize(request), context)
        }
        return ShapeApi.of(makeApi(services))
      })
    )
}

const contextOf = (request: ApiRequest, path: string): ReplyContext => ({
  method: request.method,
  route: routeOf(path),
  requestId: requestIdOf(request.header("x-request-id")),
  origin: request.header("origin")
})

/** One debug line per request, without the secrets that its query may carry. */
const logged = <R>(
  context: ReplyContext,
  path: string,
  query: string,
  secret: string | undefined,
  reply: Effect.Effect<ApiReply | ParkedRequest | ParkedEvents, never, R>
): Effect.Effect<ApiReply | ParkedRequest | ParkedEvents, never, R> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const start = clock.currentTimeMillisUnsafe()
    const made = yield* reply
    const millis = clock.currentTimeMillisUnsafe() - start
    const target = query === "" ? path : `${path}?${redactQuery(query, secret)}`
    yield* Effect.logDebug(
      `${context.method} ${target}: ${neverParked(made).status} after ${millis} ms (request ${context.requestId})`
    )
    return made
  })

/** For requests that may not be parked. */
const neverParked = (made: ApiReply | ParkedRequest | ParkedEvents): ApiReply => {
  if ("_tag" in made) throw new Error("a request that is to be answered was parked")
  return made
}

/** For metrics: must not fail for a query that cannot be parsed. */
const isLive = (query: string): boolean => /(?:^|&)live=true(?:&|$)/.test(query)

const makeApi = (services: ApiServices): ShapeApi["Service"] => {
  const { replies, admission } = services
  const logsRequests = services.config.logLevel === "debug"
  const parser = new QueryParser(makeSecretCheck(services.config.secret))
  const secret = services.config.secret === undefined ? undefined : Redacted.value(services.config.secret)

  const shapeRequest = (
    context: ReplyContext,
    request: ApiRequest,
    query: ParsedQuery,
    mayPark: boolean
  ): Effect.Effect<ApiReply | ParkedRequest | ParkedEvents, Failure, Scope.Scope> => {
    if (!query.authorized) return Effect.fail(unauthorized)
    if (!query.wellFormed) return Effect.fail(undecodableQuery)
    if (context.method === "DELETE") return deleteShape(services, context, request, query.merged)
    const run = (merged: MergedParams) =>
      Effect.flatMap(Effect.scope, (scope) => {
        const permit = admit(services, query.values)
        if ("_tag" in permit) return Effect.fail(permit)
        return Effect.andThen(
          Scope.addFinalizer(
            scope,
            Effect.sync(() => admission.release(permit))
          ),
          readShape(services, context, request, query, merged, permit, mayPark)
        )
      })
    if (context.method !== "POST") return run(query.merged)
    // Only what has arrived whole takes a place: a client may send its body as slowly as it likes.
    const refused = refusedNow(services, query.values)
    return refused === undefined
      ? Effect.flatMap(readBody(services, request, query.merged), run)
      : Effect.fail(refused)
  }

  const page = (context: ReplyContext): ApiReply =>
    replies.text(
      context,
      200,
      "unspecific",
      "text/html; charset=utf-8",
      rootPage(batonVersion, services.health.current(), services.config.secret !== undefined)
    )

  /** Replies that depend on nothing but the request and the state of this instance. */
  const simpleAnswer = (context: ReplyContext, request: ApiRequest, operation: Operation): ApiReply => {
    switch (operation) {
      case "preflight":
        return replies.preflight(context, request.header("access-control-request-headers"))
      case "health": {
        const { status, body } = healthAnswer(
          services.health.current(),
          services.health.failure() !== undefined
        )
        return replies.text(context, status, "health", jsonType, JSON.stringify(body))
      }
      case "openapi":
        return replies.text(context, 200, "catchUp", jsonType, openApiDocument())
      case "root":
        return wantsPage(request.header("accept"))
          ? page(context)
          : replies.text(context, 200, "unspecific", undefined, "")
      default:
        return replies.text(context, 404, "unspecific", undefined, "Not found")
    }
  }

  /** The reply to a request, or a live request parked if it may be. */
  const answer = (
    request: ApiRequest,
    mayPark: boolean
  ): Effect.Effect<ApiReply | ParkedRequest | ParkedEvents, never, Scope.Scope> => {
    const { path, query } = splitTarget(request.target)
    const context = contextOf(request, path)
    const operation = operationOf(context.route, context.method)
    const isShape = operation === "readShape" || operation === "deleteShape"
    const replied = Effect.catchCause(
      Effect.suspend(() =>
        isShape
          ? shapeRequest(context, request, parser.parse(query), mayPark)
          : Effect.succeed(simpleAnswer(context, request, operation))
      ),
      (cause) => failedReply(replies, context, cause)
    )
    const counted = isShape
      ? Effect.tap(replied, (made) =>
          Effect.sync(() => {
            if (!("_tag" in made)) countReply(services.requests, made, isLive(query))
          })
        )
      : replied
    return logsRequests ? logged(context, path, query, secret, counted) : counted
  }

  return {
    handle: (request) => Effect.map(answer(request, false), neverParked),
    begin: (request) => answer(request, !logsRequests),
    immediate: (request) => {
      // Every request is to be logged: the one way that does so is `handle`.
      if (logsRequests) return undefined
      const { path, query } = splitTarget(request.target)
      const context = contextOf(request, path)
      const operation = operationOf(context.route, context.method)
      if (operation === "deleteShape") return undefined
      try {
        if (operation !== "readShape") return simpleAnswer(context, request, operation)
        const made = readShapeNow(services, context, request, parser.parse(query))
        if (made !== undefined && !("_tag" in made)) countReply(services.requests, made, isLive(query))
        return made
      } catch {
        return undefined // `handle` meets the same error, and reports it
      }
    },
    beginDrain: Effect.sync(() => {
      replies.closeConnections = true
    }),
    stats: () => ({
      initialRequests: admission.running("initial"),
      existingRequests: admission.running("existing"),
      rejected: { ...admission.rejected }
    })
  }
}
