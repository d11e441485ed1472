import { Effect, Layer } from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import { redact } from "../../config/Redaction.ts"
import { faultEnded, reportFault } from "../faults/ReportFault.ts"

const sayAgainMillis = 600_000

const told = (error: HttpClientError): string =>
  error.response === undefined ? error.message : `${error.message} (status ${error.response.status})`

const report = (url: string, why: string): Effect.Effect<void> =>
  reportFault("BATON-TELEMETRY-EXPORT", {
    message:
      `Telemetry could not be exported to ${redact(url)}: ${redact(why)}. It is tried again a minute later; what was to be exported until ` +
      "then is lost, and nothing else is affected. If it stays, correct the endpoint, or the headers with its keys.",
    about: url,
    everyMillis: sayAgainMillis
  })

/** The client of all exporters. Effect's exporters say nothing of what fails, so it does, once for each address. */
export const otlpClient = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, (client) =>
    client.pipe(
      HttpClient.tapError((error) => report(error.request.url, told(error))),
      HttpClient.tap((response) =>
        response.status >= 400
          ? report(response.request.url, `it answered with status ${response.status}`)
          : Effect.asVoid(faultEnded("BATON-TELEMETRY-EXPORT", { about: response.request.url }))
      )
    )
  )
).pipe(Layer.provide(FetchHttpClient.layer))
