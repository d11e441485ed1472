import { sourceXid } from "../segments/SegmentIndex.ts"
import type { RecentXids } from "../state/RecentXids.ts"

/**
 * Remembers the transaction ids of an index as the records that it sums up would have had it. `ends` says of each record of the source
 * among them whether it has ended the history to which the ids before it belong.
 */
export const rememberXids = (
  recent: Pick<RecentXids, "forget" | "push">,
  xids: Uint32Array,
  ends: ReadonlyArray<boolean>
): void => {
  let marks = 0
  for (const xid of xids) if (xid === sourceXid) marks++
  // The first ones may have been cut off, and the index of an older release has none.
  let next = ends.length - marks
  for (const xid of xids) {
    if (xid !== sourceXid) recent.push(xid)
    else if (ends[next++] === true) recent.forget()
  }
}
