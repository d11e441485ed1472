/** What an engine counts of compaction since it was made. */
export interface CompactionCounts {
  /** Rows of shapes that were written as they are at a place of their log. */
  bases: number
  /** Logs that were folded. */
  folds: number
  /** Bytes of files that were written for both. */
  writtenBytes: number
  /** Requests of clients that had to start over although their shape lives on. */
  expiredReads: number
}

export const noCompactions = (): CompactionCounts => ({
  bases: 0,
  folds: 0,
  writtenBytes: 0,
  expiredReads: 0
})
