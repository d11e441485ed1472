import type { SnapshotVisibility } from "../records/Records.ts"

/**
 * Whether a transaction is contained in a snapshot, for the 32-bit transaction ids that the replication stream
 * carries. Ids are compared modulo 2^32 (a difference of 2^31 or more means "before"), members of the list by their
 * low 32 bits, so both stay right after the cluster's id counter has wrapped.
 * Source: PostgreSQL documentation, "Transaction ID and Snapshot Information Functions".
 */
export interface SnapshotFilter {
  readonly xmin: number
  readonly xmax: number
  readonly inProgress: ReadonlyArray<number>
}

const none: ReadonlyArray<number> = []

const low32 = (text: string): number => Number(BigInt.asUintN(32, BigInt(text)))

export const snapshotFilter = (visibility: SnapshotVisibility): SnapshotFilter => ({
  xmin: low32(visibility.xmin),
  xmax: low32(visibility.xmax),
  inProgress: visibility.xipList.length === 0 ? none : visibility.xipList.map(low32)
})

/** True when `a` was assigned before `b`. */
export const xidPrecedes = (a: number, b: number): boolean => ((a - b) | 0) < 0

/** The snapshot shows the transaction's changes, so the log must not. */
export const isContained = (filter: SnapshotFilter, xid: number): boolean => {
  if (!xidPrecedes(xid, filter.xmax)) return false
  if (xidPrecedes(xid, filter.xmin)) return true
  return !filter.inProgress.includes(xid)
}

/** None of these transactions, which are in their order, is in the snapshot behind one that is not. */
export const showsNoGap = (xids: ReadonlyArray<number>, filter: SnapshotFilter): boolean => {
  let lacksOne = false
  for (const xid of xids) {
    if (!isContained(filter, xid)) lacksOne = true
    else if (lacksOne) return false
  }
  return true
}
