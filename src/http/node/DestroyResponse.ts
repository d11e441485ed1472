import type { NodeResponse } from "./NodeHandler.ts"

/** Cuts a response so that it does not look complete to its client. */
export const destroyResponse = (response: NodeResponse): void => {
  if ("stream" in response) response.stream.close(2)
  else response.destroy()
}
