import type { CreatedObject } from "./TailFrames.ts"

/** A place in the journal of one epoch. */
export interface JournalPlace {
  readonly segment: number
  readonly position: number
}

export const isBefore = (a: JournalPlace, b: JournalPlace): boolean =>
  a.segment < b.segment || (a.segment === b.segment && a.position < b.position)

/** The journal that this process writes, as far as others may be shown it. */
export interface Shown {
  readonly epoch: number
  /** Up to where, see `journal/Barrier.ts`. Only ever moves on. */
  readonly showable: JournalPlace
  /** Up to where it was composed: nobody can have seen more. */
  readonly composed: JournalPlace
  /** The segment was begun in this epoch, and its file is there. */
  readonly holds: (segment: number) => boolean
  /** Bytes of a segment that are in memory; a view, valid until something is written. */
  readonly memory: (segment: number, position: number, length: number) => Buffer | undefined
  /** The same from the file. False when it ends before. */
  readonly read: (segment: number, position: number, into: Buffer) => Promise<boolean>
  /** Length of a segment behind which another one was begun. */
  readonly sizeOf: (segment: number) => Promise<number>
}

/** Whoever may be writing the journal, now or later. */
export interface Showing {
  /** `undefined` while this process is not the writer. */
  readonly shown: () => Shown | undefined
  /** `moved` is called whenever `shown` has changed, and `created` with each object of the chain. Returns what ends it. */
  readonly subscribe: (moved: () => void, created: (object: CreatedObject) => void) => () => void
}
