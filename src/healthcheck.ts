#!/usr/bin/env node
/**
 * For container engines: ends with 0 when the service in this container answers `/v1/health` with 2xx, which a waiting
 * instance does too. Reads the same variables as the service.
 */
import { request as httpRequest } from "node:http"
import { request as httpsRequest } from "node:https"

const timeoutMillis = 2000
const secure = process.env["BATON_TLS_CERT_FILE"] !== undefined
const request = secure ? httpsRequest : httpRequest

const end = (code: 0 | 1, answer: string): void => {
  process.stdout.write(`${answer}\n`)
  process.exit(code)
}

request(
  {
    // Both address families are tried.
    host: "localhost",
    port: process.env["ELECTRIC_PORT"] ?? 3000,
    path: "/v1/health",
    timeout: timeoutMillis,
    // The certificate is for the name that clients use, not for this one.
    ...(secure ? { rejectUnauthorized: false } : {})
  },
  (response) => {
    const status = response.statusCode ?? 0
    end(status >= 200 && status < 300 ? 0 : 1, String(status))
  }
)
  .on("timeout", () => end(1, `no answer within ${timeoutMillis} ms`))
  .on("error", (error) => end(1, error.message))
  .end()
