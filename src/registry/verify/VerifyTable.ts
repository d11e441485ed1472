import { Effect, type Scope } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { HeldRows, type HeldRowsFailed } from "../folding/HeldRows.ts"
import type { Pace } from "../folding/Pace.ts"
import { repairTable } from "../repair/RepairTable.ts"
import { TableComparison } from "../repair/TableComparison.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import { type PointServices, takePoint } from "./DatabasePoint.ts"
import { FoundDifferences } from "./FoundDifferences.ts"
import { logsBefore } from "./LogsBefore.ts"
import { sinceWhen } from "./SinceWhen.ts"
import { untilProcessed } from "./UntilProcessed.ts"
import type { VerifyFailed } from "./VerifyFailed.ts"
import type { RowDifference, SkippedShape, VerifyReport } from "./VerifyReport.ts"

export interface VerifyServices extends PointServices {
  readonly logs: Pick<ShapeLogs["Service"], "read" | "lastSeenLsn">
  readonly inspector: Pick<Inspector["Service"], "readAgain" | "tableByOid">
  readonly makeMatcher: MakeMatcher
  /** Asks the server how far it has sent everything. */
  readonly askForPosition: () => void
}

interface VerifyOptions {
  readonly pace: Pace
  readonly onRow: () => void
}

/** What has come of the shapes on one table. */
export interface VerifiedTable {
  readonly compared: number
  readonly differing: number
  readonly found: VerifyReport["found"]
  readonly differences: ReadonlyArray<RowDifference>
  readonly skipped: ReadonlyArray<SkippedShape>
  /** Their logs were compacted meanwhile: another look will do. */
  readonly again: ReadonlyArray<ShapeState>
}

export type VerifyFailure = PgError | ShapeReadError | HeldRowsFailed | VerifyFailed

export const nameOfTable = ({ common: { table } }: ShapeState): string => `${table.schema}.${table.name}`

export const skippedShape = (shape: ShapeState, reason: string): SkippedShape => ({
  handle: shape.handle,
  table: nameOfTable(shape),
  reason
})

/** Why a shape has no rows that could be compared now. */
const whyNot = (shape: ShapeState): string | undefined => {
  if (shape.common.log === "changes_only")
    return "its log has changes only: there are no rows that its readers hold"
  return shape.snapshotComplete && !shape.unannounced ? undefined : "its first rows are being read"
}

/**
 * Compares what readers of shapes on one table hold at a point of the WAL with what Postgres has there. Nothing is written, and
 * nobody waits for it: the log up to that point is folded once the stream has come by, and the table is read in a snapshot of it.
 */
export const verifyTable = (
  services: VerifyServices,
  oid: number,
  shapes: ReadonlyArray<ShapeState>,
  { onRow, pace }: VerifyOptions
): Effect.Effect<VerifiedTable, VerifyFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { askForPosition, inspector, makeMatcher } = services
    const reasons = new Map<ShapeState, string>()
    for (const shape of shapes) {
      const reason = whyNot(shape)
      if (reason !== undefined) reasons.set(shape, reason)
    }
    const again = new Set<ShapeState>()
    const isDropped = (shape: ShapeState) => shape.dropped !== false || again.has(shape) || reasons.has(shape)
    const drop = (left: ReadonlyArray<ShapeState>, reason: string) => {
      for (const shape of left) if (!isDropped(shape)) reasons.set(shape, reason)
    }
    const found = new FoundDifferences()
    const comparable = shapes.filter((shape) => !isDropped(shape))
    // Those of the shapes that there are: one that is made meanwhile may begin behind the point.
    const looked =
      comparable.length === 0
        ? undefined
        : yield* Effect.gen(function* () {
            yield* inspector.readAgain([oid])
            const table = yield* inspector.tableByOid(oid)
            if (table === undefined) return void drop(comparable, "its table is gone")
            const { lsn, session } = yield* takePoint(services)
            yield* untilProcessed(services.logs, comparable, lsn, askForPosition)
            const held = yield* HeldRows.make
            const comparison = new TableComparison(held, found)
            const logs = logsBefore(services.logs, comparable, lsn, (shape) => again.add(shape))
            const look = { logs, makeMatcher, session, pace, held, comparison, before: lsn, drop, isDropped }
            yield* repairTable({ ...look, onRow }, table, comparable)
            return { lsn, logs }
          })
    const left = [...again]
    const compared = comparable.filter((shape) => !isDropped(shape))
    const totals = { missing: 0, surplus: 0, differs: 0 }
    const differences: Array<RowDifference> = []
    let differing = 0
    for (const shape of compared) {
      const of = found.of(shape.id)
      if (of === undefined || looked === undefined) continue
      differing++
      totals.missing += of.counts.missing
      totals.surplus += of.counts.surplus
      totals.differs += of.counts.differs
      const keys = new Set(of.rows.map(({ key }) => key))
      const since = keys.size === 0 ? undefined : yield* sinceWhen(looked.logs, shape, keys, looked.lsn, pace)
      const sinceOf = (key: string) => (since === undefined ? "unknown" : (since.get(key) ?? null))
      const about = { handle: shape.handle, table: nameOfTable(shape) }
      for (const row of of.rows) differences.push({ ...about, ...row, since: sinceOf(row.key) })
    }
    return {
      again: left,
      compared: compared.length,
      differing,
      found: totals,
      differences,
      skipped: Array.from(reasons, ([shape, reason]) => skippedShape(shape, reason))
    }
  })
