import type { ComplaintTopic } from "../ComplaintTopics.ts"
/** Whole records that were written to the local file of a segment, one after the other. */
export interface WrittenRange {
  readonly segment: number
  readonly position: number
  readonly length: number
  /** The count of bytes that the writer of the journal has composed up to the end of it. */
  readonly marker: number
}

/**
 * What makes records of the journal count, where that is not the disk that they are written to. It takes what stands in the
 * local file, whenever it can, and says up to which marker records count.
 */
export interface Shipping {
  /** These stand in the local file now. In order. */
  readonly wrote: (range: WrittenRange) => void
  /** Somebody waits until everything up to this marker counts: not later, as it would be to save objects. */
  readonly hurry: (marker: number) => void
  /** Nothing is sent any more; what is under way may still arrive. */
  readonly close: () => Promise<void>
}

/** What was made of the journal beyond the disk: an object of the chain (`chain/ChainObject.ts`) that is there now. */
export interface Shipped {
  readonly n: number
  readonly previousCrc: number
  readonly crc: number
  /** Up to where it and those before it hold the journal of the epoch. */
  readonly segment: number
  readonly position: number
  /** It holds more than that, for which it has to be read. */
  readonly holdsMore: boolean
}

/** Begins for one writer. `counts` is called with each marker up to which records count from then on. */
export type StartShipping = (from: {
  readonly epoch: number
  readonly segment: number
  readonly counts: (marker: number) => void
  readonly shipped: (shipped: Shipped) => void
  /** Another writer has begun: nothing that has not counted yet ever will. */
  readonly overtaken: () => void
  readonly onTrouble: (topic: ComplaintTopic, message: string) => void
}) => Shipping
