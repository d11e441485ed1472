import type { IncomingMessage, ServerResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"

export type NodeRequest = IncomingMessage | Http2ServerRequest
export type NodeResponse = ServerResponse | Http2ServerResponse

/** Cuts a response so that it does not look complete to its client. */
export const destroyResponse = (response: NodeResponse): void => {
  if ("stream" in response) response.stream.close(2)
  else response.destroy()
}
