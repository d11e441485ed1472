import type { EpochRecord } from "../journal/Epochs.ts"
import type { StartShipping } from "../journal/Shipping.ts"
import type { JournalEnd } from "../records/Records.ts"

/**
 * What makes an epoch, its journal, and the files beside it count. Two implementations: a directory, which instances may share,
 * and a bucket, beside which each has a directory of its own that is only a copy. What fails is a `DiskFault` or a `BucketFault`.
 */
export interface Durability {
  /** What the journal holds by now, whichever instance has written it, can be read on the local disk when this completes. */
  catchUp(): Promise<void>
  /**
   * Takes a number for an epoch, above every one seen and above `known`. What the journal holds on the local disk when this completes
   * is all that counts, until the epoch is published, or another one.
   */
  claim(known: number): Promise<number>
  /** Takes back a claim that was not followed by a publication. */
  withdraw(epoch: number): Promise<void>
  /** Nothing is going to be written here after all, after whichever step of a takeover. */
  giveUp(): Promise<void>
  /**
   * Makes the claimed epoch the current one, and gives its record as others find it. `undefined`: somebody else has opened one
   * meanwhile, whose journal has to be read first. What fails is tried again only as long as it `isWanted`.
   */
  publish(record: EpochRecord, isWanted: () => boolean): Promise<EpochRecord | undefined>
  /**
   * Makes durable what the epoch stands on, if publishing it has not done that. Nothing counts before. Fails when it cannot, and may
   * be asked again.
   */
  secure(record: EpochRecord): Promise<void>
  /**
   * Says how far the journal of a secured epoch is durable, for a successor who would make it so once more. What it has said may be
   * lost, and so may what fails; absent where a successor has nothing to do.
   */
  markDurable?(end: JournalEnd): Promise<void>
  /** The highest number claimed, as far as can be seen: that of the present epoch, `own`, or a later one. */
  highestClaim(own: number): Promise<number>
  /**
   * Keeps what is on the local disk for those who have another one, if that is worth it by now; gives whether. To be called after a
   * round of housekeeping and awaited before the next: of what is stored nothing may be replaced or removed meanwhile.
   */
  keepCheckpoint?(): Promise<boolean>
  /** How the journal of a published epoch comes to count; absent where the disk does it. */
  readonly ship?: StartShipping
}
