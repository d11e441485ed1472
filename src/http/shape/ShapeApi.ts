import { Context, Effect, Layer, Option } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import { HealthRef } from "../../health/HealthRef.ts"
import { Inspector } from "../../postgres/catalogue/Inspector.ts"
import { ShapeRegistry } from "../../registry/ShapeRegistry.ts"
import { SubsetReader } from "../../registry/subset/SubsetReader.ts"
import { serverIdentity } from "../../shared/ServerIdentity.ts"
import { currentTimers } from "../../shared/Timers.ts"
import { rowsRetentionMillis } from "../../storage/compaction/Policy.ts"
import { Storage } from "../../storage/Storage.ts"
import { ShapeLogs } from "../../storage/ShapeLogs.ts"
import { Metrics } from "../../telemetry/Metrics.ts"
import { Tracing } from "../../telemetry/otel/Tracing.ts"
import { Admission, type AdmissionClass } from "./Admission.ts"
import type { Answer } from "./Answer.ts"
import type { ApiRequest } from "../request/ApiRequest.ts"
import type { ApiServices } from "./ApiServices.ts"
import { makeForwarder } from "../forward/Forwarder.ts"
import { forwardSilenceMillis, sseLifetimeMillis } from "../HttpTimings.ts"
import type { Authorize } from "../hook/Authorize.ts"
import type { CacheSettings } from "../reply/CacheControl.ts"
import { RequestTraces } from "../trace/RequestTraces.ts"
import { Conditions } from "./Conditions.ts"
import { FrontDoor } from "./FrontDoor.ts"
import { OperatorDoor } from "./OperatorDoor.ts"
import { OpenBodies } from "../reply/OpenBodies.ts"
import { CompressedChunks } from "../reply/CompressedChunks.ts"
import { type Cors, corsProblem } from "../reply/Cors.ts"
import { Replies } from "../reply/Replies.ts"
import { ShapeResolver } from "./ResolveShape.ts"

export interface ShapeApiOptions<R = never> {
  /** Decides who may read what, and which shape that is. Without it a client that has the secret reads everything. */
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

/** What all requests share. */
const makeServices = Effect.fnUntraced(function* <R = never>(options: ShapeApiOptions<R>) {
  const config = yield* Config
  const conditions = yield* Conditions
  const context = yield* Effect.context<R>()
  const timers = yield* currentTimers
  const { events, requests, servingLag, stream } = yield* Metrics
  const tracing = yield* Tracing
  const { authorize, cors = "everybody" } = options
  const { keeps, vary } = cachingOf(options)
  const problem = corsProblem(cors)
  if (problem !== undefined) return yield* Effect.die(new TypeError(problem))
  const caching: CacheSettings = {
    maxAgeSeconds: config.cacheMaxAgeSeconds,
    staleAgeSeconds: config.cacheStaleAgeSeconds,
    sseLifetimeSeconds: sseLifetimeMillis / 1000,
    rowsSeconds: config.compaction === undefined ? undefined : rowsRetentionMillis(config.compaction) / 1000,
    keeps
  }
  const storage = yield* Storage
  const { bucket, instanceId, longPollTimeoutMillis, role } = config
  const forwarder =
    role !== "instance" && bucket?.forwards === true
      ? yield* makeForwarder({
          writerUrl: () => storage.writerUrl(),
          instanceId,
          silenceMillis: longPollTimeoutMillis + forwardSilenceMillis
        })
      : undefined
  const services: ApiServices = {
    config,
    timers,
    logs: yield* ShapeLogs,
    registry: yield* ShapeRegistry,
    health: yield* HealthRef,
    level: storage.level,
    bucket: storage.engine.bucketStatus,
    subsets: yield* SubsetReader,
    conditions,
    resolver: new ShapeResolver(yield* Inspector, conditions),
    admission: new Admission(config.maxConcurrentRequests),
    bodies: new OpenBodies(config.limits),
    requests,
    servingLag,
    stream,
    events,
    traces: tracing && new RequestTraces(tracing, timers),
    compressed: new CompressedChunks(),
    replies: new Replies(serverIdentity, timers.epochMillis(), caching, vary, cors),
    authorize:
      authorize === undefined ? undefined : (request) => Effect.provideContext(authorize(request), context),
    forwarder,
    operator: Option.getOrUndefined(yield* Effect.serviceOption(OperatorDoor))
  }
  return services
})

/**
 * The HTTP protocol, independent of any server: requests in, replies out, both plain data. Adapters are in `../node` and
 * `../mount`.
 */
export class ShapeApi extends Context.Service<
  ShapeApi,
  {
    /**
     * What comes of a request: the reply itself, if it can be given now, and then nothing is waited for, no Effect is run,
     * and the body is small enough to be sent at once; or the request parked until there is something to say, or as a
     * stream of events; or an Effect. Adapters that have a fiber for each request anyway give it to `wholeReply`.
     */
    readonly handle: (request: ApiRequest) => Answer
    /** From now on every reply asks its client to use another connection. Running requests go on. */
    readonly beginDrain: Effect.Effect<void>
    readonly stats: () => ApiStats
  }
>()("baton/http/ShapeApi") {
  static readonly layer = <R = never>(options: ShapeApiOptions<R> = {}) =>
    Layer.effect(
      ShapeApi,
      Effect.gen(function* () {
        const services = yield* makeServices(options)
        const { admission, operator, replies } = services
        const door = new FrontDoor(services)
        return ShapeApi.of({
          handle: (request) => door.handle(request),
          beginDrain: Effect.sync(() => {
            replies.closeConnections = true
            operator?.current()?.drain()
          }),
          stats: () => ({
            initialRequests: admission.running("initial"),
            existingRequests: admission.running("existing"),
            rejected: { ...admission.rejected }
          })
        })
      })
    )
}
