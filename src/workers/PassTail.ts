import type { IncomingMessage } from "node:http"
import { destroyResponse, type NodeRequest, type NodeResponse } from "../http/node/Exchange.ts"
import type { JournalTail } from "../http/node/JournalTail.ts"
import { tailPath } from "../storage/tail/TailFrames.ts"

/** In this way, because importing `node:http` would read all that it exports (`http/node/Exchange.ts`). */
const http = process.getBuiltinModule("node:http")

/** What both protocols' responses do, without the differences of their types. */
type Writer = Pick<Extract<NodeResponse, { readonly shouldKeepAlive: boolean }>, "writeHead" | "end">

const unavailable = (response: NodeResponse): void => {
  const writer = response as Writer
  writer.writeHead(503, { "content-type": "application/json", "retry-after": "1" })
  writer.end(
    JSON.stringify({ reason: "silent", message: "The main process of this instance cannot be asked" })
  )
}

const answer = (request: NodeRequest, response: NodeResponse, given: IncomingMessage): void => {
  const headers: Record<string, string | ReadonlyArray<string> | undefined> = { ...given.headers }
  delete headers["transfer-encoding"]
  if (request.httpVersionMajor > 1) delete headers["connection"]
  const writer = response as Writer
  writer.writeHead(given.statusCode ?? 503, headers as Record<string, string>)
  given.on("error", () => destroyResponse(response))
  // What the mirror has no room for, the main process is not asked for.
  given.pipe(response as unknown as NodeJS.WritableStream)
}

/** The route of the tail in a worker: mirrors are connected with the main process through its socket. */
export const passTail = (socketPath: string | undefined): JournalTail["Service"] => {
  let mirrors = 0
  const take = (request: NodeRequest, response: NodeResponse, target: string): boolean => {
    if (!target.startsWith(tailPath) || request.method !== "GET") return false
    if (socketPath === undefined) {
      unavailable(response)
      return true
    }
    const { authorization } = request.headers
    mirrors++
    const asked = http.request({
      socketPath,
      path: target,
      headers: authorization === undefined ? {} : { authorization }
    })
    asked.on("response", (given) => answer(request, response, given))
    asked.on("error", () => (response.headersSent ? destroyResponse(response) : unavailable(response)))
    response.on("close", () => {
      mirrors--
      asked.destroy()
    })
    asked.end()
    return true
  }
  return { take, mirrors: () => mirrors }
}
