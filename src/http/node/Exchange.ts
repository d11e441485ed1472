import type { IncomingMessage, ServerResponse as PlainResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import type { SimpleRequest } from "../simple/SimpleRequest.ts"
import type { SimpleResponse } from "../simple/SimpleResponse.ts"

export type NodeRequest = IncomingMessage | Http2ServerRequest
export type NodeResponse = PlainResponse | Http2ServerResponse

/** Those of Node's servers, and the simple ones. */
export type AnyRequest = NodeRequest | SimpleRequest
export type AnyResponse = NodeResponse | SimpleResponse

/** There is nothing more to come. */
export const endResponse = (response: { end(): void }): void => response.end()

/** Cuts a response so that it does not look complete to its client. */
export const destroyResponse = (response: AnyResponse): void => {
  if ("stream" in response) response.stream.close(2)
  else response.destroy()
}

/**
 * The parts of `node:http` that are used as values. Importing that module reads everything it exports, its WebSocket among
 * them, and so loads a whole HTTP client: 40 ms of a start and 14 MB, which this way does not take.
 */
export const { createServer, Server, ServerResponse } = process.getBuiltinModule("node:http")
