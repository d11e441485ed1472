import { Http2ServerResponse } from "node:http2"
import { Effect } from "effect"
import { ShapeReadError } from "../../storage/ShapeLogs.ts"
import { destroyResponse, type NodeResponse, ServerResponse } from "./Exchange.ts"
import type { PieceBuffers } from "./PieceBuffers.ts"
import { currentTimers, type Timers } from "../../shared/Timers.ts"

/** How the responses of one handler are sent. */
export interface Sending {
  /** How long one piece may wait for its client before the connection is destroyed. */
  readonly timeoutMillis: number
  readonly buffers: PieceBuffers
}

/** Pieces of up to this size, such as a bracket, have memory of their own and are not waited for. */
const tinyBytes = 256

/**
 * Whether `write` of this response is Node's own, which says when it needs the bytes no more. Middleware that compresses
 * responses puts its own in place, and may keep what it is given.
 */
export const saysWhenWritten = (response: NodeResponse): boolean =>
  response.write === ServerResponse.prototype.write || response.write === Http2ServerResponse.prototype.write

/** One body on its way to a client, piece by piece through one buffer. */
class PieceSender {
  private readonly response: NodeResponse
  private readonly timers: Timers
  private readonly sending: Sending
  /** When a piece was last begun. */
  private sinceMillis = 0
  private stopTimer = () => {}
  private isStopped = false
  private isWriting = false
  private written: (() => void) | undefined

  constructor(response: NodeResponse, sending: Sending, timers: Timers) {
    this.response = response
    this.timers = timers
    this.sending = sending
    this.beginTime()
    this.checkAfter(sending.timeoutMillis)
  }

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
    if (this.isWriting && this.response.socket !== null) return destroyResponse(this.response)
    this.beginTime()
    this.checkAfter(this.sending.timeoutMillis)
  }

  async send(pieces: (buffer: Buffer) => AsyncGenerator<Uint8Array>): Promise<void> {
    const { buffers } = this.sending
    const buffer = buffers.take()
    let isDone = false
    try {
      for await (const piece of pieces(buffer)) {
        if (this.isStopped) return
        if (piece.length <= tinyBytes) this.writeOut(Buffer.from(piece))
        else await this.write(piece)
        if (this.isStopped) return
      }
      isDone = true
    } finally {
      this.stopTimer()
      // What the connection of a client that went away still does with the buffer is not known.
      buffers.give(buffer, isDone)
    }
  }

  private writeOut(piece: Uint8Array, done?: (error?: Error | null) => void): void {
    const response: {
      write(piece: Uint8Array, done?: (error?: Error | null) => void): boolean
    } = this.response
    response.write(piece, done)
  }

  private write(piece: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.written = resolve
      this.isWriting = true
      this.beginTime()
      this.writeOut(piece, this.done)
    })
  }

  private readonly done = (error?: Error | null): void => {
    this.isWriting = false
    if (error !== undefined && error !== null) this.isStopped = true
    this.written?.()
  }

  stop(): void {
    this.isStopped = true
    this.done()
  }
}

/**
 * Sends the pieces of a body and completes when the client has taken the last one, or nearly. When it takes none for the
 * send time-out, its connection is destroyed, and the fiber interrupted by the connection's end.
 */
export const sendPieces = (
  response: NodeResponse,
  pieces: (buffer: Buffer) => AsyncGenerator<Uint8Array>,
  sending: Sending
): Effect.Effect<void, ShapeReadError> =>
  Effect.flatMap(currentTimers, (timers) =>
    Effect.callback<void, ShapeReadError>((resume) => {
      const sender = new PieceSender(response, sending, timers)
      void sender.send(pieces).then(
        () => resume(Effect.void),
        (problem: unknown) =>
          resume(problem instanceof ShapeReadError ? Effect.fail(problem) : Effect.die(problem))
      )
      return Effect.sync(() => sender.stop())
    })
  )
