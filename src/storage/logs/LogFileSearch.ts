import type { LogOffset } from "../../shapes/LogOffset.ts"
import type { DiskFile } from "../disk/Disk.ts"
import { fill } from "../disk/Files.ts"
import { DamagedFile } from "../disk/FileIntegrity.ts"

/**
 * Finds an offset in a log file without an index. A log file holds messages, joined with commas. Between two of them stand the
 * bytes below, and nowhere else: within a JSON string each quote has a backslash before it, and no value has an object in it
 * that a key begins. A message ends with its headers, and in these stand the commit LSN and the position of the operation,
 * which are its offset.
 */
const between = Buffer.from(`}},{"key":"`)
/** From the beginning of `between` to that of the message behind it. */
const toMessage = 3
const lsnMark = Buffer.from(`"lsn":"`)
const positionMark = Buffer.from(`"op_position":`)
/** Below this the rest is read at once and looked through. */
const stepBytes = 16 * 1024
/** Headers are rarely longer, but for the keys of a changed key. */
const headersBytes = 1024

/**
 * Where the first message begins whose offset is above `after`, in the first `end` bytes of a log file. That of the last message
 * is known to be above it. Some ten reads, for a file of the usual size.
 */
export const positionAfter = async (file: DiskFile, end: number, after: LogOffset): Promise<number> => {
  const search = new Search(file, end, after)
  // A message begins at `from`, and all before it are at or below `after`. None that ends at or behind `to` is.
  let from = 0
  let to = end
  while (to - from > stepBytes) {
    const middle = from + ((to - from) >>> 1)
    const boundary = await search.boundaryFrom(middle, to)
    if (boundary !== undefined && (await search.isBefore(boundary))) from = boundary + toMessage
    else to = middle
  }
  return search.lastFrom(from, to)
}

class Search {
  private readonly file: DiskFile
  private readonly end: number
  private readonly after: LogOffset

  constructor(file: DiskFile, end: number, after: LogOffset) {
    this.file = file
    this.end = end
    this.after = after
  }

  private async read(from: number, to: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(to - from)
    if (!(await fill(this.file, from, bytes)))
      throw new DamagedFile(this.file.path, `it ends before ${to}`, { isShort: true })
    return bytes
  }

  /** All that is needed to see whether a message ends somewhere from `from` on and before `to`. */
  private readBoundaries(from: number, to: number): Promise<Buffer> {
    return this.read(from, Math.max(from, Math.min(this.end, to + between.length - 1)))
  }

  /** The first end of a message at or behind `from` that begins before `to`. */
  async boundaryFrom(from: number, to: number): Promise<number | undefined> {
    for (let at = from; at < to; at += stepBytes) {
      const bytes = await this.readBoundaries(at, Math.min(to, at + stepBytes))
      const found = bytes.indexOf(between)
      if (found >= 0) return at + found
    }
    return undefined
  }

  /** Whether the message that ends at `boundary` is at or below the offset that is looked for. */
  async isBefore(boundary: number): Promise<boolean> {
    for (let length = headersBytes; ; length *= 4) {
      const from = Math.max(0, boundary - length)
      const bytes = await this.read(from, boundary)
      const answer = this.isAtOrBelow(bytes, bytes.length)
      if (answer !== undefined) return answer
      if (from === 0)
        throw new DamagedFile(this.file.path, `the message that ends at ${boundary} has no offset`)
    }
  }

  /** The same for a message that ends at `end` in `bytes`; `undefined` when not enough of it is there. */
  private isAtOrBelow(bytes: Buffer, end: number): boolean | undefined {
    const at = bytes.lastIndexOf(lsnMark, end)
    if (at < 0) return undefined
    const from = at + lsnMark.length
    const tx = BigInt(bytes.toString("latin1", from, bytes.indexOf(0x22, from)))
    const { after } = this
    if (tx !== after.tx) return tx < after.tx
    const position = bytes.indexOf(positionMark, from) + positionMark.length
    return parseInt(bytes.toString("latin1", position, position + 16), 10) <= after.op
  }

  /** The last beginning of a message, from `from` (which is one) to `to`, with all before it at or below the offset. */
  async lastFrom(from: number, to: number): Promise<number> {
    const bytes = await this.readBoundaries(from, to)
    let begin = 0
    for (;;) {
      const boundary = bytes.indexOf(between, begin)
      if (boundary < 0) return from + begin
      const isBefore = this.isAtOrBelow(bytes.subarray(begin), boundary - begin)
      if (isBefore === undefined)
        throw new DamagedFile(this.file.path, `a message at ${from + begin} has no offset`)
      if (!isBefore) return from + begin
      begin = boundary + toMessage
    }
  }
}
