import { frameHeaderBytes, frameOf, scanFrame, sealFrame } from "../disk/Frame.ts"
import type { ChainLink } from "../chain/ChainObject.ts"

/**
 * What the writer sends to a mirror, one frame after the other, in the form of the journal's own records (`disk/Frame.ts`):
 * length, CRC-32, kind, payload. The sum of TCP has 16 bits, and what stands between the two may change bytes: a mirror keeps
 * what it is sent, and believes that it need not fetch an object that holds the same. So every frame is checked by itself.
 * Nothing is compressed: the bytes of a change are on their way a millisecond after it, and in pieces too small for that.
 *
 * A change of what is said below that an older mirror would misunderstand raises `tailFormat`; a kind that it does not know it
 * passes over.
 */
export const tailFormat = 1

/** Where an instance is asked for it, below the URL that it announces. */
export const tailPath = "/baton/journal"

/** The first frame says what follows. */
interface TailHello {
  readonly format: number
  /** Of the writer, for the log. */
  readonly release: string
  readonly epoch: number
}

/** Bytes as they stand in the writer's file of a segment. They are a view of what the decoder was given, or of its own memory. */
interface TailBytes {
  readonly segment: number
  readonly position: number
  readonly bytes: Uint8Array
}

/** An object of the chain is there, and holds the journal of the epoch up to here: that has been sent before. */
export interface CreatedObject extends ChainLink {
  readonly segment: number
  readonly position: number
  /** It holds more than that, for which it has to be fetched. */
  readonly holdsMore: boolean
}

export type TailFrame =
  | { readonly _tag: "Hello"; readonly hello: TailHello }
  | { readonly _tag: "Bytes"; readonly bytes: TailBytes }
  | { readonly _tag: "Created"; readonly object: CreatedObject }
  | { readonly _tag: "Heartbeat" }

const kinds = { hello: 1, bytes: 2, created: 3, heartbeat: 4 } as const

/** Of a segment's bytes: u32 segment, u64 position, and then the bytes. */
const placeBytes = 12

/** Journal bytes in one frame, at most. */
export const tailPieceBytes = 256 * 1024
/** No frame is longer: a length above it is damage, and no reason to take memory. */
const maxPayloadBytes = 1 << 20

const jsonFrame = (kind: number, value: TailHello | CreatedObject): Buffer =>
  frameOf(kind, Buffer.from(JSON.stringify(value)))

export const helloFrame = (hello: TailHello): Buffer => jsonFrame(kinds.hello, hello)
export const createdFrame = (object: CreatedObject): Buffer => jsonFrame(kinds.created, object)
export const heartbeatFrame: Buffer = frameOf(kinds.heartbeat, Buffer.alloc(0))

/** A frame with room for so many bytes of a segment, to be filled from `bytesAt` on and then sealed. */
export const emptyBytesFrame = (length: number): Buffer =>
  Buffer.allocUnsafe(frameHeaderBytes + placeBytes + length)
export const bytesAt = frameHeaderBytes + placeBytes

export const sealBytesFrame = (frame: Buffer, segment: number, position: number): void => {
  frame.writeUInt32LE(segment, frameHeaderBytes)
  frame.writeBigUInt64LE(BigInt(position), frameHeaderBytes + 4)
  sealFrame(frame, 0, frame.length, kinds.bytes)
}

const parse = (kind: number, payload: Buffer): TailFrame | "unknown" | "damaged" => {
  switch (kind) {
    case kinds.hello:
      return { _tag: "Hello", hello: JSON.parse(payload.toString()) as TailHello }
    case kinds.bytes:
      return payload.length < placeBytes
        ? "damaged"
        : {
            _tag: "Bytes",
            bytes: {
              segment: payload.readUInt32LE(0),
              position: Number(payload.readBigUInt64LE(4)),
              bytes: payload.subarray(placeBytes)
            }
          }
    case kinds.created:
      return { _tag: "Created", object: JSON.parse(payload.toString()) as CreatedObject }
    case kinds.heartbeat:
      return { _tag: "Heartbeat" }
    default:
      return "unknown"
  }
}

/** Puts frames together from what a connection gives, however it is cut. Keeps no more than the frame that is not whole yet. */
export class TailDecoder {
  /** The beginning of a frame, and how many of its bytes are there. */
  private rest = Buffer.alloc(frameHeaderBytes)
  private length = 0
  private isDamaged = false

  /** Tells of each whole frame, in order. False once a frame was damaged, and from then on: nothing behind it can be trusted. */
  push(chunk: Uint8Array, tell: (frame: TailFrame) => void): boolean {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = 0
    while (this.length > 0 && at < bytes.length && !this.isDamaged) at += this.fill(bytes, at, tell)
    while (at < bytes.length && !this.isDamaged) {
      const scan = this.scan(bytes, at, bytes.length)
      if (scan === undefined) return false
      if (scan._tag === "Short") {
        this.reserve(scan.needed)
        this.length = bytes.copy(this.rest, 0, at)
        break
      }
      this.tell(scan.kind, bytes.subarray(at + frameHeaderBytes, scan.end), tell)
      at = scan.end
    }
    return !this.isDamaged
  }

  private scan(bytes: Buffer, at: number, limit: number) {
    const isTooLong = limit - at >= 4 && bytes.readUInt32LE(at) > maxPayloadBytes
    const scan = isTooLong ? undefined : scanFrame(bytes, at, limit)
    if (scan !== undefined && scan._tag !== "Damaged") return scan
    this.isDamaged = true
    return undefined
  }

  private reserve(needed: number): void {
    if (this.rest.length >= needed) return
    const larger = Buffer.allocUnsafe(needed)
    this.rest.copy(larger, 0, 0, this.length)
    this.rest = larger
  }

  /** Goes on with the frame that has begun. Gives how many bytes it has taken. */
  private fill(bytes: Buffer, at: number, tell: (frame: TailFrame) => void): number {
    const before = this.scan(this.rest, 0, this.length)
    const needed = before?._tag === "Short" ? before.needed : 0
    this.reserve(needed)
    const taken = bytes.copy(this.rest, this.length, at, at + needed - this.length)
    this.length += taken
    const scan = this.isDamaged ? undefined : this.scan(this.rest, 0, this.length)
    if (scan?._tag === "Frame") {
      const { rest } = this
      // Who was told of the frame may keep it.
      this.rest = Buffer.alloc(frameHeaderBytes)
      this.length = 0
      this.tell(scan.kind, rest.subarray(frameHeaderBytes, scan.end), tell)
    }
    return taken
  }

  private tell(kind: number, payload: Buffer, tell: (frame: TailFrame) => void): void {
    let frame: ReturnType<typeof parse>
    try {
      frame = parse(kind, payload)
    } catch {
      frame = "damaged"
    }
    if (frame === "damaged") this.isDamaged = true
    else if (frame !== "unknown") tell(frame)
  }
}
