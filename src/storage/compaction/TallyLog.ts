import { emptyTally, type LogTally } from "./Policy.ts"

/** Stands in every message about a row, once: within a value each quote has a backslash before it. */
const mark = Buffer.from(`"headers":{"operation":"`)

const [insert, update, remove] = ["i", "u", "d"].map((letter) => letter.charCodeAt(0))

/** Counts what a log comes to, from its bytes alone: what stands between two marks counts for the message of the second. */
export class TallyLog {
  private inserts: number
  private insertBytes: number
  private updateBytes: number
  private deletes: number
  private deleteBytes: number
  private sinceMark = 0
  /** The end of what was before, in which a mark may have begun. */
  private rest: Buffer = Buffer.alloc(0)

  constructor(before: LogTally) {
    this.inserts = before.inserts
    this.insertBytes = before.insertBytes
    this.updateBytes = before.updateBytes
    this.deletes = before.deletes
    this.deleteBytes = before.deleteBytes
  }

  get tally(): LogTally {
    const { deleteBytes, deletes, insertBytes, inserts, updateBytes } = this
    return { deleteBytes, deletes, insertBytes, inserts, updateBytes }
  }

  add(piece: Uint8Array): void {
    const bytes = Buffer.concat([this.rest, piece])
    let counted = this.rest.length
    let at = bytes.indexOf(mark)
    for (; at >= 0 && at + mark.length < bytes.length; at = bytes.indexOf(mark, at + mark.length)) {
      const length = this.sinceMark + Math.max(0, at - counted)
      this.sinceMark = 0
      counted = Math.max(counted, at)
      this.count(bytes[at + mark.length], length)
    }
    this.sinceMark += bytes.length - counted
    // A mark of which all is here, but for the letter behind it, is found in the next piece: no other one is whole in this.
    this.rest = Buffer.from(bytes.subarray(Math.max(0, bytes.length - mark.length)))
  }

  private count(letter: number | undefined, length: number): void {
    if (letter === insert) {
      this.inserts++
      this.insertBytes += length
    } else if (letter === update) this.updateBytes += length
    else if (letter === remove) {
      this.deletes++
      this.deleteBytes += length
    }
  }
}

/** The mean length of the rows that begin like this: `undefined` where there are none. */
export const rowLengthOf = (beginning: ReadonlyArray<Uint8Array>): number | undefined => {
  const tally = new TallyLog(emptyTally)
  let bytes = 0
  for (const piece of beginning) {
    tally.add(piece)
    bytes += piece.length
  }
  const { insertBytes, inserts } = tally.tally
  if (inserts > 0) return insertBytes / inserts
  return bytes > 0 ? bytes : undefined
}
