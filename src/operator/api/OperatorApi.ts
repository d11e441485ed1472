import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Cause, Effect, Result } from "effect"
import type { OperatorHandler, OperatorReply, OperatorWay } from "../../http/shape/OperatorDoor.ts"
import type { ApiRequest } from "../../http/request/ApiRequest.ts"
import { splitTarget } from "../../http/request/Route.ts"
import type { StatusReport } from "../reports/StatusReport.ts"
import { listShapes } from "../gather/ListShapes.ts"
import { configReport } from "../reports/ConfigReport.ts"
import { activeReport, type FaultsReport, recentReport } from "../reports/FaultsReport.ts"
import { faultTable } from "../../telemetry/faults/FaultTable.ts"
import { shapeDetail } from "../reports/ShapeDetail.ts"
import { parseShapeQuery } from "../reports/ShapeQuery.ts"
import type { OperatorServices } from "../Services.ts"
import { type Deed, makeAccess } from "./Access.ts"
import type { LiveTicks } from "./LiveTicks.ts"
import { eventsReply, json, methodNotAllowed, noSuchShape, notFound, problem } from "./OperatorReplies.ts"
import { assetReply, toPage } from "./PageReplies.ts"
import { ShapeQuestions } from "./ShapeQuestions.ts"
import { VerifyQuestions } from "./VerifyQuestions.ts"

/** A request below `/baton`, taken apart. */
interface Asked {
  readonly request: ApiRequest
  /** Decoded, without empty ones: `/baton/api/shapes/x` is `api`, `shapes`, `x`. */
  readonly segments: ReadonlyArray<string>
  readonly params: URLSearchParams
  readonly way: OperatorWay
}

const decoded = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

const askedOf = (request: ApiRequest, way: OperatorWay): Asked | undefined => {
  const { path, query } = splitTarget(request.target)
  const segments = path.split("/").filter((segment) => segment !== "")
  const plain = segments.slice(1).flatMap((segment) => decoded(segment) ?? [])
  return plain.length === segments.length - 1
    ? { request, segments: plain, params: new URLSearchParams(query), way }
    : undefined
}

/** What a path answers to, by method. */
interface Endpoint {
  readonly deed: Deed
  readonly answer: (asked: Asked) => Effect.Effect<OperatorReply>
}

type Endpoints = Readonly<Record<string, Endpoint>>

/** The API for operators: requests in, plain data out. */
export class OperatorApi implements OperatorHandler {
  private readonly services: OperatorServices
  private readonly status: Effect.Effect<StatusReport>
  private readonly ticks: LiveTicks
  private readonly ofShape: ShapeQuestions
  private readonly ofVerify: VerifyQuestions
  private readonly refusal: ReturnType<typeof makeAccess>

  constructor(services: OperatorServices, status: Effect.Effect<StatusReport>, ticks: LiveTicks) {
    this.services = services
    this.status = status
    this.ticks = ticks
    this.ofShape = new ShapeQuestions(services)
    this.ofVerify = new VerifyQuestions(services)
    this.refusal = makeAccess(services.config.secret)
  }

  readonly handle = (request: ApiRequest, way: OperatorWay): Effect.Effect<OperatorReply> => {
    const page = this.page(request, way)
    if (page !== undefined) return Effect.succeed(page)
    const asked = askedOf(request, way)
    if (asked === undefined) return Effect.succeed(problem(400, "bad-path", "The path cannot be decoded."))
    const endpoints = this.endpointsOf(asked.segments)
    if (endpoints === undefined) {
      // What there is, only those are told who may see it.
      return Effect.succeed(this.refusal(request, asked.params, way, "see") ?? notFound)
    }
    const method = request.method === "HEAD" ? "GET" : request.method
    const endpoint = endpoints[method]
    if (endpoint === undefined) return Effect.succeed(methodNotAllowed(Object.keys(endpoints).join(", ")))
    const refused = this.refusal(request, asked.params, way, endpoint.deed)
    return refused === undefined ? this.answered(endpoint, asked) : Effect.succeed(refused)
  }

  /** The page itself, and its files: those are in everybody's package, and free. */
  private page(request: ApiRequest, way: OperatorWay): OperatorReply | undefined {
    const { path, query } = splitTarget(request.target)
    const [, name, ...rest] = path.replace(/^\/+/, "").split("/")
    if (name === "api" || rest.length > 0) return undefined
    if (request.method !== "GET" && request.method !== "HEAD") return methodNotAllowed("GET")
    if (name !== undefined && name !== "") return assetReply(request, name)
    const refused = this.refusal(request, new URLSearchParams(query), way, "see")
    if (refused !== undefined) return refused
    return name === undefined ? toPage(query) : assetReply(request, "")
  }

