import * as http from "node:http"
import * as https from "node:https"
import type { Timers } from "../shared/Timers.ts"
import type { RequestPatience } from "./RequestPatience.ts"

export interface HttpRequest {
  readonly method: "GET" | "PUT" | "DELETE"
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Must not change before the answer is there. */
  readonly body: ReadonlyArray<Uint8Array>
}

export interface HttpAnswer {
  readonly status: number
  readonly body: Buffer
}

/** Before so many bytes the server is asked whether it wants them: one that refuses cuts those off who go on sending. */
const politeBytes = 262_144

/** A server that knows nothing of being asked is sent the body after that long. */
const politeMillis = 1000

/** A connection is closed after that long without use: servers close theirs soon after, and a request may meet that. */
const unusedMillis = 4000

/** An error is some hundred bytes; more of one is not read. */
const longestError = 65_536

/** HTTP/1.1 requests over connections that are kept. What they fail with is the system's. */
export class HttpConnections {
  private readonly plain = new http.Agent({ keepAlive: true, timeout: unusedMillis })
  private readonly secure = new https.Agent({ keepAlive: true, timeout: unusedMillis })
  private readonly timers: Timers

  constructor(timers: Timers) {
    this.timers = timers
  }

  /** The whole answer, whatever its status. `patience` is told of what is heard, and ends it. */
  async send({ body, headers, method, url }: HttpRequest, patience: RequestPatience): Promise<HttpAnswer> {
    const bytes = body.reduce((sum, piece) => sum + piece.length, 0)
    const isPolite = bytes >= politeBytes
    const isSecure = url.startsWith("https:")
    const request = (isSecure ? https : http).request(url, {
      method,
      agent: isSecure ? this.secure : this.plain,
      signal: patience.signal,
      headers: {
        ...headers,
        ...(method === "PUT" ? { "content-length": String(bytes) } : {}),
        ...(isPolite ? { expect: "100-continue" } : {})
      }
    })
    const [answer] = await Promise.all([
      answerOf(request, patience),
      isPolite ? this.sendWhenAsked(request, body) : sendBody(request, body)
    ])
    // Of a body that was not wanted the connection still expects the rest.
    if (!request.writableFinished) request.destroy()
    return answer
  }

  close(): void {
    this.plain.destroy()
    this.secure.destroy()
  }

  private async sendWhenAsked(request: http.ClientRequest, body: ReadonlyArray<Uint8Array>): Promise<void> {
    const isAsked = await new Promise<boolean>((resolve) => {
      const cancel = this.timers.after(politeMillis, () => resolve(true), "aside")
      const settle = (asked: boolean) => () => {
        cancel()
        resolve(asked)
      }
      request.once("continue", settle(true))
      request.once("response", settle(false))
      request.once("close", settle(false))
    })
    if (isAsked) await sendBody(request, body)
  }
}

/** Ends early, and without a failure, when the request does: its answer says how. */
const sendBody = async (request: http.ClientRequest, body: ReadonlyArray<Uint8Array>): Promise<void> => {
  for (const piece of body) {
    if (request.destroyed) return
    if (request.write(piece)) continue
    await new Promise<void>((resolve) => {
      const go = () => {
        request.off("drain", go).off("close", go)
        resolve()
      }
      request.once("drain", go).once("close", go)
    })
  }
  request.end()
}

const answerOf = (request: http.ClientRequest, patience: RequestPatience): Promise<HttpAnswer> =>
  new Promise((resolve, reject) => {
    request.on("error", reject)
    request.once("response", (response) => {
      const status = response.statusCode ?? 0
      const pieces: Array<Uint8Array> = []
      let bytes = 0
      const finish = () => resolve({ status, body: Buffer.concat(pieces, bytes) })
      response.on("data", (piece: Buffer) => {
        patience.heard()
        pieces.push(piece)
        bytes += piece.length
        if (status < 300 || bytes <= longestError) return
        finish()
        response.destroy()
      })
      response.once("end", finish)
      response.on("error", reject)
    })
  })
