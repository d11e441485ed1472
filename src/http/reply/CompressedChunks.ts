import { createGzip } from "node:zlib"
import { Effect } from "effect"
import { formatOffset } from "../../shapes/LogOffset.ts"
import { BoundedMap, weighBytes } from "../../shared/BoundedMap.ts"
import { SingleFlight } from "../../shared/Coalesce.ts"
import type { LogSlice, ShapeHandle } from "../../storage/ShapeLogs.ts"
import { bodyPieces, type ReplyBody } from "./ApiReply.ts"
import { logBody, pieceBytes } from "./LogBody.ts"

/** Below this a compressed answer takes as many packets as the plain one. */
const smallestBytes = 1024
/** Larger chunks than this (one row can be a gigabyte) would keep their readers waiting for too long. */
const largestBytes = 64 << 20
/** A result that is larger than this is not kept, and therefore not made: it would push out everything else. */
const largestResultBytes = 8 << 20
const capacityBytes = 32 << 20
/** Chunks that are compressed at a time: each may hold as much as the largest result. */
const mostRunning = 8
const level = 5

/** Stands in the cache for a chunk that is not worth compressing. */
const notWorthIt = new Uint8Array(0)

/**
 * Finished snapshot chunks, compressed once and kept in memory for all readers. In memory only: an instance that does
 * not hold the lock writes nothing to shared storage. Compression runs in Node's thread pool, beside the event loop.
 */
export class CompressedChunks {
  private readonly cache = new BoundedMap<string, Uint8Array>(capacityBytes, weighBytes)
  private readonly runs = new SingleFlight<void, never>()

  /** The compressed body of a whole snapshot chunk, where it has been made. */
  find(shape: ShapeHandle, slice: LogSlice): Uint8Array | undefined {
    if (!mayPay(slice)) return undefined
    const found = this.cache.get(keyOf(shape, slice))
    return found === notWorthIt ? undefined : found
  }

  /** Whether `prepare` has something to do. */
  isMissing(shape: ShapeHandle, slice: LogSlice): boolean {
    return mayPay(slice) && this.cache.get(keyOf(shape, slice)) === undefined
  }

  /**
   * Compresses a chunk unless somebody does so already, and waits for the end of that. Too many at once are left plain:
   * who asks for many chunks gets no memory of others for that. Never fails: a chunk that cannot
   * be read is not there afterwards, and its reader learns why from the plain body. The work goes on when the reader
   * that asked first goes away.
   */
  prepare(shape: ShapeHandle, slice: LogSlice): Effect.Effect<void> {
    return Effect.suspend(() => {
      const key = keyOf(shape, slice)
      // Its reader gets the plain form, sooner than it would get its turn here.
      if (this.runs.running >= mostRunning && !this.runs.has(key)) return Effect.void
      const worthBytes = (slice.finishedBytes ?? 0) * 0.9
      const work = Effect.tryPromise(() => compressed(logBody(slice, undefined), worthBytes)).pipe(
        Effect.map((bytes) => this.cache.set(key, bytes)),
        Effect.ignoreCause
      )
      return Effect.asVoid(this.runs.join(key, work))
    })
  }
}

const mayPay = ({ finishedBytes }: LogSlice): boolean =>
  finishedBytes !== undefined && finishedBytes >= smallestBytes && finishedBytes <= largestBytes

const keyOf = ({ handle }: ShapeHandle, slice: LogSlice): string => `${handle} ${formatOffset(slice.next)}`

/** A body of known length, in pieces as connections are given them. */
export const compressedBody = (bytes: Uint8Array): ReplyBody => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += pieceBytes) pieces.push(bytes.subarray(at, at + pieceBytes))
  return { _tag: "Bytes", pieces, byteLength: bytes.length }
}

/** The body as gzip; `notWorthIt` when that is longer than allowed. */
const compressed = async (body: ReplyBody, worthBytes: number): Promise<Uint8Array> => {
  const gzip = createGzip({ level, chunkSize: 64 * 1024 })
  const limit = Math.min(worthBytes, largestResultBytes)
  const pieces: Array<Buffer> = []
  let length = 0
  gzip.on("data", (piece: Buffer) => {
    length += piece.length
    if (length <= limit) pieces.push(piece)
    else pieces.length = 0
  })
  gzip.on("error", () => {}) // who waits is told
  try {
    for await (const piece of bodyPieces(body)) {
      if (length > limit) return notWorthIt
      await new Promise<void>((resolve, reject) =>
        gzip.write(piece, (error) => (error === null || error === undefined ? resolve() : reject(error)))
      )
    }
    await new Promise((resolve, reject) => gzip.once("error", reject).once("end", resolve).end())
    return length > limit ? notWorthIt : owned(pieces, length)
  } finally {
    gzip.destroy()
  }
}

/** One buffer that shares its memory with nothing else. */
const owned = (pieces: ReadonlyArray<Buffer>, length: number): Uint8Array => {
  const whole = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const piece of pieces) at += piece.copy(whole, at)
  return whole
}
