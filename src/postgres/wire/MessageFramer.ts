export interface FrameHandler {
  /**
   * The next message: its type stands at `start`, its content between `start + headerBytes` and `end`. False: hand over
   * nothing more until `proceed`.
   */
  readonly message: (buffer: Buffer, start: number, end: number) => boolean
  /** The chunk that was received last has been handed over. False: as above. */
  readonly chunkEnd: () => boolean
  /** A message announces more than `maxMessageBytes`. Must throw. */
  readonly oversized: (messageBytes: number) => never
  /** What was received is no message. Must throw. */
  readonly malformed: (why: string) => never
}

/** Type of a message that carries data, of a replication stream for example. */
export const copyData = 0x64 // d
/** Before the content of a message: its type, and a length that counts itself. */
export const headerBytes = 5
/** A message that does not lie in one chunk gets this much room at first: its announced length may be nonsense. */
const firstRoomBytes = 1024 * 1024
/** When so much of it has arrived, the length is believed. */
const believedBytes = 8 * firstRoomBytes

/**
 * Cuts the chunks of a socket into messages of the frontend/backend protocol, without copying those that lie whole in a
 * chunk. Can be stopped after any message, which `pg`'s own parser cannot: what is left of the chunk is kept.
 *
 * `push` and `proceed` throw what the handler throws; after that nothing more may be pushed.
 * Source: PostgreSQL documentation, "Message Formats".
 */
export class MessageFramer {
  private readonly handler: FrameHandler
  private readonly maxMessageBytes: number
  private readonly keptBytes: number
  /** Received and not yet handed over, in order; `at` is a position in the first one. */
  private readonly chunks: Array<Buffer> = []
  private at = 0
  /** The beginning of a message that goes on in the next chunk. */
  private partial: Buffer = Buffer.alloc(0)
  private partialBytes = 0
  /** Of the content of that message: what was received and let go. */
  private droppedBytes = 0
  private stopped = false
  /** `chunkEnd` was called for the present chunk and stopped us: it must not be called again for it. */
  private ended = false

  /** `keptBytes`: of CopyData that does not lie in one chunk, no more than so much of its content is handed over. */
  constructor(handler: FrameHandler, maxMessageBytes: number, keptBytes = Infinity) {
    this.handler = handler
    this.maxMessageBytes = maxMessageBytes
    this.keptBytes = keptBytes
  }

  /** Takes the next chunk. It must not be changed before all of it is handed over, which it is at once unless a handler stops it. */
  push(chunk: Buffer): void {
    this.chunks.push(chunk)
    if (!this.stopped) this.run()
  }

  /** Goes on after a handler has returned false. Returns whether everything received is now handed over. */
  proceed(): boolean {
    this.stopped = false
    this.run()
    return !this.stopped
  }

  private run(): void {
    for (let chunk = this.chunks[0]; chunk !== undefined; chunk = this.chunks[0]) {
      while (this.at < chunk.length) {
        const goesOn = this.partialBytes > 0 ? this.nextFromPartial(chunk) : this.wholeMessages(chunk)
        if (!goesOn) {
          this.stopped = true
          return
        }
      }
      if (!this.ended) {
        this.ended = true
        if (!this.handler.chunkEnd()) {
          this.stopped = true
          return
        }
      }
      this.ended = false
      this.at = 0
      this.chunks.shift()
    }
  }

  /** Hands over the messages that lie whole in the chunk, and puts aside what there is behind. False when the handler wants to stop. */
  private wholeMessages(chunk: Buffer): boolean {
    const { handler, maxMessageBytes } = this
    const size = chunk.length
    let messageBytes: number | undefined
    for (let at = this.at; at < size; at = this.at) {
      if (at + headerBytes > size) {
        messageBytes = undefined
        break
      }
      messageBytes =
        1 +
        ((((chunk[at + 1] as number) << 24) |
          ((chunk[at + 2] as number) << 16) |
          ((chunk[at + 3] as number) << 8) |
          (chunk[at + 4] as number)) >>>
          0)
      if (messageBytes < headerBytes || messageBytes > maxMessageBytes) this.refuse(messageBytes)
      if (messageBytes > size - at) break
      this.at = at + messageBytes
      if (!handler.message(chunk, at, this.at)) return false
    }
    if (this.at === size) return true
    this.partial = Buffer.allocUnsafe(
      messageBytes === undefined ? headerBytes : Math.min(messageBytes, firstRoomBytes)
    )
    this.putAside(chunk, size)
    return true
  }

  private nextFromPartial(chunk: Buffer): boolean {
    if (this.partialBytes < headerBytes) {
      this.putAside(chunk, Math.min(chunk.length, this.at + headerBytes - this.partialBytes))
      if (this.partialBytes < headerBytes) return true
    }
    const messageBytes = 1 + this.partial.readUInt32BE(1)
    if (messageBytes < headerBytes || messageBytes > this.maxMessageBytes) this.refuse(messageBytes)
    const receivedBytes = this.partialBytes + this.droppedBytes
    const end = Math.min(chunk.length, this.at + messageBytes - receivedBytes)
    this.putAside(chunk, end, messageBytes)
    if (this.partialBytes + this.droppedBytes < messageBytes) return true
    const { partial, partialBytes } = this
    this.partial = Buffer.alloc(0)
    this.partialBytes = 0
    this.droppedBytes = 0
    return this.handler.message(partial, 0, partialBytes)
  }

  private putAside(chunk: Buffer, until: number, messageBytes = 0): void {
    const kind = this.partialBytes === 0 ? chunk[this.at] : this.partial[0]
    const wanted = kind === copyData ? headerBytes + this.keptBytes - this.partialBytes : Infinity
    const end = Math.min(until, this.at + wanted)
    const bytes = this.partialBytes + end - this.at
    if (bytes > this.partial.length) {
      const room = bytes > believedBytes ? messageBytes : this.partial.length * 2
      const larger = Buffer.allocUnsafe(Math.max(bytes, room))
      this.partial.copy(larger, 0, 0, this.partialBytes)
      this.partial = larger
    }
    chunk.copy(this.partial, this.partialBytes, this.at, end)
    this.partialBytes = bytes
    this.droppedBytes += until - end
    this.at = until
  }

  private refuse(messageBytes: number): never {
    return messageBytes < headerBytes
      ? this.handler.malformed("a message is shorter than its header")
      : this.handler.oversized(messageBytes)
  }
}
