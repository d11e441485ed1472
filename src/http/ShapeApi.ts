import { Cause, Context, Effect, Layer, Option, Scope } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { abilities } from "../health/HealthState.ts"
import { ShapeRegistry } from "../registry/ShapeRegistry.ts"
import { SubsetReader } from "../registry/SubsetReader.ts"
import { ShapeLogs } from "../storage/ShapeLogs.ts"
import { Admission } from "./Admission.ts"
import type { ApiReply } from "./ApiReply.ts"
import type { ApiRequest } from "./ApiRequest.ts"
import { sseLifetimeMillis, type ApiServices } from "./ApiServices.ts"
import type { Authorize } from "./Authorize.ts"
import { Conditions } from "./Conditions.ts"
import { deleteShape } from "./DeleteShape.ts"
import { crashed, unauthorized, undecodableQuery, type Failure } from "./Failures.ts"
import { openApiDocument } from "./OpenApi.ts"
import { decodeQuery, type DecodedQuery } from "./QueryString.ts"
import { admit, readShape } from "./ReadShape.ts"
import { jsonType, Replies, requestIdOf, type ReplyContext } from "./Replies.ts"
import { ShapeResolver, type TableLookup } from "./ResolveShape.ts"
import { operationOf, routeOf, splitTarget } from "./Route.ts"
import { makeSecretCheck } from "./Secret.ts"
import { serverIdentity } from "./serverIdentity.ts"

/** The part of the catalogue that the API reads. */
export class ApiCatalogue extends Context.Service<ApiCatalogue, TableLookup>()("baton/http/ApiCatalogue") {}

export interface ShapeApiOptions<R = never> {
  /** Decides who may read what, and which shape that is. Without it whoever has the secret reads everything. */
  readonly authorize?: Authorize<R>
  /**
   * Whether responses may be kept in shared caches. Off by default with a hook: then who may read a URL may depend on
   * headers. Turn it on when the hook looks at nothing but the URL.
   */
  readonly sharedCaching?: boolean
}

/** What runs now, for metrics. */
export interface ApiStats {
  readonly initialRequests: number
  readonly existingRequests: number
  /** Requests refused for too many others, since start. */
  readonly rejectedRequests: number
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
        const services: ApiServices = {
          config,
          logs: yield* ShapeLogs,
          registry: yield* ShapeRegistry,
          health: yield* HealthRef,
          subsets: yield* SubsetReader,
          conditions,
          resolver: new ShapeResolver(yield* ApiCatalogue, conditions),
          admission: new Admission(config.maxConcurrentRequests),
          replies: new Replies(serverIdentity, {
            maxAgeSeconds: config.cacheMaxAgeSeconds,
            staleAgeSeconds: config.cacheStaleAgeSeconds,
            sseLifetimeSeconds: sseLifetimeMillis / 1000,
            shared: options.sharedCaching ?? authorize === undefined
          }),
          authorize:
            authorize === undefined
              ? undefined
              : (request) => Effect.provideContext(authorize(request), context)
        }
        return ShapeApi.of(makeApi(services))
      })
    )
}

const makeApi = (services: ApiServices): ShapeApi["Service"] => {
  const { replies, admission } = services
  const hasSecret = makeSecretCheck(services.config.secret)

  const shapeRequest = (
    context: ReplyContext,
    request: ApiRequest,
    query: DecodedQuery
  ): Effect.Effect<ApiReply, Failure, Scope.Scope> => {
    if (!hasSecret(query.values)) return Effect.fail(unauthorized)
    if (!query.wellFormed) return Effect.fail(undecodableQuery)
    if (context.method === "DELETE") return deleteShape(services, context, request, query.values)
    return Effect.flatMap(Effect.scope, (scope) => {
      const permit = admit(services, query.values)
      if ("_tag" in permit) return Effect.fail(permit)
      return Effect.andThen(
        Scope.addFinalizer(
          scope,
          Effect.sync(() => admission.release(permit))
        ),
        readShape(services, context, request, query.values, permit)
      )
    })
  }

  const failedReply = (context: ReplyContext, cause: Cause.Cause<Failure>): Effect.Effect<ApiReply> => {
    const failure = Cause.findErrorOption(cause)
    if (Option.isSome(failure)) return Effect.succeed(replies.failure(context, failure.value))
    if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
    return Effect.logError(
      `A ${context.method} request failed inside Baton (request ${context.requestId}). ` +
        "This is a bug in Baton, please report it. The client gets a 500; the service goes on.",
      cause
    ).pipe(Effect.as(replies.failure(context, crashed)))
  }

  const answer = (
    context: ReplyContext,
    request: ApiRequest,
    query: string
  ): Effect.Effect<ApiReply, Failure, Scope.Scope> => {
    switch (operationOf(context.route, context.method)) {
      case "readShape":
      case "deleteShape":
        return shapeRequest(context, request, decodeQuery(query))
      case "preflight":
        return Effect.succeed(replies.preflight(context, request.header("access-control-request-headers")))
      case "health": {
        const { health } = abilities[services.health.current()]
        return Effect.succeed(
          replies.make(context, health.status, "health", jsonType, [], {
            _tag: "Text",
            text: JSON.stringify(health.body)
          })
        )
      }
      case "openapi":
        return Effect.succeed(
          replies.make(context, 200, "catchUp", jsonType, [], { _tag: "Text", text: openApiDocument() })
        )
      case "root":
        return Effect.succeed(replies.root(context))
      case "none":
        return Effect.succeed(replies.notFound(context))
    }
  }

  return {
    handle: (request) =>
      Effect.suspend(() => {
        const { path, query } = splitTarget(request.target)
        const context: ReplyContext = {
          method: request.method,
          route: routeOf(path),
          requestId: requestIdOf(request.header("x-request-id"))
        }
        return Effect.catchCause(
          Effect.suspend(() => answer(context, request, query)),
          (cause) => failedReply(context, cause)
        )
      }),
    beginDrain: Effect.sync(() => {
      replies.closeConnections = true
    }),
    stats: () => ({
      initialRequests: admission.running("initial"),
      existingRequests: admission.running("existing"),
      rejectedRequests: admission.rejected
    })
  }
}
