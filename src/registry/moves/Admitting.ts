import { Effect } from "effect"
import type { Subscription } from "../../membership/Subscription.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { othersTurn } from "../../shared/OthersTurn.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { type Admission, type Admissions, tellAdmitted } from "./Admissions.ts"
import type { LaneMembers, Reservation } from "./LaneMembers.ts"
import type { LaneTable } from "./LaneTable.ts"
import type { MoveReader } from "./MoveReader.ts"
import type { TableUnreadable } from "./ReadTables.ts"
import type { UntilRead } from "./UntilRead.ts"

interface AdmittingOptions {
  readonly members: LaneMembers
  readonly admissions: Admissions
  readonly reader: MoveReader
  readonly untilRead: UntilRead
  readonly positionLost: (reason: string) => void
  /** The shape is there already. */
  readonly enter: (reservation: Reservation, shape: ShapeState) => void
  readonly reportFailures: () => void
  /** Of the last transaction that has begun. */
  readonly latestSerial: () => number
}

/** Shapes whose needs are noted before everything else has its turn. */
const admittedPerSlice = 64

/** Makes known what the sub-selects of shapes give that are to be followed. */
export class Admitting {
  private readonly options: AdmittingOptions

  constructor(options: AdmittingOptions) {
    this.options = options
  }

  /** Makes known what those need that wait; of all of them with one snapshot. */
  admit(processedSerial: number): Effect.Effect<void> {
    const { admissions, enter, members, reportFailures } = this.options
    return Effect.gen({ self: this }, function* () {
      const ready: Array<Admission> = []
      for (const admission of admissions.ready(processedSerial)) {
        if (!admission.isGone && (admission.shape?.dropped ?? false) === false) {
          admission.reservation ??= members.reserve(admission.definition)
          if (admission.shape !== undefined) enter(admission.reservation, admission.shape)
          ready.push(admission)
          if (ready.length % admittedPerSlice === 0) yield* othersTurn
        }
        admissions.remove(admission)
      }
      yield* this.loadFor(ready)
      reportFailures()
      tellAdmitted(ready, members)
    })
  }

  /** Has what they need counted. Takes those out of the list that have to wait until a transaction is processed. */
  private loadFor(ready: Array<Admission>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const unknown = new Set<Subscription>()
      for (const { reservation } of ready)
        for (const one of reservation?.subscriptions ?? []) if (!one.isKnown && !one.isGone) unknown.add(one)
      if (unknown.size === 0) return Effect.void
      const load = Effect.suspend(() => this.options.reader.load([...unknown].filter((one) => !one.isGone)))
      const loaded = this.options.untilRead.repeat(
        Effect.catch(
          Effect.as(load, undefined),
          (failure): Effect.Effect<LaneTable, PgError | TableUnreadable> =>
            failure._tag === "TruncatedMeanwhile" ? Effect.succeed(failure.table) : Effect.fail(failure)
        ),
        () => ready
      )
      return Effect.flatMap(loaded, (truncated) => {
        if (truncated === undefined) return Effect.void
        return this.giveWay(truncated, ready) ? this.loadFor(ready) : Effect.never
      })
    })
  }

  /**
   * A transaction that waits has truncated the table. What new shapes need of it is counted behind that; shapes that there are need
   * it as of before, which nobody can tell any more: false, and the session is over.
   */
  private giveWay(table: LaneTable, ready: Array<Admission>): boolean {
    const { members, positionLost } = this.options
    if (members.shapesLacking(table).length > 0) {
      positionLost(
        `table ${table.schema}.${table.name}, which sub-selects read, was truncated while nobody followed it`
      )
      return false
    }
    for (const admission of ready.filter(({ reservation }) => reservation?.tables.includes(table))) {
      ready.splice(ready.indexOf(admission), 1)
      if (admission.shape === undefined)
        this.options.admissions.addAgain(admission, this.options.latestSerial())
    }
    return true
  }
}
