import type { Duplex } from "node:stream"

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
  private readonly tapped = (chunk: Buffer): void => this.receive(chunk)

  constructor(stream: Duplex) {
    this.stream = stream
    stream.on("data", this.tapped)
    // Readers register synchronously while the connection is set up; data comes later, in a task of its own.
    stream.on("newListener", (event, listener) => {
      if (event === "data" && listener !== this.tapped) queueMicrotask(() => this.capture())
    })
  }

  /** From now on chunks go to `reader`. What it throws destroys the connection. */
  attach(reader: (chunk: Buffer) => void): void {
    this.reader = reader
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
