import type { ItemWriter } from "./ItemWriter.ts"

/** Where what shapes get is written to: the record of the transaction, ordinary or late. */
export interface Output {
  readonly items: ItemWriter
  /** What was written last is complete as it stands. */
  readonly endOfItems: () => void
}

export type { Pieces } from "../../shared/InTurns.ts"
