import { Effect } from "effect"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { quoteTable } from "../../postgres/Identifiers.ts"
import type { Complaints } from "../../storage/Complaints.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { firstMovePauseMillis, longestMovePauseMillis } from "../RegistryTimings.ts"
import { schemaChanged, snapshotFailed, snapshotReport } from "../snapshot/SnapshotErrors.ts"
import { type Admission, refuseAbout } from "./Admissions.ts"
import type { LaneMembers } from "./LaneMembers.ts"
import type { TableUnreadable } from "./ReadTables.ts"

/** Tries again what fails in passing; who needs a table that cannot be read has to go, or is refused. */
export class UntilRead {
  private readonly complaints: Complaints
  private readonly members: LaneMembers
  private readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void

  constructor(
    complaints: Complaints,
    members: LaneMembers,
    drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  ) {
    this.complaints = complaints
    this.members = members
    this.drop = drop
  }

  /** Completes when it has succeeded. `waiting`: who is told when it cannot. */
  repeat<A>(
    read: Effect.Effect<A, PgError | TableUnreadable>,
    waiting: () => ReadonlyArray<Admission> = () => []
  ): Effect.Effect<A> {
    const attempt = (pauseMillis: number): Effect.Effect<A> =>
      Effect.catch(read, (failure): Effect.Effect<A> => {
        if (failure._tag === "TableUnreadable") {
          this.doWithout(failure, waiting())
          return attempt(firstMovePauseMillis)
        }
        if (pauseMillis > firstMovePauseMillis)
          this.complaints.about(
            "moves",
            `Rows for conditions with sub-selects cannot be read: ${failure.message}. Their shapes wait; all others go on.`
          )
        return Effect.andThen(
          Effect.sleep(pauseMillis),
          Effect.suspend(() => attempt(Math.min(2 * pauseMillis, longestMovePauseMillis)))
        )
      })
    return attempt(firstMovePauseMillis)
  }

  private doWithout({ error, reason, table }: TableUnreadable, waiting: ReadonlyArray<Admission>): void {
    const message = `rows of table ${table.schema}.${table.name}, which its condition looks at, cannot be read: ${reason}`
    this.drop(this.members.shapesAbout(table), message)
    const failure = error === undefined ? schemaChanged(message) : snapshotFailed(error, true)
    if (refuseAbout(table, failure, waiting, this.members) && error !== undefined)
      this.complaints.about(
        "moves",
        `Shapes whose conditions look at ${quoteTable(table)} cannot be made: ${snapshotReport(error, failure, [table])}`,
        String(table.oid)
      )
    this.members.releaseAbout(table)
  }
}
