import { crc32 } from "node:zlib"
import { ShapeTail, tailStride } from "../state/ShapeTail.ts"

/**
 * What the first `end` bytes of a journal segment come to: the entries of each shape as `ShapeTail` keeps them, and the
 * rare records in order. It follows from those bytes and nothing else, holds their checksum, and counts for them alone.
 * So it may be missing, old, torn, or written by a fenced instance: the segment itself is the truth.
 *
 * The file consists of 32-bit words in the order of the machine:
 *
 *     head (see `headField`); for each shape: id, number of entries (see `lateFlag`); entries; transaction ids; rare records;
 *     table: for each transaction: commit LSN (upper half first), transaction id
 *
 * The first and the last commit LSN are those of ordinary transactions, zero without any; the table has late ones, too. The
 * rare records are whole frames, padded with zeros to a word; of an inline chunk only id, index, position and length.
 */
export const headField = {
  magic: 0,
  /** CRC-32 of everything from the next word up to the table. */
  crc: 1,
  epoch: 2,
  segment: 3,
  end: 4,
  /** CRC-32 of the segment's first `end` bytes. */
  segmentCrc: 5,
  firstCommitHigh: 6,
  firstCommitLow: 7,
  lastCommitHigh: 8,
  lastCommitLow: 9,
  positionHigh: 10,
  positionLow: 11,
  shapes: 12,
  entries: 13,
  xids: 14,
  rareBytes: 15,
  transactions: 16,
  tableCrc: 17
} as const
export const headWords = 18
export const indexMagic = 0x32584942
/**
 * Of releases that took a segment for finished while the last of it was still on its way to its file: of a transaction that went on
 * beyond the end of the index it may have nothing. So it counts only where it goes to the end of the segment.
 */
export const doubtfulMagic = 0x31584942
export const tableStride = 3
/** In a shape's number of entries: some are of late transactions, and may be there already when the index is taken over. */
export const lateFlag = 0x80000000

/**
 * Among the transaction ids it stands for a record of the source, which may end what those before it mean. Postgres gives it to no
 * transaction. Source: `FrozenTransactionId` of `access/transam.h`.
 */
export const sourceXid = 2

/** Words before the table. */
const mainWords = (head: Uint32Array): number =>
  headWords +
  2 * field(head, "shapes") +
  tailStride * field(head, "entries") +
  field(head, "xids") +
  ((field(head, "rareBytes") + 3) >>> 2)

const field = (head: Uint32Array, name: keyof typeof headField): number => head[headField[name]] as number

export const bytesOf = (words: Uint32Array): Buffer =>
  Buffer.from(words.buffer, words.byteOffset, words.byteLength)

/** Puts the checksums into an index that is complete otherwise. */
export const sealIndex = (words: Uint32Array): void => {
  const main = mainWords(words)
  words[headField.tableCrc] = crc32(bytesOf(words.subarray(main)))
  words[headField.crc] = crc32(bytesOf(words.subarray(headField.crc + 1, main)))
}

const isMagic = (word: number): boolean => word === indexMagic || word === doubtfulMagic

/** Length of the file in bytes up to the table, from its head; `undefined` when it is no index of this segment. */
export const indexBytes = (
  head: Uint32Array,
  epoch: number,
  segment: number
): { readonly main: number; readonly table: number } | undefined =>
  isMagic(field(head, "magic")) && field(head, "epoch") === epoch && field(head, "segment") === segment
    ? { main: 4 * mainWords(head), table: 4 * tableStride * field(head, "transactions") }
    : undefined

const u64 = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low)

/** An index as it was read, without its table. */
export class SegmentIndex {
  private readonly words: Uint32Array<ArrayBuffer>
  private readonly entriesAt: number
  readonly shapes: number

  /** `words` is everything up to the table. */
  constructor(words: Uint32Array<ArrayBuffer>) {
    this.words = words
    this.shapes = field(words, "shapes")
    this.entriesAt = headWords + 2 * this.shapes
  }

  get isSound(): boolean {
    return crc32(bytesOf(this.words.subarray(headField.crc + 1))) === field(this.words, "crc")
  }
  /** What stands behind its end may belong to what stands before it. */
  get isDoubtful(): boolean {
    return field(this.words, "magic") === doubtfulMagic
  }
  get end(): number {
    return field(this.words, "end")
  }
  get segmentCrc(): number {
    return field(this.words, "segmentCrc")
  }
  /** Length in the file, up to the table, and that of the table. */
  get bytes(): number {
    return this.words.byteLength
  }
  get tableBytes(): number {
    return 4 * tableStride * this.transactions
  }
  get transactions(): number {
    return field(this.words, "transactions")
  }
  get tableCrc(): number {
    return field(this.words, "tableCrc")
  }
  get firstCommitLsn(): bigint {
    return u64(field(this.words, "firstCommitHigh"), field(this.words, "firstCommitLow"))
  }
  get lastCommitLsn(): bigint {
    return u64(field(this.words, "lastCommitHigh"), field(this.words, "lastCommitLow"))
  }
  get positionLsn(): bigint {
    return u64(field(this.words, "positionHigh"), field(this.words, "positionLow"))
  }

  /** Each shape that has entries, with a view of them, and whether there are some of late transactions among them. */
  forEachShape(visit: (id: number, entries: ShapeTail, hasLate: boolean) => void): void {
    let at = this.entriesAt
    for (let i = 0; i < this.shapes; i++) {
      const id = this.words[headWords + 2 * i] as number
      const count = this.words[headWords + 2 * i + 1] as number
      const end = at + tailStride * (count & ~lateFlag)
      visit(id, ShapeTail.over(this.words.subarray(at, end)), (count & lateFlag) !== 0)
      at = end
    }
  }

  /** The transactions that a look back must know of, in the order in which they went by; see `sourceXid`. */
  get xids(): Uint32Array {
    const from = this.entriesAt + tailStride * field(this.words, "entries")
    return this.words.subarray(from, from + field(this.words, "xids"))
  }

  /** Frames of the rare records. */
  get rare(): Buffer {
    const from = this.entriesAt + tailStride * field(this.words, "entries") + field(this.words, "xids")
    return bytesOf(this.words.subarray(from)).subarray(0, field(this.words, "rareBytes"))
  }
}

/** Transaction ids by commit LSN, as the table of an index holds them. */
export const xidLookup =
  (table: Uint32Array) =>
  (tx: bigint): number => {
    let from = 0
    let to = table.length / tableStride
    while (from < to) {
      const middle = (from + to) >>> 1
      const at = middle * tableStride
      const here = u64(table[at] as number, table[at + 1] as number)
      if (here === tx) return table[at + 2] as number
      if (here < tx) from = middle + 1
      else to = middle
    }
    throw new Error(`the index of a journal segment has no transaction at ${tx}`)
  }
