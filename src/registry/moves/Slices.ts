import { Effect } from "effect"
import { othersTurn } from "../../shared/OthersTurn.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import { writtenIn } from "../../storage/NotWriting.ts"
import { moveSliceMillis } from "../RegistryTimings.ts"
import type { Pieces } from "../routing/Output.ts"

/** Composed but not yet written bytes above which work waits. */
const backlogBytes = 8 << 20

/** Runs long work so that everything else has its turn, and the disk its time. */
export class Slices {
  private readonly timers: Timers
  private readonly writer: JournalWriter

  constructor(timers: Timers, writer: JournalWriter) {
    this.timers = timers
    this.writer = writer
  }

  /** False when there is more to do. */
  runOne(work: Pieces): boolean {
    const until = this.timers.nowMillis() + moveSliceMillis
    do {
      if (work.next().done === true) return true
    } while (this.timers.nowMillis() < until)
    return false
  }

  run(work: Pieces): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      while (!this.runOne(work)) yield* this.turn
    })
  }

  /** Everything else has its turn, and the disk its time. */
  readonly turn: Effect.Effect<void> = Effect.suspend(() =>
    Effect.flatMap(othersTurn, () =>
      this.writer.unwrittenBytes < backlogBytes
        ? Effect.void
        : // Without a writer there is no room for more until the turn ends, and this with it.
          Effect.catch(writtenIn(this.writer), () => Effect.never)
    )
  )
}
