import { crc32 } from "node:zlib"

/**
 * A page of a checkpoint: some shapes, as the bytes of one row. For each of them
 *
 *     4  length of what it is kept as, with `textFlag` where that is text
 *     4  CRC-32 of that, begun with the four bytes before: they say what it is to be read as
 *     …  its record (`DormantRecord.ts`), with the number of its definition in this file; or, where it has no record, the values of
 *        its row (`CheckpointRow.ts`) as JSON
 *
 * Numbers are little-endian. The row has the checksum of the whole: those of the shapes are only looked at where that is wrong, so that
 * what is damaged costs the shapes that it belongs to.
 */
export const pageFormat = 1

const pageBits = 4
export const pageOf = (id: number): number => id >>> pageBits
export const idsOnPage = (page: number): readonly [first: number, end: number] => [
  page * (1 << pageBits),
  (page + 1) * (1 << pageBits)
]

const headBytes = 8
const textFlag = 0x80000000

/** Of a whole page, by the key of its row. */
export const pageChecksum = (key: number, body: Uint8Array): number => crc32(body, key >>> 0)

/** Builds pages one after the other in the same memory. */
export class PageBuilder {
  private buffer = Buffer.allocUnsafeSlow(16 * 1024)
  private length = 0

  begin(): void {
    this.length = 0
  }

  add(record: Uint8Array): void {
    this.append(record, 0)
  }

  addText(text: string): void {
    this.append(Buffer.from(text), textFlag)
  }

  private append(bytes: Uint8Array, flags: number): void {
    const at = this.length
    this.length += headBytes + bytes.length
    if (this.length > this.buffer.length) {
      const larger = Buffer.allocUnsafeSlow(2 * this.length)
      this.buffer.copy(larger, 0, 0, at)
      this.buffer = larger
    }
    const word = (bytes.length | flags) >>> 0
    this.buffer.writeUInt32LE(word, at)
    this.buffer.writeUInt32LE(crc32(bytes, word), at + 4)
    this.buffer.set(bytes, at + headBytes)
  }

  /** Until the next one begins. Empty where nothing was added. */
  get page(): Buffer {
    return this.buffer.subarray(0, this.length)
  }
}

/**
 * Visits what the shapes of a page are kept as. `isSound`: its checksum is right; where it is not, those are visited whose own one is,
 * as far as it can be told where they begin.
 */
export const visitPage = (
  body: Buffer,
  isSound: boolean,
  visit: (start: number, length: number, isText: boolean) => void
): void => {
  for (let at = 0; at + headBytes <= body.length;) {
    const word = body.readUInt32LE(at)
    const length = word & ~textFlag
    const start = at + headBytes
    const end = start + length
    if (end > body.length) return
    if (isSound || crc32(body.subarray(start, end), word) === body.readUInt32LE(at + 4))
      visit(start, length, word !== length)
    at = end
  }
}
