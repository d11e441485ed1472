import { batonVersion } from "../../shared/ServerIdentity.ts"
import type { Steps } from "../../telemetry/Steps.ts"
import { createLayout, segmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import { ownLevels } from "../levels/Levels.ts"
import { claimEpoch, type EpochRecord, publishEpoch, withdrawClaim } from "../journal/Epochs.ts"
import type { JournalEnd } from "../records/Records.ts"
import type { Askers } from "./Askers.ts"
import type { JournalReading } from "./JournalReading.ts"
import { type Certainty, readEverything } from "./ReadEverything.ts"
import type { RoleContext } from "./RoleContext.ts"

/**
 * The epoch before may have published itself and not have come to begin its segment: the disk refused, or its name was lost with
 * the power. Nothing is missing then, but who moves or reads segments later must not find that one is.
 */
const beginSegmentOf = async (paths: StoragePaths, { epoch, segment }: JournalEnd): Promise<void> => {
  const file = await paths.disk.openToWrite(segmentFile(paths, epoch, segment), "any")
  await file.close()
}

/**
 * Claims the next epoch, reads the rest of the journal and publishes the epoch. Up to then a writer that is still there is
 * in the right; from then on its records do not count.
 */
export class TakingOver {
  readonly _tag = "takingOver"
  readonly reading: JournalReading
  readonly askers: Askers
  private readonly context: RoleContext

  constructor(context: RoleContext, reading: JournalReading, askers: Askers) {
    this.context = context
    this.reading = reading
    this.askers = askers
  }

  /** The epoch that was published; `undefined` when the lock was lost before. */
  async run(certainty: Certainty, steps: Steps): Promise<EpochRecord | undefined> {
    const { context, reading } = this
    const { contents, options, paths } = context
    const { holdsLock } = certainty
    if (!(await holdsLock())) return undefined
    steps.done("lock")
    // Somebody has written here before, who made it first.
    if (reading.end.epoch === 0) await createLayout(paths)
    steps.done("layout")
    contents.highestEpoch = Math.max(contents.highestEpoch, reading.end.epoch)
    const epoch = await claimEpoch(paths, contents.highestEpoch)
    steps.done("claim")
    if (!reading.isLoaded) await reading.load()
    const isWhole = await readEverything(context, reading, certainty).catch(async (error: unknown) => {
      // It is tried again, and each claim that stays would be one more to look past.
      await withdrawClaim(paths, epoch)
      throw error
    })
    steps.done("journal")
    const previous = reading.end.epoch === 0 ? null : reading.end
    if (!isWhole || !(await holdsLock())) {
      await withdrawClaim(paths, epoch)
      return undefined
    }
    steps.done("lock")
    if (previous?.position === 0) await beginSegmentOf(paths, previous)
    const { newest } = options.levels ?? ownLevels
    const record = { epoch, previous, release: batonVersion, newest }
    await publishEpoch(paths, record)
    steps.done("epoch")
    await reading.close()
    return record
  }

  async close(): Promise<void> {
    this.askers.answerAll()
    await this.reading.close()
  }
}
