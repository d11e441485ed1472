import { Effect } from "effect"
import { makeShapeLogs } from "../../storage/ShapeLogsLive.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { MendPlace } from "../mending/MendPlace.ts"
import { type MendFailure, mendTable, type StreamView } from "../mending/MendTable.ts"
import { WantedShapes, type WantedShape } from "../mending/WantedShapes.ts"
import { withLeaves } from "../mending/WithLeaves.ts"
import { canBeMended } from "../routing/ConcernedShapes.ts"
import { firstMovePauseMillis, longestMendPauseMillis, mendTries } from "../RegistryTimings.ts"
import { isPassing } from "../snapshot/SnapshotErrors.ts"
import type { Guests } from "../emptying/Guests.ts"
import type { LaneQueue } from "../waiting/LaneQueue.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import type { Admissions } from "./Admissions.ts"
import type { LaneMembers } from "./LaneMembers.ts"
import type { LaneHost, LaneOptions } from "./LaneOptions.ts"
import type { LaneTable } from "./LaneTable.ts"
import type { Reception } from "../waiting/Reception.ts"

interface LaneMendingOptions {
  readonly lane: LaneOptions
  readonly members: LaneMembers
  readonly admissions: Admissions
  readonly queue: LaneQueue
  readonly reception: Reception
  readonly isThere: (shape: ShapeState) => boolean
}

/** A table may be rewritten several times in a row. More often in this time is a mistake of this program. */
const mostAstray = 20
const astrayMillis = 60_000

/** Compares shapes of the lane with the database, between two transactions, and has them go on behind what the database has shown. */
export class LaneMending {
  private readonly options: LaneMendingOptions
  private readonly wanted = new WantedShapes()
  private readonly stream: StreamView
  private isAstray = false
  private readonly astray = new WeakMap<ShapeState, { readonly sinceMillis: number; times: number }>()

  constructor(options: LaneMendingOptions) {
    const { queue, reception } = options
    this.options = options
    this.stream = {
      until: (lsn) => reception.until(lsn),
      receive: (wanted, leaves) => {
        for (const { shape, xids } of wanted) {
          const definition = withLeaves(shape.definition, (oid) => leaves.get(oid))
          if (options.admissions.widen(shape, definition)) xids.push(...queue.latestXids)
        }
      },
      looking: () => this.wanted.looking(),
      waiting: () => queue.waiting,
      processed: () => ({
        serial: queue.processedSerial,
        xids: queue.processed.seenBefore(queue.processed.point)
      })
    }
  }

  get isEmpty(): boolean {
    return this.wanted.isEmpty
  }

  /** It is to be compared, or is being compared. */
  isWanted(shape: ShapeState): boolean {
    return this.wanted.isUnderWay(shape)
  }

  /**
   * To be compared before anything more is processed for it. Changes of its tables are received for it from now on, and of the transaction
   * with this id it may have a part only.
   */
  want(shape: ShapeState, reason: string, xid: number | undefined): void {
    const { admissions, lane } = this.options
    if (!this.wanted.add(shape, reason, xid)) return lane.drop([shape], `${reason}, again and again`)
    admissions.removeOf(shape)
    admissions.add(shape.definition, 0, shape, undefined).afterSerial = Infinity
  }

  /**
   * The same from the middle of a transaction of which they have all that there is, right or wrong: what it and later ones do to their
   * tables is not told to them any more.
   */
  wantAstray(shapes: ReadonlyArray<ShapeState>, reason: string): void {
    const { lane, members } = this.options
    const able = shapes.filter((shape) => canBeMended(lane.engine.store, shape))
    const unable = shapes.filter((shape) => !able.includes(shape))
    if (unable.length > 0) lane.drop(unable, reason)
    if (able.length === 0) return
    lane.engine.complaints.about(
      "mending",
      `Changes of a table do not come to what it holds (${reason}). The shapes that follow it are compared with the database: nothing is fetched again. That is in order where the table was altered a moment ago; please report it otherwise.`,
      reason
    )
    for (const shape of able) {
      const reservation = members.reservationOf(shape)
      if (reservation !== undefined) members.release(reservation)
      if (this.isOftenAstray(shape)) lane.drop([shape], `${reason}, again and again`)
      else this.want(shape, reason, undefined)
    }
    this.isAstray = true
  }

  private isOftenAstray(shape: ShapeState): boolean {
    const now = this.options.lane.engine.timers.nowMillis()
    const known = this.astray.get(shape)
    if (known === undefined || now - known.sinceMillis > astrayMillis)
      this.astray.set(shape, { sinceMillis: now, times: 1 })
    else known.times++
    return known !== undefined && known.times > mostAstray
  }

