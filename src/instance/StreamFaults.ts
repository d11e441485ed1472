import type { Lsn } from "../shared/Lsn.ts"
import type { PgError } from "../postgres/errors/PgError.ts"

/** The last failure of the stream that has to do with what it carries. */
export interface StreamFault {
  readonly key: string
  readonly times: number
  /** The transaction that it came in, if it was in one. */
  readonly commitLsn: Lsn | undefined
  readonly message: string
}

/** Behind the last transaction that was passed over; a position of this system and timeline alone. */
export interface PassedPosition {
  readonly systemId: string
  readonly timeline: number
  readonly lsn: Lsn
}

/**
 * Where a stream begins that must not meet that transaction again: the slot may know nothing of it yet, where the server was
 * too busy to read the last acknowledgement. Only where storage holds everything up to there.
 */
export const streamFrom = (
  passed: PassedPosition | undefined,
  now: Pick<PassedPosition, "systemId" | "timeline">,
  resumeLsn: Lsn
): Lsn | undefined =>
  passed !== undefined &&
  passed.systemId === now.systemId &&
  passed.timeline === now.timeline &&
  passed.lsn <= resumeLsn
    ? passed.lsn
    : undefined

/**
 * How far an instance got that has held the lock since without interruption, up to `epoch`; a position of this system and timeline
 * alone.
 */
export interface StreamedBefore extends PassedPosition {
  readonly epoch: number
}

/** What is known in the next turn, which holds `epoch`. Undefined where another instance has held the lock in between. */
export const heldSince = (streamed: StreamedBefore | undefined, epoch: number): StreamedBefore | undefined =>
  streamed === undefined || streamed.epoch < epoch - 1 ? undefined : { ...streamed, epoch }

/** What is known once it has streamed again. */
export const streamedSince = (before: StreamedBefore | undefined, now: StreamedBefore): StreamedBefore =>
  before !== undefined &&
  before.epoch === now.epoch &&
  before.systemId === now.systemId &&
  before.timeline === now.timeline &&
  before.lsn > now.lsn
    ? { ...now, lsn: before.lsn }
    : now

/** What of the history that storage has its changes from was received by anybody. Undefined where another instance may have. */
export const receivedOf = (
  streamed: StreamedBefore | undefined,
  stored: Pick<PassedPosition, "systemId" | "timeline"> | undefined
): Lsn | undefined =>
  streamed?.systemId === stored?.systemId && streamed?.timeline === stored?.timeline
    ? streamed?.lsn
    : undefined

/** So often Postgres has to fail with the same words in the same place. */
const certainTimes = 2

/** Classes of SQLSTATE that are about a value or a type, or that nobody foresaw. */
const aboutData = /^(22|38|39|54|P0|XX)/
const outOfMemory = "53200"

/** An error of Postgres that has to do with what it was to give out. */
export const isAboutData = ({ code, recovery, serverMessage, unreachable }: PgError): boolean =>
  serverMessage !== undefined &&
  recovery === "retry" &&
  code !== undefined &&
  (code === outOfMemory || (!unreachable && aboutData.test(code)))

/** What is known after the stream has failed; storage holds everything up to `resumeLsn`. */
export const afterStreamFailure = (
  known: StreamFault | undefined,
  error: PgError,
  commitLsn: Lsn | undefined,
  resumeLsn: Lsn
): StreamFault | undefined => {
  if (!isAboutData(error)) return error.unreachable ? known : undefined
  const message = error.serverMessage ?? error.message
  const key = `${error.code} ${message} ${commitLsn ?? resumeLsn}`
  return { key, commitLsn, message, times: known?.key === key ? known.times + 1 : 1 }
}

/** Postgres cannot give the transaction out, however often it is asked. */
export const isCertain = (fault: StreamFault | undefined): fault is StreamFault =>
  fault !== undefined && fault.times >= certainTimes

/** Of shapes with the database, because of changes that cannot be given out. All times are of a clock that is never set. */
export interface Comparisons {
  /** What they have taken, less a part of the time since. */
  readonly debtMillis: number
  readonly atMillis: number
  /** When one began that has not ended: the stream has not begun since. */
  readonly beganMillis: number | undefined
}

export const noComparisons: Comparisons = { debtMillis: 0, atMillis: 0, beganMillis: undefined }

/** Shapes wait for a comparison: in the long run they are compared for no more than this part of the time, however often it is called for. */
const comparisonShare = 0.1
/** And for so long at once. */
const comparisonMillis = 60_000

const debtAt = ({ atMillis, debtMillis }: Comparisons, nowMillis: number): number =>
  Math.max(0, debtMillis - comparisonShare * (nowMillis - atMillis))

/** Whether shapes may be compared once more. */
export const mayCompare = (known: Comparisons, nowMillis: number): boolean =>
  known.beganMillis === undefined && debtAt(known, nowMillis) < comparisonMillis

export const comparisonBegan = (known: Comparisons, nowMillis: number): Comparisons => ({
  ...known,
  beganMillis: nowMillis
})

/** The stream has begun. */
export const comparisonEnded = (known: Comparisons, nowMillis: number): Comparisons =>
  known.beganMillis === undefined
    ? known
    : {
        debtMillis: debtAt(known, nowMillis) + nowMillis - known.beganMillis,
        atMillis: nowMillis,
        beganMillis: undefined
      }
