import type { EpochRecord } from "../journal/Epochs.ts"
import type { StartShipping } from "../journal/Shipping.ts"
import type { SchemaFile } from "../SchemaFiles.ts"

/**
 * What makes an epoch, its journal, and the files beside it count. Two implementations: a directory, which instances may share,
 * and a bucket, beside which each has a directory of its own that is only a copy. What fails is a `DiskFault` or a `BucketFault`.
 */
export interface Durability {
  /** What is written to the local disk is synced there: it is all there is. */
  readonly syncs: boolean
  /** What the journal holds by now, whoever has written it, can be read on the local disk when this completes. */
  catchUp(): Promise<void>
  /**
   * Takes a number for an epoch, above every one seen and above `known`. From then on what the journal holds on the local disk is
   * all that counts, until the epoch is published, or another one.
   */
  claim(known: number): Promise<number>
  /** Takes back a claim that is not followed by `publish`. */
  withdraw(epoch: number): Promise<void>
  /** Makes the claimed epoch the current one. False: somebody else has opened one meanwhile, and its journal is to be read first. */
  publish(record: EpochRecord): Promise<boolean>
  /** Makes durable what the epoch stands on. Nothing counts before that is done. */
  secure(record: EpochRecord): Promise<void>
  /** The highest number that was claimed, as far as it can be seen: at least that of the present epoch. */
  highestClaim(own: number): Promise<number>
  /** How the journal of a published epoch comes to count; absent where the disk does it. */
  readonly ship?: StartShipping
  /** A file of a shape was written whole: it is there to stay when this completes, wherever the shape is read. */
  keepFile(path: string): Promise<void>
  /** A file beside the shapes was replaced. It need not be there to stay at once. */
  keepSchemaFile(file: SchemaFile): void
}
