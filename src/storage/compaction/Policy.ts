import { compareOffsets, snapshotEnd } from "../../shapes/LogOffset.ts"
import { logBegins, offsetOf } from "../records/Compaction.ts"
import type { Compaction } from "../records/CompactionState.ts"

/** How much may be kept beside what shapes hold, and for how long. Configuration has the same names. */
export interface CompactionSettings {
  /** Percent of the live bytes of a shape that the superseded ones have to be, before a base is made. */
  readonly garbagePercent: number
  /** Superseded bytes below which nothing is done. */
  readonly leastBytes: number
  /** For so long whoever has an offset can go on from it. */
  readonly retentionMillis: number
  /** Percent of the live bytes that the log before the newest base may take: beyond that its beginning goes earlier. */
  readonly retentionPercent: number
}

/** Where room is short, less is worth it, and less is kept: whoever is in the middle of rows has some seconds to go on. */
const shortGarbagePercent = 10
const shortRetentionMillis = 10_000
const shortRetentionPercent = 100

/** The same where all that is not needed has to go. */
export const shortOfRoom = (settings: CompactionSettings): CompactionSettings => ({
  garbagePercent: Math.min(settings.garbagePercent, shortGarbagePercent),
  leastBytes: Math.min(settings.leastBytes, quietBytes),
  retentionMillis: Math.min(settings.retentionMillis, shortRetentionMillis),
  retentionPercent: Math.min(settings.retentionPercent, shortRetentionPercent)
})

/** Rows that were replaced by a newer base stay for whoever is in the middle of them, and as long as a cache may keep their beginning. */
const longestRowsMillis = 3_600_000
export const rowsRetentionMillis = ({
  retentionMillis
}: Pick<CompactionSettings, "retentionMillis">): number => Math.min(longestRowsMillis, retentionMillis)

/** A shape to which nothing has happened for so long is tidied up sooner, from so many bytes on. */
export const quietMillis = 60_000
export const quietBytes = 8 * 1024

/** What a part of a log comes to. */
export interface LogTally {
  readonly inserts: number
  readonly insertBytes: number
  readonly updateBytes: number
  readonly deletes: number
  readonly deleteBytes: number
}

export const emptyTally: LogTally = { inserts: 0, insertBytes: 0, updateBytes: 0, deletes: 0, deleteBytes: 0 }

export interface Worth {
  readonly liveBytes: number
  readonly garbageBytes: number
}

/**
 * What a log after rows of so many bytes comes to, of which each has `rowLength` on the average: a delete makes a row, or an insert of
 * the log, as good as superseded, and every update another message. What a row that went had is not known; it counts as any other.
 */
export const worthOf = (rowBytes: number, log: LogTally, rowLength: number | undefined): Worth => {
  const bytes = rowBytes + log.insertBytes
  const rows = log.inserts + (rowLength === undefined ? 0 : rowBytes / rowLength)
  const known = log.insertBytes + (rowLength === undefined ? 0 : rowBytes)
  const gone = rows > 0 ? Math.min(bytes, log.deletes * (known / rows)) : 0
  return { liveBytes: bytes - gone, garbageBytes: log.updateBytes + log.deleteBytes + gone }
}

/** No message has fewer: what a row is called, and the headers. */
const leastMessageBytes = 64

/**
 * Whether a log behind which so little stands could be worth it at all: it need not be read to see that it is not. It could be deletes
 * throughout. Where the length of rows is not known yet they could be of any.
 */
export const mayBeWorthIt = (
  rowBytes: number,
  logBytes: number,
  rowLength: number | undefined,
  leastBytes: number,
  { garbagePercent }: CompactionSettings
): boolean => {
  if (logBytes < leastBytes) return false
  if (rowLength === undefined && rowBytes > 0) return true
  const gone = logBytes * Math.max(1, (rowLength ?? 0) / leastMessageBytes)
  return 100 * (logBytes + gone) >= garbagePercent * (rowBytes - gone)
}

export const isWorthIt = (
  { garbageBytes, liveBytes }: Worth,
  leastBytes: number,
  { garbagePercent }: CompactionSettings
): boolean => garbageBytes >= leastBytes && 100 * garbageBytes >= garbagePercent * liveBytes

interface Rows {
  readonly firstRowsBytes: number
  readonly compaction: Compaction | undefined
}

const bytesOf = (base: Compaction["bases"][number]): number =>
  base.chunks.reduce((sum, { bytes }) => sum + bytes, 0)

/** Bytes of the rows that a client is given first. */
export const rowBytesOf = ({ compaction, firstRowsBytes }: Rows): number => {
  const base = compaction?.bases.at(-1)
  return base === undefined ? firstRowsBytes : bytesOf(base)
}

