import type { Socket } from "node:net"
import type { Timers } from "../../shared/Timers.ts"
import { answerParseError, type ParseError } from "../request/ParseErrors.ts"
import { type ConnectionHost, SimpleConnection } from "./SimpleConnection.ts"

interface SimpleOptions {
  readonly timers: Timers
  /** How long a connection may be without a request. */
  readonly idleMillis: number
  readonly pipelinedRequests: number
  readonly arrived: ConnectionHost["arrived"]
  /** Takes a connection into Node's own server. */
  readonly giveAway: (socket: Socket) => void
}

/** As Node says it of a connection that has sent no request in time. */
const noRequest: ParseError = Object.assign(new Error("no request in time"), {
  code: "ERR_HTTP_REQUEST_TIMEOUT"
})

/** The connections on which nothing but simple requests has come so far. */
export class SimpleConnections implements ConnectionHost {
  readonly pipelinedRequests: number
  readonly arrived: ConnectionHost["arrived"]
  private readonly options: SimpleOptions
  private readonly all = new Set<SimpleConnection>()
  /** Those without a request, in the order in which they have had none. */
  private readonly unused = new Set<SimpleConnection>()
  private readonly keepAlive: string
  private stopLooking: (() => void) | undefined
  private date = ""
  private dateSecond = Number.NaN

  constructor(options: SimpleOptions) {
    this.options = options
    this.pipelinedRequests = options.pipelinedRequests
    this.arrived = options.arrived
    this.keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(options.idleMillis / 1000)}\r\n`
  }

  /** Takes a new connection. */
  take(socket: Socket): void {
    this.all.add(new SimpleConnection(socket, this))
  }

  commonLines(isLast: boolean): string {
    const now = this.options.timers.epochMillis()
    const second = Math.floor(now / 1000)
    if (second !== this.dateSecond) {
      this.dateSecond = second
      this.date = `Date: ${new Date(now).toUTCString()}\r\n`
    }
    return this.date + (isLast ? "Connection: close\r\n" : this.keepAlive)
  }

  giveAway(connection: SimpleConnection, bytes: Buffer): void {
    this.closed(connection)
    const { socket } = connection
    this.options.giveAway(socket)
    // Its listeners are Node's now: these are the bytes that it would have been given first.
    socket.emit("data", bytes)
  }

  busy(connection: SimpleConnection): void {
    this.unused.delete(connection)
  }

  idle(connection: SimpleConnection): void {
    connection.idleSinceMillis = this.options.timers.nowMillis()
    this.unused.add(connection)
    this.look()
  }

  closed(connection: SimpleConnection): void {
    this.all.delete(connection)
    this.unused.delete(connection)
  }

  /** One timer for all, and none while no connection is without a request. */
  private look(): void {
    if (this.stopLooking !== undefined) return
    const { idleMillis, timers } = this.options
    const everyMillis = Math.min(1000, Math.max(10, idleMillis / 8))
    this.stopLooking = timers.after(everyMillis, () => {
      this.stopLooking = undefined
      const before = timers.nowMillis() - idleMillis
      for (const connection of this.unused) {
        if (connection.idleSinceMillis > before) break
        this.unused.delete(connection)
        if (connection.isUsed) connection.socket.destroy()
        else answerParseError(noRequest, connection.socket)
      }
      if (this.unused.size > 0) this.look()
    })
  }

  /** Ends those without a request. */
  closeIdle(): void {
    for (const connection of this.unused) connection.socket.destroy()
  }

  /** Cuts all of them. */
  closeAll(): void {
    this.stopLooking?.()
    for (const connection of this.all) connection.socket.destroy()
  }
}
