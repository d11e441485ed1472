import { Listeners } from "../shared/Listeners.ts"
import type { Shipped } from "./journal/Shipping.ts"
import type { ShapeState } from "./state/ShapeState.ts"

/** What others can be told by the storage engine, whatever its role is. */
export class EngineListeners {
  /** Every record up to this marker of the present journal writer is durable. */
  readonly durable = new Listeners<[marker: number]>()
  /** The present writer may show more to others, see `JournalWriter.showable`, or is the writer no more. Only where its journal is shipped. */
  readonly showable = new Listeners<[]>()
  /** What it has written is in the chain now. */
  readonly shipped = new Listeners<[shipped: Shipped]>()
  /** A shape is gone, for the reason given. */
  readonly dropped = new Listeners<[shape: ShapeState, reason: string]>()
  /** A follower has dropped a shape that it cannot read. The writer does not know of it. */
  readonly discarded = new Listeners<[handle: string, reason: string]>()
}