/** What stands behind the newest rows when another base could be made of it, and since when. */
interface BaseChance {
  readonly liveBytes: number
  /** Of the log behind the newest rows, as it is when it was folded: so much newcomers are given beside them. */
  readonly behindBytes: number
  /** Since the newest base was made. */
  readonly ageMillis: number
  /** Since anything happened to the shape. */
  readonly leftAloneMillis: number
}

/** Where so many times as much stands behind the rows, one base more does not count. */
const outweighed = 2
/** A shape is quiet that was left alone for such a part of the time since its newest base. */
const quietPart = 1 / 4
const leastQuietMillis = 2000

/**
 * Whether to make one more base. What it supersedes stays for a while, and all that does may take as much as the log that is kept
 * for the same reason: there is room for a few bases only, so they must not all be of the first seconds of a burst. A shape that is
 * being written gets them further and further apart, and one that is quiet again at once, for as long as there is room. A log that
 * is many times the rows, as a queue's is, may have as many as take little beside it. What is the only base, or the first rows, may
 * always be superseded, however little is left of them.
 */
export const mayMakeBase = (
  { compaction, firstRowsBytes }: Rows,
  { ageMillis, behindBytes, liveBytes, leftAloneMillis }: BaseChance,
  settings: CompactionSettings
): boolean => {
  if (compaction === undefined || compaction.bases.length + Number(compaction.hasFirstRows) <= 1) return true
  const superseded = compaction.bases.reduce(
    (sum, base) => sum + bytesOf(base),
    compaction.hasFirstRows ? firstRowsBytes : 0
  )
  if (behindBytes >= outweighed * (superseded + settings.leastBytes)) return true
  const room = (settings.retentionPercent / 100) * liveBytes + settings.leastBytes
  if (superseded > room) return false
  const apartMillis = rowsRetentionMillis(settings) * (liveBytes / room) * (superseded / room)
  return (
    ageMillis >= apartMillis ||
    leftAloneMillis >= Math.min(quietMillis, Math.max(leastQuietMillis, ageMillis * quietPart))
  )
}

/** Marks that are nearer to each other than a quarter of their age are as good as one. */
const thinned = (marks: Compaction["marks"], nowMillis: number): Compaction["marks"] => {
  const kept: Array<Compaction["marks"][number]> = []
  for (const mark of marks) {
    const before = kept.at(-1)
    if (before === undefined || mark[0] - before[0] >= (nowMillis - mark[0]) / 4) kept.push(mark)
  }
  const last = marks.at(-1)
  return last === undefined || kept.at(-1) === last ? kept : [...kept, last]
}

/**
 * What is left of a shape by now: rows that a base has superseded go after some time, and the beginning of the log with the
 * retention; sooner where the log before the newest base takes too much (`pastBytes`: what of it stands behind an offset). The
 * same object where nothing goes.
 */
export const retained = (
  compaction: Compaction,
  nowMillis: number,
  pastBytes: (from: ReturnType<typeof logBegins>) => number,
  settings: CompactionSettings
): Compaction => {
  const rowsMillis = rowsRetentionMillis(settings)
  const { bases } = compaction
  const isOver = (supersededBy: number): boolean => {
    const base = bases[supersededBy]
    return base !== undefined && nowMillis - base.madeAtMillis > rowsMillis
  }
  const hasFirstRows = compaction.hasFirstRows && !isOver(0)
  const kept = bases.filter((_, i) => !isOver(i + 1))
  const newest = bases.at(-1)
  const [oldest] = kept
  let begins = compaction.begins
  if (!hasFirstRows && oldest !== undefined && newest !== undefined) {
    const most = (settings.retentionPercent / 100) * bytesOf(newest) + settings.leastBytes
    for (const [atMillis, end] of compaction.marks) {
      if (compareOffsets(offsetOf(end), offsetOf(oldest.at)) > 0) break
      const age = nowMillis - atMillis
      const from = begins === undefined ? snapshotEnd : offsetOf(begins)
      const isTooOld = age > settings.retentionMillis
      if (!isTooOld && !(age > rowsMillis && pastBytes(from) > most)) break
      if (compareOffsets(offsetOf(end), from) > 0) begins = end
    }
  }
  if (
    hasFirstRows === compaction.hasFirstRows &&
    kept.length === bases.length &&
    begins === compaction.begins
  )
    return compaction
  return {
    ...compaction,
    bases: kept,
    hasFirstRows,
    ...(begins === undefined ? {} : { begins })
  }
}

/** With one more base, which has been made of the log up to its place. */
export const withBase = (
  compaction: Compaction | undefined,
  base: Compaction["bases"][number]
): Compaction => ({
  ...compaction,
  bases: [...(compaction?.bases ?? []), base],
  hasFirstRows: compaction?.hasFirstRows ?? true,
  marks: thinned([...(compaction?.marks ?? []), [base.madeAtMillis, base.at]], base.madeAtMillis)
})
