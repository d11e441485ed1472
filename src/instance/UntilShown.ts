import { Effect } from "effect"
import type { PgError } from "../postgres/errors/PgError.ts"
import { isContained, snapshotFilter } from "../storage/state/SnapshotFilter.ts"

/** A look at the catalogue, with the transactions that it has seen, as `pg_snapshot` prints them. */
interface Look {
  readonly shown: string | undefined
}

/** `snapshot`: as `pg_snapshot` prints it, `xmin:xmax:xip,xip`. */
export const isShown = (xid: number, snapshot: string): boolean => {
  const [xmin = "", xmax = "", xip = ""] = snapshot.split(":")
  return isContained(snapshotFilter({ xmin, xmax, xipList: xip === "" ? [] : xip.split(",") }), xid)
}

const firstPauseMillis = 1
/** Twice this long all in all: somebody else may be waiting for what comes behind. */
const longestPauseMillis = 8_000

/**
 * Looks until the look shows this transaction, which the stream has brought: the stream may be quicker than the transaction is visible
 * to others. With a synchronous standby that may take as long as the standby does.
 */
export const untilShown = <A extends Look>(
  xid: number,
  look: Effect.Effect<A, PgError>,
  pauseMillis = firstPauseMillis
): Effect.Effect<A, PgError> =>
  Effect.flatMap(look, (found) =>
    found.shown === undefined || isShown(xid, found.shown) || pauseMillis > longestPauseMillis
      ? Effect.succeed(found)
      : Effect.andThen(Effect.sleep(pauseMillis), untilShown(xid, look, 2 * pauseMillis))
  )
