import type { Duplex } from "node:stream"
import { Transport } from "../../postgres/connection/Transport.ts"

/**
 * What the replication connection reads at once, at most, into memory that it uses again for each piece. Memory of its own for each,
 * as Node's streams give it, would have the garbage collector run all the time.
 */
export const replicationReadBytes = 128 * 1024
/** The most that a stream of Node's gives at once. */
const streamPieceBytes = 64 * 1024

/**
 * Puts itself between a connection and the code that reads it, from the first byte on.
 *
 * Two reasons. What `pg` or its parser throw while they handle a chunk (for an authentication method they do not know,
 * for example) would otherwise surface as an uncaught exception and end the process: here it ends the connection. And
 * once changes stream, a reader of our own takes the place of `pg`'s, with `toOriginal` for what it leaves to it.
 */
export class StreamTap {
  private readonly stream: Duplex
  private readonly originals: Array<(chunk: Buffer) => void> = []
  private reader: ((chunk: Buffer) => void) | undefined
  /** A piece of so many bytes has left something behind, which comes next. */
  fullPieceBytes = streamPieceBytes
  private readonly tapped = (chunk: Buffer): void => this.receive(chunk)

  constructor(stream: Duplex) {
    this.stream = stream
    stream.on("data", this.tapped)
    // Readers register synchronously while the connection is set up; data comes later, in a task of its own.
    stream.on("newListener", (event, listener) => {
      if (event === "data" && listener !== this.tapped) queueMicrotask(() => this.capture())
    })
  }

  /**
   * From now on chunks go to `reader`, which must be done with each of them when it returns, unless it has paused the stream: then
   * until it resumes it. What it throws destroys the connection.
   */
  attach(reader: (chunk: Buffer) => void): void {
    this.reader = reader
    const { stream } = this
    if (!(stream instanceof Transport) || !stream.readInPlace(this.tapped)) return
    this.fullPieceBytes = replicationReadBytes
  }

  /** Gives bytes to those who registered first: `pg`. */
  toOriginal(bytes: Buffer): void {
    for (const listener of this.originals) listener(bytes)
  }

  private capture(): void {
    for (const listener of this.stream.listeners("data")) {
      if (listener === this.tapped) continue
      this.stream.removeListener("data", listener as () => void)
      this.originals.push(listener as (chunk: Buffer) => void)
    }
  }

  private receive(chunk: Buffer): void {
    try {
      if (this.reader !== undefined) this.reader(chunk)
      else this.toOriginal(chunk)
    } catch (error) {
      this.stream.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
