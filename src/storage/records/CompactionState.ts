/** An offset in JSON. */
export type StoredOffset = readonly [tx: string, op: number]

/** A chunk of a base. With a bucket it is an object of its own. */
interface BaseChunk {
  /** Name of the file, `s<index>`, and offset behind it, `0_<index>`: never given twice, see `FileNumbers`. */
  readonly index: number
  readonly bytes: number
  readonly crc: number
}

/** The rows of a shape at a place in its log: what a client is given that has nothing, before the log behind that place. */
export interface Base {
  /** At least one. Their numbers rise. */
  readonly chunks: ReadonlyArray<BaseChunk>
  readonly at: StoredOffset
  readonly madeAtMillis: number
}

/** What compaction has made of a shape. Replaced as a whole, never changed. */
export interface Compaction {
  /** The oldest first. The last is for those who come; the others are there for those who are in the middle of them. */
  readonly bases: ReadonlyArray<Base>
  /** Whether the first rows are still there for those who are in the middle of them. */
  readonly hasFirstRows: boolean
  /** Log files up to here are folded. */
  readonly folded?: StoredOffset
  /** Before this the log is gone: who is there has to start over. */
  readonly begins?: StoredOffset
  /** When the log had got how far, the oldest first. */
  readonly marks: ReadonlyArray<readonly [atMillis: number, end: StoredOffset]>
}
