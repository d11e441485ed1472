import { batonVersion } from "../../shared/ServerIdentity.ts"
import type { Steps } from "../../telemetry/Steps.ts"
import { createLayout, segmentFile, type StoragePaths } from "../disk/StorageDir.ts"
import { ownLevels } from "../levels/Levels.ts"
import type { EpochRecord } from "../journal/Epochs.ts"
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
  async run(certainty: Certainty, steps: Steps, isWanted: () => boolean): Promise<EpochRecord | undefined> {
    const { context, reading } = this
    if (!(await certainty.holdsLock())) return undefined
    steps.done("lock")
    // Somebody has written here before, who made it first.
    if (reading.end.epoch === 0) await createLayout(context.paths)
    steps.done("layout")
    for (;;) {
      const outcome = await this.tryOnce(certainty, steps, isWanted)
      if (outcome !== "overtaken") return outcome
    }
  }

  private async tryOnce(
    certainty: Certainty,
    steps: Steps,
    isWanted: () => boolean
  ): Promise<EpochRecord | "overtaken" | undefined> {
    const { context, reading } = this
    const { contents, durability, options, paths } = context
    contents.highestEpoch = Math.max(contents.highestEpoch, reading.end.epoch)
    const epoch = await durability.claim(contents.highestEpoch)
    steps.done("claim")
    if (!reading.isLoaded) await reading.load()
    const isWhole = await readEverything(context, reading, certainty).catch(async (error: unknown) => {
      // It is tried again, and each claim that stays would be one more to look past.
      await durability.withdraw(epoch)
      throw error
    })
    steps.done("journal")
    const previous = reading.end.epoch === 0 ? null : reading.end
    if (!isWhole || !(await certainty.holdsLock())) {
      await durability.withdraw(epoch)
      return undefined
    }
    steps.done("lock")
    if (previous?.position === 0) await beginSegmentOf(paths, previous)
    const { newest } = options.levels ?? ownLevels
    const published = await durability.publish({ epoch, previous, release: batonVersion, newest }, isWanted)
    steps.done("epoch")
    if (published === undefined) return "overtaken"
    await reading.close()
    return published
  }

  async close(): Promise<void> {
    this.askers.answerAll()
    await this.reading.close()
  }
}
