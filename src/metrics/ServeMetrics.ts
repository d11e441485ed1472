import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, type Scope } from "effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { requestOf, serverResponse } from "../http/mount/RouterMount.ts"
import type { OperatorHandler } from "../http/shape/OperatorDoor.ts"
import { ListenError } from "../http/node/HttpServer.ts"
import { metricsContentType } from "./MetricsText.ts"

export interface MetricsServerOptions {
  readonly port: number
  readonly host: string
  /** The text of one answer, in the format of `metricsContentType`. */
  readonly metrics: Effect.Effect<string>
  /** What is served at `/baton` and below; undefined: nothing is. */
  readonly operator: () => OperatorHandler | undefined
}

const onlyGet = HttpServerResponse.text("Only GET\n", { status: 405 })

const notThere = HttpServerResponse.text("Not found: the page for operators is off (BATON_DASHBOARD)\n", {
  status: 404
})

const operatorResponse = (
  operator: OperatorHandler | undefined,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  operator === undefined
    ? Effect.succeed(notThere)
    : Effect.map(operator.handle(requestOf(request), "metrics"), (reply) =>
        serverResponse({ ...reply, closeConnection: false }, request.method)
      )

/** Serves `/metrics` until the scope closes. Fails when the port cannot be listened on. */
export const serveMetrics = ({
  host,
  metrics,
  operator,
  port
}: MetricsServerOptions): Effect.Effect<void, ListenError, Scope.Scope> => {
  const metricsRoute = Effect.map(metrics, (text) =>
    HttpServerResponse.text(text, { contentType: metricsContentType })
  ).pipe(
    Effect.catchCause((cause) =>
      Effect.as(
        reportFault("BATON-SERVICE-MISTAKE", {
          message: "Metrics could not be collected. This is a bug in Baton, please report it.",
          cause
        }),
        HttpServerResponse.text("Metrics could not be collected\n", { status: 500 })
      )
    )
  )
  const routes = Layer.mergeAll(
    HttpRouter.add(
      "*",
      "/metrics",
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method }) =>
        method === "GET" || method === "HEAD" ? metricsRoute : Effect.succeed(onlyGet)
      )
    ),
    HttpRouter.add("*", "/baton/*", (request) => operatorResponse(operator(), request)),
    HttpRouter.add(
      "*",
      "/*",
      HttpServerResponse.text("Not found: metrics are at /metrics\n", { status: 404 })
    )
  )
  return Layer.build(
    HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(NodeHttpServer.layer(createServer, { port, host }))
    )
  ).pipe(
    Effect.mapError(
      (error) =>
        new ListenError({
          reason: (error.cause as NodeJS.ErrnoException).code === "EADDRINUSE" ? "portTaken" : "notAllowed",
          cause: error.cause,
          message: `Cannot serve metrics on port ${port} of ${host}: ${String(error.cause)}. Set ELECTRIC_PROMETHEUS_PORT to a free port, or unset it.`
        })
    ),
    Effect.asVoid
  )
}
