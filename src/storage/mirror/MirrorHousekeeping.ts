import { join } from "node:path"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import type { Timers } from "../../shared/Timers.ts"
import { checkpointFiles } from "../checkpoint/CheckpointFile.ts"
import { removeNamesBefore } from "../checkpoint/ShapeNames.ts"
import { metaFile, parseSegmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import { removeEpochsBefore } from "../journal/Epochs.ts"
import { fetchCheckpoint } from "./CheckpointFetch.ts"
import { type CheckpointHeader, openCheckpoint } from "./CheckpointObject.ts"
import type { LocalJournal } from "./LocalJournal.ts"

interface HousekeepingOptions {
  readonly store: ObjectStore
  readonly paths: StoragePaths
  readonly journal: LocalJournal
  readonly timers: Pick<Timers, "nowMillis">
  /** How long files that nobody needs any more are left to readers that are in the middle of them. */
  readonly removalDelayMillis: number
}

/** Segments, what sums them up, and epochs, as far as a checkpoint with this head makes them superfluous. */
export const removeJournalBefore = async (
  paths: StoragePaths,
  head: CheckpointHeader["head"]
): Promise<void> => {
  for (const directory of [paths.journal, paths.indexes])
    for (const name of await paths.disk.list(directory)) {
      // The table that belongs to an index has a longer name.
      const file = parseSegmentFile(name.slice(0, 17))
      if (file !== undefined && file.segment < head.segment) await paths.disk.remove(join(directory, name))
    }
  await removeEpochsBefore(paths, head.epoch)
}

/**
 * Keeps the directory of a mirror from growing: the newest checkpoint of the bucket takes the place of the local one, and some
 * time later the journal goes that it makes superfluous. Processes that read here may load storage at any moment in between.
 */
export class MirrorHousekeeping {
  private readonly options: HousekeepingOptions
  private changing: Promise<void> = Promise.resolve()
  private due: { readonly header: CheckpointHeader; readonly atMillis: number } | undefined

  constructor(options: HousekeepingOptions) {
    this.options = options
  }

  /** This process writes now, and keeps this directory in another way. Completes when nothing is changed here any more. */
  async stop(): Promise<void> {
    this.due = undefined
    await Promise.allSettled([this.changing])
  }

  /**
   * Fetches a checkpoint and puts it in place, if it is of use here, and if it is still wanted by then. Gives what it says of itself,
   * as long as it is in the bucket. Fails with `BucketFault`, `DiskFault`, and with `ChainBroken` for one that is not sound.
   */
  async take(key: string, isWanted: () => boolean): Promise<CheckpointHeader | undefined> {
    const { paths, store, timers } = this.options
    const found = await openCheckpoint(store, key)
    // One that is gone was followed by a newer one, which is announced, too.
    if (found === undefined) return undefined
    const { header } = found
    if (!(await this.isOfUse(header))) return header
    const fetched = await fetchCheckpoint(store, paths, found, { everything: false, isWanted })
    if (fetched === undefined) return header
    if (!isWanted()) {
      await fetched.discard()
      return header
    }
    this.changing = fetched.place()
    await this.changing
    this.due = { header, atMillis: timers.nowMillis() + this.options.removalDelayMillis }
    return header
  }

  /** Removes what has been superfluous for long enough. */
  async tidy(): Promise<void> {
    const { due } = this
    if (due === undefined || this.options.timers.nowMillis() < due.atMillis) return
    this.changing = this.removeBefore(due.header)
    await this.changing
    if (this.due === due) this.due = undefined
  }

  private async removeBefore({ epoch, head }: CheckpointHeader): Promise<void> {
    const { journal, paths } = this.options
    await journal.beginWith(head.segment)
    await removeJournalBefore(paths, head)
    for (const path of await checkpointFiles(paths)) {
      if (path >= metaFile(paths, epoch)) continue
      await paths.disk.remove(path)
      await paths.disk.remove(`${path}-journal`)
    }
    await removeNamesBefore(paths, epoch)
  }

  /**
   * A process that has written here may have a checkpoint of its own that is newer than this one, and no journal before that
   * any more; or this one would not be looked at, behind one of a later epoch.
   */
  private async isOfUse({ epoch, head }: CheckpointHeader): Promise<boolean> {
    const { paths } = this.options
    const segments = new Set<number>()
    for (const name of await paths.disk.list(paths.journal))
      segments.add(parseSegmentFile(name)?.segment ?? 0)
    for (let segment = head.segment; segment <= Math.max(...segments); segment++)
      if (!segments.has(segment)) return false
    const [newest] = await checkpointFiles(paths)
    return newest === undefined || newest <= metaFile(paths, epoch)
  }
}
