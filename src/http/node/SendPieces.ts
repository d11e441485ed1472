import { Http2ServerResponse } from "node:http2"
import { Effect } from "effect"
import { ShapeReadError } from "../../storage/ShapeLogs.ts"
import { destroyResponse } from "./Exchange.ts"
import type { NodeResponse } from "./Exchange.ts"
import { ServerResponse } from "./NodeHttp.ts"
import { PieceBuffers } from "./PieceBuffers.ts"

const buffers = new PieceBuffers()

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
  private readonly timer: NodeJS.Timeout
  private isStopped = false
  private isWriting = false
  private written: (() => void) | undefined

  constructor(response: NodeResponse, sendTimeoutMillis: number) {
    this.response = response
    this.timer = setTimeout(() => this.check(), sendTimeoutMillis)
  }

  /** One timer for the whole body: it runs anew with every piece, and means something only while a client has one to take. */
  private check(): void {
    // Behind another response on the same connection, its own time has not begun.
    if (this.isWriting && this.response.socket !== null) destroyResponse(this.response)
    else this.timer.refresh()
  }

  async send(pieces: (buffer: Buffer) => AsyncGenerator<Uint8Array>): Promise<void> {
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
      clearTimeout(this.timer)
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
      this.timer.refresh()
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
  sendTimeoutMillis: number
): Effect.Effect<void, ShapeReadError> =>
  Effect.callback<void, ShapeReadError>((resume) => {
    const sender = new PieceSender(response, sendTimeoutMillis)
    void sender.send(pieces).then(
      () => resume(Effect.void),
      (problem: unknown) =>
        resume(problem instanceof ShapeReadError ? Effect.fail(problem) : Effect.die(problem))
    )
    return Effect.sync(() => sender.stop())
  })
