import { crc32 } from "node:zlib"
import { writeUint32LE } from "../../shared/Uint64.ts"
import type { Pieces } from "../../shared/InTurns.ts"

/**
 * One record of the journal on disk: u32 payload length, u32 CRC-32 of kind and payload, u8 kind, payload.
 * All integers are little-endian. A torn or damaged record fails its length or its checksum; it never throws.
 */
export const frameHeaderBytes = 9

/** Writes the header of the record whose payload already stands at `at + frameHeaderBytes` and ends at `end`. */
export const sealFrame = (buffer: Buffer, at: number, end: number, kind: number): void => {
  buffer[at + 8] = kind
  writeUint32LE(buffer, end - at - frameHeaderBytes, at)
  writeUint32LE(buffer, crc32(buffer.subarray(at + 8, end)), at + 4)
}

/** Of a checksum at once: some hundred microseconds. */
const sumBytes = 1 << 20

/** The same in pieces. What lies in between must not change meanwhile. */
export function* sealFrameInPieces(buffer: Buffer, at: number, end: number, kind: number): Pieces {
  buffer[at + 8] = kind
  buffer.writeUInt32LE(end - at - frameHeaderBytes, at)
  let sum = 0
  for (let from = at + 8; from < end; from += sumBytes) {
    sum = crc32(buffer.subarray(from, Math.min(end, from + sumBytes)), sum)
    yield
  }
  buffer.writeUInt32LE(sum, at + 4)
}

/** A whole record in a buffer of its own. */
export const frameOf = (kind: number, payload: Uint8Array): Buffer => {
  const frame = Buffer.allocUnsafe(frameHeaderBytes + payload.length)
  frame.set(payload, frameHeaderBytes)
  sealFrame(frame, 0, frame.length, kind)
  return frame
}

/** No payload ends with so many zeros: in JSON there are none, and what ends with the id of a shape has fewer. */
const zerosOfNobody = 4

/** Whether the last bytes of the record that was to end at `end` were never written: files are zeros there. */
export const isTorn = (buffer: Buffer, at: number, end: number): boolean => {
  for (let i = Math.max(at, end - zerosOfNobody); i < end; i++) if (buffer[i] !== 0) return false
  return true
}

type FrameScan =
  /** A sound record; its payload is `buffer[at + frameHeaderBytes .. end]`. */
  | { readonly _tag: "Frame"; readonly kind: number; readonly end: number }
  /** The record is not all there yet; `needed` bytes from `at` would show it whole (at least the header). */
  | { readonly _tag: "Short"; readonly needed: number }
  /** Length or checksum are impossible: a torn write, or damage. */
  | { readonly _tag: "Damaged" }

/** No record is longer: a length above it is damage, not a reason to wait or to allocate. */
export const maxFramePayloadBytes = 1 << 30

/** Looks at the record that starts at `at`; `limit` is the end of the valid bytes of `buffer`. */
export const scanFrame = (buffer: Buffer, at: number, limit: number): FrameScan => {
  if (limit - at < frameHeaderBytes) return { _tag: "Short", needed: frameHeaderBytes }
  const length = buffer.readUInt32LE(at)
  if (length > maxFramePayloadBytes) return { _tag: "Damaged" }
  const end = at + frameHeaderBytes + length
  if (end > limit) return { _tag: "Short", needed: end - at }
  const kind = buffer[at + 8] ?? 0
  // A file system may leave a hole of zeros where a crash cut a write short.
  if (kind === 0 || crc32(buffer.subarray(at + 8, end)) !== buffer.readUInt32LE(at + 4))
    return { _tag: "Damaged" }
  return { _tag: "Frame", kind, end }
}
