import { Effect } from "effect"
import { type ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { rowBytesOf } from "../../storage/compaction/Policy.ts"
import { firstRowsBytes } from "../../storage/compaction/ShapeLook.ts"
import { fromDisk } from "../../storage/disk/DiskFault.ts"
import { journalFiles } from "../../storage/JournalSize.ts"
import { identityDigest } from "../../storage/state/IdentityDigest.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { checkpointBytes } from "../../storage/state/StoredBytes.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { quotaAgainFactor, quotaMillis, quotaSliceShapes } from "../RegistryTimings.ts"
import {
  decideQuota,
  hasRoomFor,
  type QuotaDrop,
  type QuotaReason,
  type QuotaShape
} from "./QuotaDecision.ts"
import { quotaReason, quotaRefusal } from "./QuotaText.ts"
import { RefusedShapes } from "./RefusedShapes.ts"

export interface QuotaOptions {
  /** `BATON_MAX_STORAGE` */
  readonly limitBytes: number
  /** What the journal takes when nothing is held up: more is not made up for by dropping shapes. */
  readonly journalBytes: number
  /** Without it nothing is waited for. */
  readonly isCompacting: boolean
  /** Who has used a shape this recently may come again, or be held in another process. */
  readonly recentMillis: number
  /** Readers that another instance held come back within this time. */
  readonly returnMillis: number
}

interface Candidate extends QuotaShape {
  readonly state: ShapeState
}

/** What it would begin with, about, if it were made again: changes since then are seen when that has happened. */
const firstBytes = (shape: ShapeState): number =>
  rowBytesOf({ compaction: shape.compaction, firstRowsBytes: firstRowsBytes(shape) })

type Drop = (shapes: ReadonlyArray<ShapeState>, reason: string) => void

const reasons: ReadonlyArray<QuotaReason> = ["tooLarge", "leastUsed", "nothingElse"]

/**
 * Keeps storage to a limit, for the writer of one session: has logs compacted when room becomes short, drops shapes when the limit
 * is passed, and has those refused that would only be made to be dropped again. What is decided is in `QuotaDecision`.
 */
export class StorageQuota {
  private readonly engine: StorageEngine
  private readonly options: QuotaOptions
  private readonly drop: Drop
  private readonly refused: RefusedShapes
  private state = { isShort: false, isOver: false }
  private wantedBytes = 0
  private readonly openedMillis: number

  constructor(engine: StorageEngine, options: QuotaOptions, drop: Drop) {
    this.engine = engine
    this.options = options
    this.drop = drop
    this.refused = new RefusedShapes(engine.timers)
    this.openedMillis = engine.timers.nowMillis()
    engine.pressure.limitBytes = options.limitBytes
  }

  /** Nothing is kept to any more. */
  close(): void {
    this.engine.pressure.limitBytes = undefined
    this.engine.pressure.isShort = false
  }

  /** Why the shape is not to be made, if it is not. */
  refusal(definition: ShapeDefinition): string | undefined {
    const { limitBytes } = this.options
    const bytes = this.refused.bytesOf(identityDigest(definition))
    if (hasRoomFor(bytes, this.wantedBytes, limitBytes)) return undefined
    return quotaRefusal(bytes > limitBytes, limitBytes)
  }

  /** For as long as it is not interrupted. A disk that cannot be looked at is looked at again. */
  readonly keep: Effect.Effect<never> = Effect.suspend(() => {
    let pauseMillis = quotaMillis
    const step = Effect.gen({ self: this }, function* () {
      yield* Effect.sleep(pauseMillis)
      const { timers } = this.engine
      const began = timers.nowMillis()
      yield* this.look
      pauseMillis = Math.max(quotaMillis, quotaAgainFactor * (timers.nowMillis() - began))
    })
    return Effect.forever(
      Effect.catch(step, ({ message }) =>
        Effect.sync(() =>
          this.engine.complaints.about(
            "housekeeping",
            `It cannot be seen how much storage takes: ${message}. Tried again later; BATON_MAX_STORAGE is not kept meanwhile.`
          )
        )
      )
    )
  })

  private readonly look = Effect.gen({ self: this }, function* () {
    const { engine, options } = this
    const { pressure } = engine
    const fixedBytes = yield* fromDisk(() => this.fixedBytes())
    const shapes: Array<Candidate> = []
    let inSlice = 0
    for (const state of Array.from(engine.store.all())) {
      if (!state.dropped) shapes.push(this.candidate(state))
      if (++inSlice % quotaSliceShapes === 0) yield* Effect.yieldNow
    }
    const isExhausted = !options.isCompacting || (pressure.isShort && pressure.isExhausted)
    const areReadersBack = engine.timers.nowMillis() - this.openedMillis > options.returnMillis
    const { limitBytes } = options
    const decision = decideQuota({ limitBytes, fixedBytes, shapes, isExhausted, areReadersBack }, this.state)
    if (decision.isShort && !pressure.isShort) pressure.isExhausted = false
    pressure.isShort = decision.isShort
    pressure.usedBytes = decision.usedBytes
    this.state = decision
    this.wantedBytes = decision.wantedBytes
    for (const why of reasons) this.carryOut(why, decision.drops)
  })

  private carryOut(why: QuotaReason, drops: ReadonlyArray<QuotaDrop<Candidate>>): void {
    const dropped = drops.filter((drop) => drop.why === why && !drop.shape.state.dropped)
    for (const { shape } of dropped) {
      const { bytes, standing, state } = shape
      this.engine.pressure.usedBytes -= bytes
      // Of one that is being made it is not known how much is to come; of others the rows may be less than what was stored.
      if (standing !== "idle" || why === "tooLarge")
        this.refused.add(state.identity, standing === "making" ? 2 * bytes : firstBytes(state))
    }
    if (dropped.length > 0)
      this.drop(
        dropped.map(({ shape }) => shape.state),
        quotaReason(why, this.options.limitBytes)
      )
  }

  private candidate(state: ShapeState): Candidate {
    const bytes = state.rowFileBytes + state.logFileBytes + (state.running?.writtenBytes ?? 0)
    const { lastUsedMillis, snapshotComplete, waiters } = state
    const isRecent = this.engine.timers.epochMillis() - lastUsedMillis < this.options.recentMillis
    const isHeld = waiters !== undefined && waiters.size > 0
    const standing = !snapshotComplete ? "making" : isHeld ? "held" : isRecent ? "recent" : "idle"
    return { state, bytes, lastUsedMillis, standing }
  }

  private async fixedBytes(): Promise<number> {
    const { paths } = this.engine
    const journal = (await journalFiles(paths)).reduce((sum, { bytes }) => sum + bytes, 0)
    return Math.min(journal, this.options.journalBytes) + (await checkpointBytes(paths))
  }
}
