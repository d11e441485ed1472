import { compareOffsets, type LogOffset, snapshotEnd } from "../../shapes/LogOffset.ts"
import type { Base, Compaction, StoredOffset } from "./CompactionState.ts"
import type { LogFile } from "./Records.ts"
import { logFileEnd } from "./Records.ts"

export const storedOffset = ({ op, tx }: LogOffset): StoredOffset => [String(tx), op]
export const offsetOf = ([tx, op]: StoredOffset): LogOffset => ({ tx: BigInt(tx), op })

/** Numbers from here on are of files that compaction has made. */
const firstNumber = 2 ** 32

/** Whether an index is that of a chunk of a base, or of a folded log file. */
export const isMadeByCompaction = (index: number): boolean => index >= firstNumber

/** Where the log of a shape begins; `0_inf` when all of it is there. */
export const logBegins = (compaction: Compaction | undefined): LogOffset =>
  compaction?.begins === undefined ? snapshotEnd : offsetOf(compaction.begins)

/** Index of the chunk that a client is given first. */
export const firstChunk = (compaction: Compaction | undefined): number =>
  compaction?.bases.at(-1)?.chunks[0]?.index ?? 0

/** Whether the file `s<index>` of a shape is not needed any more: a chunk of rows that newer ones have taken the place of. */
export const isSuperseded = (compaction: Compaction | undefined, index: number): boolean => {
  if (compaction === undefined) return false
  if (!isMadeByCompaction(index)) return !compaction.hasFirstRows
  // What has a higher number is being made.
  return index < firstChunk(compaction) && baseOf(compaction, index) === undefined
}

/** The base that the chunk belongs to. */
export const baseOf = (compaction: Compaction | undefined, index: number): Base | undefined =>
  compaction?.bases.find(({ chunks }) => {
    const [first, last] = [chunks[0], chunks.at(-1)]
    return first !== undefined && last !== undefined && first.index <= index && index <= last.index
  })

/** The log files of a shape when folded ones have taken the place of those up to `folded`, and those before `begins` are gone. */
export const filesAfter = (
  { begins, folded }: Compaction,
  known: ReadonlyArray<LogFile>,
  made: ReadonlyArray<LogFile> | undefined
): ReadonlyArray<LogFile> => {
  let files = known
  if (made !== undefined && folded !== undefined) {
    const end = offsetOf(folded)
    files = [...made, ...known.filter((file) => compareOffsets(logFileEnd(file), end) > 0)]
  }
  if (begins === undefined) return files
  const from = offsetOf(begins)
  // Moves go on from the last one.
  return files.filter((file, i) => i === files.length - 1 || compareOffsets(logFileEnd(file), from) > 0)
}

/**
 * Numbers of the files that compaction makes, in the epoch of one writer. An epoch has one writer, so they are given once: whoever
 * was fenced off in the middle writes to files that nobody reads.
 */
export class FileNumbers {
  private next: number
  private readonly end: number

  constructor(epoch: number) {
    this.next = epoch * firstNumber
    this.end = this.next + firstNumber
  }

  /** `undefined` when there is none left that a number is exact for. */
  take(): number | undefined {
    return this.next < this.end && this.end <= Number.MAX_SAFE_INTEGER ? this.next++ : undefined
  }
}
