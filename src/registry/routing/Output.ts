import type { ItemWriter } from "./ItemWriter.ts"

/** Where what shapes get is written to: the record of the transaction, ordinary or late. */
export interface Output {
  readonly items: ItemWriter
  /** What was written last is complete as it stands. */
  readonly endOfItems: () => void
}

/** Pauses between pieces of work, for those who run it to do something else. */
export type Pieces<A = void> = Generator<undefined, A, undefined>
