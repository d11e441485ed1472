import { Http2ServerResponse } from "node:http2"
import { Effect } from "effect"
import { ShapeReadError } from "../../storage/ShapeLogs.ts"
import { destroyResponse, type AnyResponse, ServerResponse } from "./Exchange.ts"
import type { PieceSource } from "../../shared/Pieces.ts"
import { SimpleResponse } from "../simple/SimpleResponse.ts"
import type { PieceBuffers } from "./PieceBuffers.ts"
import type { SlowReader, SlowReaders } from "../../telemetry/SlowReaders.ts"
import { currentTimers, type Timers } from "../../shared/Timers.ts"

/** How the responses of one handler are sent. */
export interface Sending {
  /** How long one piece may wait for its client before the connection is destroyed. */
  readonly timeoutMillis: number
  readonly buffers: PieceBuffers
  readonly slow: SlowReaders
}

/** Pieces of up to this size, such as a bracket, have memory of their own and are not waited for. */
const tinyBytes = 256

/**
 * Whether `write` of this response is Node's own or ours, which says when it needs the bytes no more. Middleware that compresses
 * responses puts its own in place, and may keep what it is given.
 */
const saysWhenWritten = (response: AnyResponse): boolean =>
  response instanceof SimpleResponse ||
  response.write === ServerResponse.prototype.write ||
  response.write === Http2ServerResponse.prototype.write

/** Address of the client, for operators; with HTTP/2 that of the connection that the stream is on. */
export const peerOf = (response: AnyResponse): string | undefined => {
  const { socket } = response
  return socket === null || socket === undefined
    ? undefined
    : `${socket.remoteAddress ?? ""}:${socket.remotePort ?? ""}`
}

/** One body on its way to a client, piece by piece. */
class PieceSender implements SlowReader {
  private readonly response: AnyResponse
  private readonly timers: Timers
  private readonly sending: Sending
  /** When a piece was last begun. */
  sinceMillis = 0
  private stopTimer = () => {}
  private isStopped = false
  private isWriting = false
  private goOn: (() => void) | undefined

  constructor(response: AnyResponse, sending: Sending, timers: Timers) {
    this.response = response
    this.timers = timers
    this.sending = sending
    this.beginTime()
    this.checkAfter(sending.timeoutMillis)
  }

  readonly peer = (): string | undefined => peerOf(this.response)

  private beginTime(): void {
    this.sinceMillis = this.timers.nowMillis()
  }

  private checkAfter(millis: number): void {
    this.stopTimer = this.timers.after(millis, () => this.check())
  }

  /** One timer for the whole body: a piece only notes when it begins, and time means something only while a client has one to take. */
  private check(): void {
    const leftMillis = this.sinceMillis + this.sending.timeoutMillis - this.timers.nowMillis()
    if (leftMillis > 0) return this.checkAfter(Math.ceil(leftMillis))
    // Behind another response on the same connection, its own time has not begun.
    if (this.isWriting && this.response.socket !== null) {
      this.sending.slow.cut++
      return destroyResponse(this.response)
    }
    this.beginTime()
    this.checkAfter(this.sending.timeoutMillis)
  }

  async send(source: PieceSource | ReadonlyArray<Uint8Array>): Promise<void> {
    const { buffers } = this.sending
    const buffer = typeof source === "function" && saysWhenWritten(this.response) ? buffers.take() : undefined
    let isDone = false
    try {
      for await (const piece of typeof source === "function" ? source(buffer) : source) {
        if (this.isStopped) return
        if (buffer === undefined) await this.write(piece)
        else if (piece.length <= tinyBytes) this.writeOut(Buffer.from(piece))
        else await this.lend(piece)
        if (this.isStopped) return
      }
      isDone = true
    } finally {
      this.stopTimer()
      // What the connection of a client that went away still does with the buffer is not known.
      if (buffer !== undefined) buffers.give(buffer, isDone)
    }
  }

  private writeOut(piece: Uint8Array, done?: (error?: Error | null) => void): boolean {
    const response: {
      write(piece: Uint8Array, done?: (error?: Error | null) => void): boolean
    } = this.response
    return response.write(piece, done)
  }

  /** Writes what is used again afterwards: waits until the connection needs it no more. */
  private lend(piece: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.wait(resolve)
      this.writeOut(piece, this.done)
    })
  }

  /** Writes what the connection may keep: waits until it has room for another one. */
  private write(piece: Uint8Array): Promise<void> | undefined {
    const { response } = this
    if (piece.length === 0 || this.writeOut(piece)) return undefined
    if (!response.destroyed)
      return new Promise((resolve) => {
        this.wait(resolve)
        response.once("drain", this.done)
      })
    this.isStopped = true
    return undefined
  }

  private wait(goOn: () => void): void {
    this.goOn = goOn
    this.isWriting = true
    this.sending.slow.begin(this)
    this.beginTime()
  }

  private readonly done = (error?: Error | null): void => {
    if (this.isWriting) this.sending.slow.end(this)
    this.isWriting = false
    if (error !== undefined && error !== null) this.isStopped = true
    this.goOn?.()
  }

  stop(): void {
    this.isStopped = true
    this.response.off("drain", this.done)
    this.done()
  }
}

/**
 * Sends the pieces of a body and completes when the client has taken the last one, or nearly. When it takes none for the
 * send time-out, its connection is destroyed, and the fiber interrupted by the connection's end. What is made while it is
 * sent goes through one buffer, unless the response cannot tell when it needs that no more.
 */
export const sendPieces = (
  response: AnyResponse,
  source: PieceSource | ReadonlyArray<Uint8Array>,
  sending: Sending
): Effect.Effect<void, ShapeReadError> =>
  Effect.flatMap(currentTimers, (timers) =>
    Effect.callback<void, ShapeReadError>((resume) => {
      const sender = new PieceSender(response, sending, timers)
      void sender.send(source).then(
        () => resume(Effect.void),
        (problem: unknown) =>
          resume(problem instanceof ShapeReadError ? Effect.fail(problem) : Effect.die(problem))
      )
      return Effect.sync(() => sender.stop())
    })
  )
