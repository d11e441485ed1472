import type { Lsn } from "../../shared/Lsn.ts"
import { isContained, type SnapshotFilter } from "../../storage/state/SnapshotFilter.ts"

/** A transaction that has been received and not processed. */
interface Waiting {
  readonly commitLsn: Lsn
  readonly xid: number
  readonly serial: number
}

/** Where in the stream a snapshot stands. */
export interface MendPlace {
  /** Behind every transaction that it shows, and before every other one. */
  readonly lsn: Lsn
  /** What follows this transaction is not in it. */
  readonly afterSerial: number
}

/**
 * Where among the transactions a snapshot stands, once all have been received that commit before `containedBefore`, which it
 * can show. `undefined` where it stands nowhere among them, and another one is to be taken: it lacks one of those that have been
 * processed, or one before another that it shows. Transactions that commit at the same time become visible in any order.
 */
export const placeOf = (
  filter: SnapshotFilter,
  containedBefore: Lsn,
  processed: { readonly serial: number; readonly xids: ReadonlyArray<number> },
  waiting: ReadonlyArray<Waiting>
): MendPlace | undefined => {
  if (!processed.xids.every((xid) => isContained(filter, xid))) return undefined
  const firstLacking = waiting.findIndex(({ xid }) => !isContained(filter, xid))
  const shown = firstLacking < 0 ? waiting : waiting.slice(0, firstLacking)
  const rest = waiting.slice(shown.length)
  if (rest.some(({ xid }) => isContained(filter, xid))) return undefined
  const next = rest[0]?.commitLsn
  return {
    lsn: (next !== undefined && next < containedBefore ? next : containedBefore) - 1n,
    afterSerial: shown.at(-1)?.serial ?? processed.serial
  }
}
