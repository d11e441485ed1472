import type { IncomingMessage, ServerResponse as PlainResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"

export type NodeRequest = IncomingMessage | Http2ServerRequest
export type NodeResponse = PlainResponse | Http2ServerResponse

/** Cuts a response so that it does not look complete to its client. */
export const destroyResponse = (response: NodeResponse): void => {
  if ("stream" in response) response.stream.close(2)
  else response.destroy()
}

/**
 * The parts of `node:http` that are used as values. Importing that module reads everything it exports, its WebSocket among
 * them, and so loads a whole HTTP client: 40 ms of a start and 14 MB, which this way does not take.
 */
export const { createServer, Server, ServerResponse } = process.getBuiltinModule("node:http")
