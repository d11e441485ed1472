import { Effect, Schedule } from "effect"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { Timers } from "../../shared/Timers.ts"
import { type ProgressTask, withProgress } from "../../telemetry/Progress.ts"
import { verifyLooks, verifyRetries, verifyRetryMillis } from "../RegistryTimings.ts"
import { isPassing } from "../snapshot/SnapshotErrors.ts"
import { RatePace } from "./RatePace.ts"
import type { RowDifference, SkippedShape, VerifyReport, VerifyRequest } from "./VerifyReport.ts"
import {
  nameOfTable,
  skippedShape,
  type VerifiedTable,
  type VerifyFailure,
  type VerifyServices,
  verifyTable
} from "./VerifyTable.ts"

/** Shapes and rows that a report names. */
const mostSkipped = 100
const mostDifferences = 1000

/** The shapes that are asked for, by the tables whose rows they have. */
export const shapesAsked = (
  shapes: Iterable<ShapeState>,
  { handle, table }: VerifyRequest
): ReadonlyMap<number, ReadonlyArray<ShapeState>> => {
  const tables = new Map<number, Array<ShapeState>>()
  for (const shape of shapes) {
    const { name, oid } = shape.common.table
    if (handle !== undefined && shape.handle !== handle) continue
    if (table !== undefined && table !== name && table !== nameOfTable(shape)) continue
    const known = tables.get(oid)
    if (known === undefined) tables.set(oid, [shape])
    else known.push(shape)
  }
  return tables
}

const date = (millis: number): string => new Date(millis).toISOString()

/** One comparison of shapes with the database, from table to table, each at a point of its own. */
export class VerifyRun {
  readonly request: VerifyRequest
  private readonly timers: Timers
  private readonly tables: ReadonlyMap<number, ReadonlyArray<ShapeState>>
  private readonly total: number
  private readonly startedAtMillis: number
  private state: VerifyReport["state"] = "running"
  private failure: string | null = null
  private endedAtMillis: number | undefined
  private tablesDone = 0
  private compared = 0
  private differing = 0
  private readonly found = { missing: 0, surplus: 0, differs: 0 }
  private rowsRead = 0
  private readonly differences: Array<RowDifference> = []
  private readonly skipped: Array<SkippedShape> = []
  private moreSkipped = 0

  constructor(
    request: VerifyRequest,
    tables: ReadonlyMap<number, ReadonlyArray<ShapeState>>,
    timers: Timers
  ) {
    this.request = request
    this.tables = tables
    this.timers = timers
    this.startedAtMillis = timers.epochMillis()
    this.total = [...tables.values()].reduce((sum, shapes) => sum + shapes.length, 0)
  }

  get isRunning(): boolean {
    return this.state === "running"
  }

  get seconds(): number {
    return ((this.endedAtMillis ?? this.timers.epochMillis()) - this.startedAtMillis) / 1000
  }

  /** Nothing after the first end counts. */
  end(state: Exclude<VerifyReport["state"], "running">, failure: string | null = null): void {
    if (!this.isRunning) return
    this.state = state
    this.failure = failure
    this.endedAtMillis = this.timers.epochMillis()
  }

  report(repair: VerifyReport["repair"]): VerifyReport {
    const { compared, differing, endedAtMillis, startedAtMillis, total } = this
    return {
      state: this.state,
      failure: this.failure,
      request: this.request,
      startedAt: date(startedAtMillis),
      endedAt: endedAtMillis === undefined ? null : date(endedAtMillis),
      tables: { done: this.tablesDone, total: this.tables.size },
      shapes: { compared, total, differing },
      rowsRead: this.rowsRead,
      found: { ...this.found },
      differences: this.differences,
      skipped: this.skipped,
      moreSkipped: this.moreSkipped,
      repair
    }
  }

  /** Compares all that is asked for. Nothing that a stop, or a failure, has left out is in the report. */
  readonly carryOut = (services: VerifyServices): Effect.Effect<void, VerifyFailure> =>
    withProgress(
      {
        kind: "verify",
        name: "Comparing shapes with the database for an operator",
        total: this.total,
        unit: "shapes"
      },
      (task) =>
        Effect.forEach(this.tables, ([oid, shapes]) => this.table(services, oid, shapes, task), {
          discard: true
        })
    )

  private table(
    services: VerifyServices,
    oid: number,
    shapes: ReadonlyArray<ShapeState>,
    task: ProgressTask
  ): Effect.Effect<void, VerifyFailure> {
    const look = (rest: ReadonlyArray<ShapeState>) =>
      Effect.scoped(
        verifyTable(services, oid, rest, {
          pace: new RatePace(this.timers, this.request.rowsPerSecond),
          onRow: () => void this.rowsRead++
        })
      ).pipe(
        Effect.retry({
          times: verifyRetries,
          schedule: Schedule.spaced(verifyRetryMillis),
          while: (failure) => failure._tag === "PgError" && isPassing(failure)
        })
      )
    return Effect.gen({ self: this }, function* () {
      let rest = shapes
      for (let looks = 0; looks < verifyLooks && rest.length > 0; looks++) {
        const verified = yield* look(rest)
        this.take(verified)
        task.done += rest.length - verified.again.length
        rest = verified.again
      }
      this.skip(rest.map((shape) => skippedShape(shape, "its log was compacted again and again meanwhile")))
      task.done += rest.length
      this.tablesDone++
    })
  }

  private take(verified: VerifiedTable): void {
    this.compared += verified.compared
    this.differing += verified.differing
    for (const kind of ["missing", "surplus", "differs"] as const) this.found[kind] += verified.found[kind]
    this.differences.push(...verified.differences.slice(0, mostDifferences - this.differences.length))
    this.skip(verified.skipped)
  }

  private skip(shapes: ReadonlyArray<SkippedShape>): void {
    const room = mostSkipped - this.skipped.length
    this.skipped.push(...shapes.slice(0, room))
    this.moreSkipped += Math.max(0, shapes.length - room)
  }
}
