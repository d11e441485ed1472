import { Effect } from "effect"
import type { LaneQueue } from "../waiting/LaneQueue.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import type { Admissions } from "./Admissions.ts"
import type { LaneMembers } from "./LaneMembers.ts"
import type { LaneWriter } from "./LaneWriter.ts"
import type { MoveReader } from "./MoveReader.ts"
import type { Pieces } from "../routing/Output.ts"
import type { Processing } from "./Processing.ts"
import type { Slices } from "./Slices.ts"
import type { StreamedMoves } from "./StreamedMoves.ts"
import type { UntilRead } from "./UntilRead.ts"
import { emptiedBy } from "./Wanted.ts"
import type { WorkingSet } from "./WorkingSet.ts"

const empty: WorkingSet = new Map()

interface BatchesOptions {
  readonly members: LaneMembers
  readonly queue: LaneQueue
  readonly admissions: Admissions
  readonly processing: Processing
  readonly reader: MoveReader
  readonly streamed: StreamedMoves
  readonly untilRead: UntilRead
  readonly writer: LaneWriter
  readonly slices: Slices
}

/** Processes transactions that wait, as many at once as one look at the database can serve. */
export class Batches {
  private readonly options: BatchesOptions

  constructor(options: BatchesOptions) {
    this.options = options
  }

  writeLate(transaction: RawTransaction, working: WorkingSet = empty): Pieces {
    const { processing, writer } = this.options
    return writer.late(transaction, (output) => processing.write(transaction, working, output))
  }

  /** The first of those that wait, and others with it. */
  readonly process = Effect.fnUntraced({ self: this }, function* (this: Batches, first: RawTransaction) {
    const { admissions, members, processing, queue, reader, slices, streamed, untilRead } = this.options
    const toldPieces = this.told(first)
    yield* slices.run(toldPieces.pieces)
    if (!toldPieces.needsRows()) {
      yield* slices.run(this.writeLate(first))
      queue.shift()
      return
    }
    members.state.discard()
    // Before one that empties tables something else comes first.
    const { soonest = Infinity } = admissions
    const batch = queue.batch((one) => one.serial > soonest || emptiedBy(one, members).length > 0)
    const working = yield* untilRead.repeat(reader.read(batch))
    if (working === undefined) {
      yield* untilRead.repeat(streamed.process(first))
      queue.shift()
      return
    }
    for (const transaction of batch) {
      yield* slices.run(processing.tell(transaction) as Pieces<unknown> as Pieces)
      yield* slices.run(this.writeLate(transaction, working))
      queue.shift()
    }
  })

  private told(transaction: RawTransaction): { readonly pieces: Pieces; readonly needsRows: () => boolean } {
    let needsRows = false
    const { processing } = this.options
    return {
      pieces: (function* () {
        needsRows = yield* processing.tell(transaction)
      })(),
      needsRows: () => needsRows
    }
  }
}
