import { MalformedMessage } from "./MalformedMessage.ts"

export interface FrameHandler {
  /** Content of a CopyData message, `buffer[start .. end]`. False: hand over nothing more until `proceed`. */
  readonly copyData: (buffer: Buffer, start: number, end: number) => boolean
  /** Any other message, whole. False: as above. */
  readonly other: (message: Buffer) => boolean
  /** The chunk that was received last has been handed over. False: as above. */
  readonly chunkEnd: () => boolean
  /** A message announces more than `maxMessageBytes`. Must throw. */
  readonly oversized: (messageBytes: number) => never
}

const copyData = 0x64 // d
const headerBytes = 5
/** A message that does not lie in one chunk gets this much room at first: its announced length may be nonsense. */
const firstRoomBytes = 1024 * 1024
/** When so much of it has arrived, the length is believed. */
const believedBytes = 8 * firstRoomBytes

/**
 * Cuts the chunks of a socket into messages of the frontend/backend protocol, without copying those that lie whole in a
 * chunk. Can be stopped after any message, which `pg`'s own parser cannot: what is left of the chunk is kept.
 *
 * `push` and `proceed` throw `MalformedMessage` and whatever the handler throws; after that nothing more may be pushed.
 */
export class MessageFramer {
  private readonly handler: FrameHandler
  private readonly maxMessageBytes: number
  /** Received and not yet handed over, in order; `at` is a position in the first one. */
  private readonly chunks: Array<Buffer> = []
  private at = 0
  /** The beginning of a message that goes on in the next chunk. */
  private partial: Buffer = Buffer.alloc(0)
  private partialBytes = 0
  private stopped = false
  /** `chunkEnd` was called for the present chunk and stopped us: it must not be called again for it. */
  private ended = false

  constructor(handler: FrameHandler, maxMessageBytes: number) {
    this.handler = handler
    this.maxMessageBytes = maxMessageBytes
  }

  /** Takes the next chunk. It must not be changed afterwards. */
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
        if (!this.next(chunk)) {
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

  /** Hands over the next message, or puts what there is of it aside. False when the handler wants to stop. */
  private next(chunk: Buffer): boolean {
    if (this.partialBytes > 0) return this.nextFromPartial(chunk)
    const start = this.at
    const available = chunk.length - start
    const messageBytes = available < headerBytes ? undefined : this.messageBytes(chunk, start)
    if (messageBytes === undefined || messageBytes > available) {
      this.partial = Buffer.allocUnsafe(
        messageBytes === undefined ? headerBytes : Math.min(messageBytes, firstRoomBytes)
      )
      this.putAside(chunk, chunk.length)
      return true
    }
    this.at = start + messageBytes
    return this.handOver(chunk, start, this.at)
  }

  private nextFromPartial(chunk: Buffer): boolean {
    if (this.partialBytes < headerBytes) {
      this.putAside(chunk, Math.min(chunk.length, this.at + headerBytes - this.partialBytes))
      if (this.partialBytes < headerBytes) return true
    }
    const messageBytes = this.messageBytes(this.partial, 0)
    this.putAside(chunk, Math.min(chunk.length, this.at + messageBytes - this.partialBytes), messageBytes)
    if (this.partialBytes < messageBytes) return true
    const whole = this.partial
    this.partial = Buffer.alloc(0)
    this.partialBytes = 0
    return this.handOver(whole, 0, messageBytes)
  }

  private putAside(chunk: Buffer, end: number, messageBytes = 0): void {
    const bytes = this.partialBytes + end - this.at
    if (bytes > this.partial.length) {
      const room = bytes > believedBytes ? messageBytes : this.partial.length * 2
      const larger = Buffer.allocUnsafe(Math.max(bytes, room))
      this.partial.copy(larger, 0, 0, this.partialBytes)
      this.partial = larger
    }
    chunk.copy(this.partial, this.partialBytes, this.at, end)
    this.partialBytes = bytes
    this.at = end
  }

  /** Length of the message whose header is at `at`, its type byte included. */
  private messageBytes(buffer: Buffer, at: number): number {
    const messageBytes = 1 + buffer.readUInt32BE(at + 1)
    if (messageBytes < headerBytes) {
      throw new MalformedMessage({ kind: "CopyData", why: "a message is shorter than its header" })
    }
    if (messageBytes > this.maxMessageBytes) this.handler.oversized(messageBytes)
    return messageBytes
  }

  private handOver(buffer: Buffer, start: number, end: number): boolean {
    return buffer[start] === copyData
      ? this.handler.copyData(buffer, start + headerBytes, end)
      : this.handler.other(buffer.subarray(start, end))
  }
}
