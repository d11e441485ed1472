import { ChainBroken } from "../chain/ChainBroken.ts"
import { chainStart } from "../chain/PlaceAfter.ts"
import { pause } from "../../shared/Timers.ts"
import { placeMillis } from "../StorageTimings.ts"
import { fetchNewest } from "./CheckpointFetch.ts"
import { applyObject, type MirrorContext, startAt } from "./MirrorContext.ts"
import { wipeMirror } from "./MirrorDirectory.ts"
import { removeJournalBefore } from "./MirrorHousekeeping.ts"

/**
 * Fills a directory that was wiped with what the bucket holds: the newest sound checkpoint, if there is one, and the chain from
 * there, to its end. An empty bucket leaves it empty. Nobody reads the directory before it completes.
 * Fails with `BucketFault` and `DiskFault`, and with `ChainBroken` where the chain is not what it has to be: that of another
 * stream, damaged, or of a newer release.
 */
export const restore = async (context: MirrorContext): Promise<void> => {
  const { chain, journal, paths, store, warn } = context
  for (let hole: { readonly error: ChainBroken; readonly key: string | undefined } | undefined; ;) {
    const found = await fetchNewest(store, paths, warn)
    // What was collected is of no use to anybody who has a newer checkpoint; otherwise it was not the writer who has removed it.
    if (hole !== undefined && hole.key === found?.key) throw hole.error
    await found?.place()
    const place = found?.header.place ?? chainStart
    await startAt(context, place, found?.header.head.segment ?? 0)
    try {
      await chain.readFrom(place, (object) => applyObject(context, object))
      return
    } catch (error) {
      if (!(error instanceof ChainBroken && error.heals)) throw error
      hole = { error, key: found?.key }
      await journal.close()
      await wipeMirror(paths)
    }
  }
}

/**
 * The same for a directory that is being read, after a hole in the chain: this process has not read for so long that what
 * came next was collected. The checkpoint takes its place, and all of the journal before it is removed at once: whoever reads
 * there notices, and loads storage anew. Gives when that has had its time; the chain is to be read on then.
 */
export const restoreAgain = async (context: MirrorContext, hole: ChainBroken): Promise<void> => {
  const { chain, journal, paths, store, timers, warn } = context
  const found = await fetchNewest(store, paths, warn)
  if (found === undefined || found.header.place.next <= chain.place.next) {
    await found?.discard()
    throw hole
  }
  const { head, place } = found.header
  warn(`${hole.message}. Storage is loaded anew from the checkpoint ${found.key}.`, "BATON-BUCKET-CHAIN")
  await found.place()
  await journal.close()
  await removeJournalBefore(paths, head)
  await startAt(context, place, head.segment)
  // A reader that is at the end of a file that is gone notices within that time, and must not meet the next one before.
  await pause(timers, 2 * placeMillis)
}
