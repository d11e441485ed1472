import { request as requestPlain } from "node:http"
import { request as requestSecure } from "node:https"
import { createServer } from "node:net"
import { Effect } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import type { PortLook } from "./Facts.ts"

const answerMillis = 3000

/** Listens for a moment, which is the only way to know; whoever has the port is asked for its health. */
export const lookAtPort = (config: BatonConfig): Effect.Effect<PortLook> =>
  Effect.callback<PortLook | "taken">((resume) => {
    const probe = createServer()
    probe.once("error", (error: NodeJS.ErrnoException) =>
      resume(
        Effect.succeed(error.code === "EADDRINUSE" ? "taken" : { _tag: "Refused", message: error.message })
      )
    )
    probe.listen({ port: config.port, host: config.listenHost }, () =>
      probe.close(() => resume(Effect.succeed({ _tag: "Free" })))
    )
    return Effect.sync(() => probe.close())
  }).pipe(Effect.flatMap((found) => (found === "taken" ? askHealth(config) : Effect.succeed(found))))

const askHealth = ({ listenHost, port, tlsCertFile }: BatonConfig): Effect.Effect<PortLook> =>
  Effect.callback<PortLook>((resume) => {
    const taken = (answers: string | undefined): void => resume(Effect.succeed({ _tag: "Taken", answers }))
    const isSecure = tlsCertFile !== undefined
    const host = listenHost.includes(":") ? "::1" : "127.0.0.1"
    const asked = (isSecure ? requestSecure : requestPlain)(
      // The certificate names the service's host, and not this one; nothing secret is sent.
      {
        host,
        port,
        path: "/v1/health",
        timeout: answerMillis,
        ...(isSecure ? { rejectUnauthorized: false } : {})
      },
      (response) => {
        let text = ""
        response.setEncoding("utf8").on("data", (more: string) => (text = (text + more).slice(0, 1000)))
        response.on("end", () => taken(/"status":"(\w+)"/.exec(text)?.[1]))
        response.on("error", () => taken(undefined))
      }
    )
    asked.on("timeout", () => asked.destroy())
    asked.on("error", () => taken(undefined))
    asked.end()
    return Effect.sync(() => asked.destroy())
  })
