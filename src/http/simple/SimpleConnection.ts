import type { Socket } from "node:net"
import { readHead, type RequestHead } from "./RequestHead.ts"
import { SimpleRequest } from "./SimpleRequest.ts"
import { type ResponseHost, SimpleResponse } from "./SimpleResponse.ts"

/** What may arrive of further requests before the one ahead of them is answered; what is more stays with the system. */
const maxPendingBytes = 16_384

/** What all connections share. */
export interface ConnectionHost {
  readonly commonLines: (isLast: boolean) => string
  readonly arrived: (request: SimpleRequest, response: SimpleResponse) => void
  /** Gives a connection to a whole HTTP server, with what has arrived on it. */
  readonly giveAway: (connection: SimpleConnection, bytes: Buffer) => void
  readonly idle: (connection: SimpleConnection) => void
  readonly busy: (connection: SimpleConnection) => void
  readonly closed: (connection: SimpleConnection) => void
  /** Of requests that wait for the one before them. With more the connection is cut. */
  readonly pipelinedRequests: number
}

const own = Symbol("the connection of a socket")
type OwnedSocket = Socket & { [own]?: SimpleConnection | undefined }

// One function of each kind for all connections, not one for each of them.
function onData(this: OwnedSocket, bytes: Buffer): void {
  this[own]?.data(bytes)
}
/** Who says that nothing more comes does not wait for an answer, as with Node's own server. */
function onEnd(this: OwnedSocket): void {
  this.destroySoon()
}
function onClose(this: OwnedSocket): void {
  this[own]?.closed()
}
const onError = (): void => {}

const headEnd = Buffer.from("\r\n\r\n")

/**
 * A connection on which simple requests come, one after the other. With the first bytes that are anything else it becomes one of
 * Node's own server, for good.
 */
export class SimpleConnection implements ResponseHost {
  readonly socket: Socket
  private readonly host: ConnectionHost
  private response: SimpleResponse | undefined
  private pending: Buffer | undefined
  /** When nothing has been asked for since; for the host. */
  idleSinceMillis = 0
  /** Whether a request was answered on it. */
  isUsed = false

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket
    this.host = host
    const owned: OwnedSocket = socket
    owned[own] = this
    socket.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onError)
    host.idle(this)
  }

  commonLines(isLast: boolean): string {
    return this.host.commonLines(isLast)
  }

  data(bytes: Buffer): void {
    if (this.response !== undefined) return this.wait(bytes)
    const head = readHead(bytes)
    if (head === undefined) this.giveAway(bytes)
    else this.begin(head)
  }

  private begin(head: RequestHead): void {
    this.host.busy(this)
    this.isUsed = true
    const response = new SimpleResponse(this)
    this.response = response
    this.host.arrived(new SimpleRequest(head), response)
  }

  /** One request at a time is worked on. That the client goes away is noticed all the same, as long as it sends no more than a little. */
  private wait(bytes: Buffer): void {
    const pending = this.pending === undefined ? bytes : Buffer.concat([this.pending, bytes])
    this.pending = pending
    let count = 0
    for (let at = pending.indexOf(headEnd); at >= 0; at = pending.indexOf(headEnd, at + headEnd.length))
      count++
    if (count > this.host.pipelinedRequests) this.socket.destroy()
    else if (pending.length > maxPendingBytes) this.socket.pause()
  }

  ended(response: SimpleResponse, isLast: boolean): void {
    const { socket } = this
    if (isLast) {
      socket.destroySoon()
      if (socket.writableLength === 0) return this.finish(response, isLast)
      socket.once("finish", () => this.finish(response, isLast))
    } else if (socket.writableLength === 0) this.finish(response, isLast)
    // Behind everything that was written.
    else
      socket.write("", (error) => {
        if (error === undefined || error === null) this.finish(response, isLast)
      })
  }

  private finish(response: SimpleResponse, isLast: boolean): void {
    if (this.response !== response) return
    this.response = undefined
    response.finished()
    if (isLast || this.socket.destroyed) return
    const { pending } = this
    this.pending = undefined
    if (pending === undefined) return this.host.idle(this)
    this.socket.resume()
    this.giveAway(pending)
  }

  private giveAway(bytes: Buffer): void {
    const { socket } = this
    const owned: OwnedSocket = socket
    owned[own] = undefined
    socket.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onError)
    this.host.giveAway(this, bytes)
  }

  closed(): void {
    const { response } = this
    this.response = undefined
    this.pending = undefined
    this.host.closed(this)
    response?.closed()
  }
}