  private answered({ answer }: Endpoint, asked: Asked): Effect.Effect<OperatorReply> {
    return Effect.catchDefect(
      Effect.suspend(() => answer(asked)),
      (defect) =>
        Effect.as(
          reportFault("BATON-SERVICE-MISTAKE", {
            message:
              "What an operator asked for could not be put together. This is a bug in Baton, please report it. The service goes on.",
            cause: Cause.die(defect)
          }),
          problem(500, "failed", "This could not be put together; the log says why. The service goes on.")
        )
    )
  }

  private endpointsOf(segments: ReadonlyArray<string>): Endpoints | undefined {
    const [room, name, handle, aspect, ...rest] = segments
    if (room !== "api" || rest.length > 0) return undefined
    if (aspect !== undefined) return name === "shapes" ? this.aspectsOf(handle ?? "")[aspect] : undefined
    if (name === "shapes" && handle !== undefined)
      return {
        GET: { deed: "see", answer: ({ way }) => this.shape(handle, way) },
        DELETE: { deed: "change", answer: () => this.drop(handle) }
      }
    if (handle !== undefined) return undefined
    switch (name) {
      case "live":
        return { GET: { deed: "see", answer: ({ params }) => this.live(params.has("once")) } }
      case "status":
        return {
          GET: { deed: "see", answer: () => Effect.map(this.status, (report) => json(200, report)) }
        }
      case "shapes":
        return { GET: { deed: "see", answer: ({ params }) => this.shapes(params) } }
      case "verify":
        return {
          GET: { deed: "rows", answer: () => this.ofVerify.report },
          POST: { deed: "change", answer: ({ params }) => this.ofVerify.start(params) },
          DELETE: { deed: "change", answer: () => this.ofVerify.stop }
        }
      case "faults":
        return { GET: { deed: "see", answer: () => this.faults } }
      case "config":
        return {
          GET: {
            deed: "see",
            answer: () => Effect.sync(() => json(200, { variables: configReport(this.services.environment) }))
          }
        }
      default:
        return undefined
    }
  }

  private aspectsOf(handle: string): Readonly<Record<string, Endpoints>> {
    const { ofShape } = this
    return {
      changes: {
        GET: { deed: "rows", answer: ({ params }) => ofShape.changes(handle, params.get("after")) }
      },
      why: { GET: { deed: "rows", answer: ({ params }) => ofShape.why(handle, params.getAll("key")) } },
      rows: { GET: { deed: "rows", answer: () => ofShape.rows(handle) } }
    }
  }

  private get faults(): Effect.Effect<OperatorReply> {
    const { active, recent } = this.services.faults
    return Effect.map(Effect.all([active, recent]), ([lasting, latest]) =>
      json(200, {
        active: activeReport(faultTable, lasting),
        recent: recentReport(faultTable, latest)
      } satisfies FaultsReport)
    )
  }

  private live(once: boolean): Effect.Effect<OperatorReply> {
    const { ticks } = this
    return Effect.sync(() =>
      ticks.takesMore
        ? eventsReply(ticks.events(once))
        : problem(
            503,
            "too-many",
            "Too many pages look at this instance, or it is about to stop.",
            "retry-after",
            "5"
          )
    )
  }

  private shapes(params: URLSearchParams): Effect.Effect<OperatorReply> {
    const { engine, workers } = this.services
    const query = parseShapeQuery(params)
    return Result.isFailure(query)
      ? Effect.succeed(problem(400, "bad-query", query.failure))
      : Effect.map(listShapes(engine.store, query.success, workers.readersOf), (page) => json(200, page))
  }

  private shape(handle: string, way: OperatorWay): Effect.Effect<OperatorReply> {
    return Effect.suspend(() => {
      const { engine, workers } = this.services
      const shape = engine.store.byHandle(handle)
      return shape === undefined
        ? Effect.succeed(noSuchShape)
        : Effect.map(workers.readersOf(Uint32Array.of(shape.id)), ([elsewhere]) =>
            json(200, { ...shapeDetail(shape, elsewhere), way })
          )
    })
  }

  private drop(handle: string): Effect.Effect<OperatorReply> {
    const { registry } = this.services
    return Effect.andThen(registry.settle, registry.drop(handle, "deleted by an operator")).pipe(
      Effect.map((found) => (found ? json(202, { deleted: handle }) : noSuchShape)),
      Effect.catchTag("NotActive", ({ message }) =>
        Effect.succeed(
          problem(
            503,
            "not-active",
            `${message} Only the active instance deletes shapes: ask that one.`,
            "retry-after",
            "5"
          )
        )
      )
    )
  }

  readonly drain = (): void => this.ticks.drain()
}
