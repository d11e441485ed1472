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
