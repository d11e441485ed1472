import { Deferred, Effect } from "effect"
import type { Subscription } from "../../membership/Subscription.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { SnapshotFailed } from "../ShapeRegistry.ts"
import { type LaneMembers, type Reservation, tablesOf } from "./LaneMembers.ts"
import type { LaneTable } from "./LaneTable.ts"

/** A shape that is to be followed, and whose needs are to be made known. */
export interface Admission {
  readonly definition: ShapeDefinition
  /** Of an existing shape. */
  readonly shape: ShapeState | undefined
  /** Changes of all its tables are received behind this transaction. */
  afterSerial: number
  readonly done: Deferred.Deferred<Reservation, SnapshotFailed> | undefined
  reservation: Reservation | undefined
  /** Nobody wants it any more. */
  isGone: boolean
}

/** Those that wait, and the tables whose changes are received for them. */
export class Admissions {
  private readonly members: LaneMembers
  private readonly waiting = new Set<Admission>()
  /** By how many of those that wait. */
  private readonly tables = new Map<number, number>()

  constructor(members: LaneMembers) {
    this.members = members
  }

  get isEmpty(): boolean {
    return this.waiting.size === 0
  }

  /** From now on changes of its tables are received. `latestSerial` is the last transaction that has begun. */
  add(
    definition: ShapeDefinition,
    latestSerial: number,
    shape: ShapeState | undefined,
    done: Admission["done"]
  ): Admission {
    const tables = tablesOf(definition)
    const isReceived = tables.every((oid) => this.members.tablesOf(oid).length > 0)
    const afterSerial = isReceived ? 0 : latestSerial
    const admission = { definition, shape, afterSerial, done, reservation: undefined, isGone: false }
    this.waiting.add(admission)
    for (const oid of tables) this.tables.set(oid, (this.tables.get(oid) ?? 0) + 1)
    return admission
  }

  /** Once more, when this transaction has been processed. */
  addAgain(admission: Admission, afterSerial: number): void {
    admission.afterSerial = afterSerial
    this.waiting.add(admission)
    for (const oid of tablesOf(admission.definition)) this.tables.set(oid, (this.tables.get(oid) ?? 0) + 1)
  }

  /** Those whose tables' changes have been received from `processedSerial` on. */
  ready(processedSerial: number): ReadonlyArray<Admission> {
    return [...this.waiting].filter(({ afterSerial }) => afterSerial <= processedSerial)
  }

  hasReady(processedSerial: number): boolean {
    for (const { afterSerial } of this.waiting) if (afterSerial <= processedSerial) return true
    return false
  }

  /** The transaction behind which the first of them has to be admitted, and not later; `undefined`: there is none. */
  get soonest(): number | undefined {
    let soonest: number | undefined
    for (const { afterSerial } of this.waiting)
      if (soonest === undefined || afterSerial < soonest) soonest = afterSerial
    return soonest
  }

  remove(admission: Admission): void {
    this.waiting.delete(admission)
    for (const oid of tablesOf(admission.definition)) {
      const users = (this.tables.get(oid) ?? 1) - 1
      if (users > 0) this.tables.set(oid, users)
      else this.tables.delete(oid)
    }
  }

  /**
   * From now on changes of the tables of this definition are received for an existing shape that is not ready yet. False where they were
   * before, all of them.
   */
  widen(shape: ShapeState, definition: ShapeDefinition): boolean {
    const received = new Set<number>()
    for (const admission of this.waiting)
      if (admission.shape === shape) for (const oid of tablesOf(admission.definition)) received.add(oid)
    if (tablesOf(definition).every((oid) => received.has(oid))) return false
    this.removeOf(shape)
    this.add(definition, 0, shape, undefined).afterSerial = Infinity
    return true
  }

  /** Those of an existing shape. */
  removeOf(shape: ShapeState): void {
    for (const admission of this.waiting) if (admission.shape === shape) this.remove(admission)
  }

  /** Nobody waits any more. */
  clear(): void {
    this.waiting.clear()
    this.tables.clear()
  }

  giveUp(admission: Admission): void {
    admission.isGone = true
    const { reservation } = admission
    if (reservation !== undefined && reservation.shape === undefined) this.members.release(reservation)
  }

  /** Rows of the relation are among those that are waited for. */
  needs(relationOid: number): boolean {
    if (this.tables.size === 0) return false
    return (
      this.tables.has(relationOid) || this.members.aboveOf(relationOid).some((oid) => this.tables.has(oid))
    )
  }
}

/** Tells those who wait for them: what their sub-selects give is known, or why not. */
export const tellAdmitted = (admitted: ReadonlyArray<Admission>, members: LaneMembers): void => {
  for (const { done, reservation } of admitted) {
    if (done === undefined || reservation === undefined) continue
    const unknown = reservation.subscriptions.find((one) => !one.isKnown)
    if (unknown !== undefined) members.release(reservation)
    Deferred.doneUnsafe(
      done,
      unknown === undefined ? Effect.succeed(reservation) : Effect.fail(notKnown(unknown))
    )
  }
}

/** Rows of a table cannot be read: those that need them are refused. Says whether there were some. */
export const refuseAbout = (
  table: LaneTable,
  failure: SnapshotFailed,
  admitted: ReadonlyArray<Admission>,
  members: LaneMembers
): boolean => {
  let isAsked = false
  for (const { done, reservation } of admitted) {
    if (reservation?.tables.includes(table) !== true || done === undefined) continue
    members.release(reservation)
    Deferred.doneUnsafe(done, Effect.fail(failure))
    isAsked = true
  }
  return isAsked
}

const notKnown = ({ failure, isAtFault }: Subscription) =>
  new SnapshotFailed({
    kind: failure !== undefined && isAtFault ? "conditionFailed" : "unavailable",
    message: failure ?? "What its sub-selects give is not known."
  })
