import type { Socket } from "node:net"
import type { NodeRequest, NodeResponse } from "./Exchange.ts"

/**
 * Requests that a client has sent without waiting for answers. One request of an HTTP/1.1 connection is worked on at a
 * time, so a client that reads nothing holds what one answer needs, however much it asks for. Those that wait cost their
 * parsed heads; with too many the connection is cut: no ordinary client has more than a handful.
 */
export class Pipeline {
  private readonly most: number
  private readonly waiting = new WeakMap<Socket, number>()

  constructor(most: number) {
    this.most = most
  }

  /** Calls `begin` when the answer before this one is done. Node gives a response its socket then. */
  await(request: NodeRequest, response: NodeResponse, begin: () => void): void {
    const { socket } = request
    const count = (this.waiting.get(socket) ?? 0) + 1
    if (count > this.most) {
      socket.destroy()
      return
    }
    this.waiting.set(socket, count)
    response.once("socket", () => {
      this.waiting.set(socket, (this.waiting.get(socket) ?? 1) - 1)
      begin()
    })
  }
}