  /** There are some whom the lane has not turned to, being in the middle of a transaction. */
  takeAstray(): boolean {
    const { isAstray } = this
    this.isAstray = false
    return isAstray
  }

  /** Which rows some shapes have when their tables are emptied nobody can tell. */
  beforeEmptied(
    tables: ReadonlyArray<LaneTable>,
    transaction: RawTransaction,
    guests: Guests,
    host: Pick<LaneHost, "dropConcerned"> | undefined
  ): void {
    const reason = "its table was truncated"
    const all = tables.flatMap(({ shapes }) => [...shapes])
    const unknown = all.filter(({ visibility }) => visibility === undefined)
    host?.dropConcerned(unknown, transaction, reason)
    if (this.options.queue.waiting.length === 0) return
    for (const shape of all)
      if (shape.visibility !== undefined && !guests.has(shape)) this.want(shape, reason, transaction.xid)
  }

  forget(shape: ShapeState): void {
    this.wanted.remove(shape)
    this.options.admissions.removeOf(shape)
  }

  /** Those of the next table. Nothing is processed meanwhile. */
  readonly next: Effect.Effect<void> = Effect.suspend(() => {
    const taken = this.wanted.takeTable()
    if (taken === undefined) return Effect.void
    this.release(taken.wanted)
    // What sub-selects give may have become something else without a word: whoever is to be compared lets go of what is known of it.
    this.release(this.wanted.all())
    return Effect.flatMap(this.mend(taken.oid, taken.wanted, 0, firstMovePauseMillis), (place) =>
      Effect.sync(() => {
        for (const { shape } of taken.wanted) this.enter(shape, place)
      })
    )
  })

  private release(wanted: Iterable<WantedShape>): void {
    const { members } = this.options
    for (const { shape } of wanted) {
      const reservation = members.reservationOf(shape)
      if (reservation !== undefined) members.release(reservation)
    }
  }

  /** Behind this place it gets what there is, as others do. */
  private enter(shape: ShapeState, place: MendPlace | undefined): void {
    const { admissions, isThere } = this.options
    if (this.wanted.has(shape)) return
    admissions.removeOf(shape)
    if (place === undefined || shape.dropped || !isThere(shape)) return
    this.wanted.isRight(shape)
    admissions.add(shape.definition, 0, shape, undefined).afterSerial = place.afterSerial
  }

  /** Until it is done. `failed` times something has failed that does not look as if it passed. */
  private mend(
    oid: number,
    all: ReadonlyArray<WantedShape>,
    failed: number,
    pauseMillis: number
  ): Effect.Effect<MendPlace | undefined> {
    const { drop, engine } = this.options.lane
    const wanted = all.filter(({ shape }) => !shape.dropped)
    if (wanted.length === 0) return Effect.succeed(undefined)
    const again = (failures: number) =>
      Effect.andThen(
        Effect.sleep(pauseMillis),
        Effect.suspend(() =>
          this.mend(oid, wanted, failures, Math.min(2 * pauseMillis, longestMendPauseMillis))
        )
      )
    // First rows that are being written do not say yet what readers will hold.
    if (wanted.some(({ shape }) => !shape.snapshotComplete)) return again(failed)
    return Effect.matchEffect(this.mendOnce(oid, wanted), {
      onFailure: (failure) => {
        const [first] = wanted
        if (!mayPass(failure) && failed + 1 >= mendTries) {
          drop(
            wanted.map(({ shape }) => shape),
            `${first?.reason ?? ""}, and it cannot be compared with the database: ${failure.message}`
          )
          return Effect.succeed(undefined)
        }
        engine.complaints.about(
          "mending",
          `Shapes cannot be compared with the database (${first?.reason ?? ""}): ${failure.message}. Tried again; their readers wait.`,
          String(oid)
        )
        return again(mayPass(failure) ? failed : failed + 1)
      },
      onSuccess: (place) => (place === undefined ? again(failed) : Effect.succeed(place))
    })
  }

  private mendOnce(
    oid: number,
    wanted: ReadonlyArray<WantedShape>
  ): Effect.Effect<MendPlace | undefined, MendFailure> {
    const { definedAnew, drop, engine, inspector, mending, sessions, writer } = this.options.lane
    this.wanted.lookSoon(wanted)
    const services = {
      ...mending,
      definedAnew,
      drop,
      engine,
      inspector,
      sessions,
      writer,
      logs: makeShapeLogs(engine)
    }
    return mendTable(services, this.stream, oid, wanted)
  }
}

const mayPass = (failure: MendFailure): boolean =>
  failure._tag === "PgError"
    ? isPassing(failure)
    : failure._tag === "ShapeReadError"
      ? failure.mayPass === true
      : failure._tag === "NotWriting"
