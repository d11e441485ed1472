import { ByteWriter, type Gaps } from "../shared/ByteWriter.ts"
import type { Pieces } from "../shared/InTurns.ts"
import { appendJsonText, appendKeyText, mostEscapedBytes } from "./JsonText.ts"

/** Stands in front of the number of a gap. No message has it: JSON writes control characters as `\u0000`. */
const mark = 0
const markBytes = 5
/** Text that is written in one piece: well below a millisecond, or a few of them where each of its bytes is escaped. */
const pieceBytes = 128 * 1024
/** What is copied in one piece into larger memory. */
const copiedBytes = 1 << 20
/** Places of a text at which it is seen how much longer it becomes, and bytes that are looked at there. */
const samples = 16
const sampledBytes = 1024

interface Gap {
  readonly source: Buffer
  readonly start: number
  readonly length: number
  readonly isKey: boolean
}

/**
 * Long texts that are left out of messages while they are encoded, and put in afterwards, piece by piece. So encoding takes no longer
 * for large values, and nothing of the encoder has to be able to pause. The memory that they stand in must not change meanwhile.
 */
export class TextGaps implements Gaps {
  /** As many columns as a table may have can be just shorter, and come to 6.5 MB. */
  readonly leastBytes = 4096
  private readonly all: Array<Gap> = []

  leave(w: ByteWriter, source: Buffer, start: number, length: number, isKey: boolean): void {
    w.reserve(markBytes)
    w.buffer[w.length] = mark
    w.buffer.writeUInt32LE(this.all.length, w.length + 1)
    w.length += markBytes
    this.all.push({ source, start, length, isKey })
  }

  /** No message with gaps is needed any more. */
  clear(): void {
    this.all.length = 0
  }

  /** The parts of an encoded message, in their order: what stands there, and what was left out. */
  private *parts(encoded: Buffer): Generator<Gap> {
    for (let at = 0; at < encoded.length; at += markBytes) {
      const found = encoded.indexOf(mark, at)
      const to = found < 0 ? encoded.length : found
      if (to > at) yield { source: encoded, start: at, length: to - at, isKey: false }
      at = to
      const gap = found < 0 ? undefined : this.all[encoded.readUInt32LE(to + 1)]
      if (gap !== undefined) yield gap
    }
  }

  /** About how long the message becomes, from samples of its texts. */
  estimate(encoded: Buffer): number {
    let bytes = 0
    for (const { source, start, length } of this.parts(encoded))
      bytes += source === encoded ? length : length * growth(source, start, length)
    return Math.ceil(bytes)
  }

  /** Appends the whole message, whose gaps are those that were left in `encoded`. */
  *append(out: ByteWriter, encoded: Buffer): Pieces {
    for (const { source, start, length, isKey } of this.parts(encoded)) {
      if (source === encoded) {
        yield* makeRoom(out, length)
        out.append(source.subarray(start, start + length))
        continue
      }
      for (let done = 0; done < length; done += pieceBytes) {
        const bytes = Math.min(pieceBytes, length - done)
        yield* makeRoom(out, mostEscapedBytes * bytes)
        if (isKey) appendKeyText(out, source, start + done, bytes)
        else appendJsonText(out, source, start + done, bytes)
        yield
      }
    }
  }
}

const growth = (source: Buffer, start: number, length: number): number => {
  const bytes = Math.min(sampledBytes, length)
  const step = Math.floor((length - bytes) / samples)
  sample.clear()
  for (let i = 0; i < samples; i++) appendKeyText(sample, source, start + i * step, bytes)
  return sample.length / (samples * bytes)
}

const sample = new ByteWriter(mostEscapedBytes * samples * sampledBytes)

/** As `reserve`, in pieces. */
function* makeRoom(out: ByteWriter, bytes: number): Pieces {
  const needed = out.length + bytes
  const { buffer, length } = out
  if (needed <= buffer.length) return
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.ceil(buffer.length * 1.5)))
  for (let at = 0; at < length; at += copiedBytes) {
    buffer.copy(larger, at, at, Math.min(length, at + copiedBytes))
    yield
  }
  out.buffer = larger
}

/** Memory for a message of about so many bytes, that seldom has to become larger. */
export const writerFor = (estimatedBytes: number): ByteWriter =>
  new ByteWriter(Math.ceil(estimatedBytes * 1.03) + mostEscapedBytes * pieceBytes)
