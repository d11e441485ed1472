import { Effect, Exit } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import { levelOfSubselects } from "../../storage/levels/Levels.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { RegistrySession } from "../RegistrySession.ts"
import type { ComparisonCounts } from "../../telemetry/ComparisonCounts.ts"
import { type ProgressTask, withProgress } from "../../telemetry/Progress.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"
import { type Difference, DifferenceWriter } from "./DifferenceWriter.ts"
import { HeldRows, type HeldRowsFailed } from "../folding/HeldRows.ts"
import { repairTable } from "./RepairTable.ts"
import { openSharedSnapshot, paceOfWriter } from "./SharedSnapshot.ts"
import { TableComparison } from "./TableComparison.ts"

interface RepairServices {
  readonly engine: StorageEngine
  readonly writer: JournalWriter
  readonly logs: Pick<ShapeLogs["Service"], "read">
  readonly sessions: Pick<SnapshotSessions["Service"], "acquire">
  readonly inspector: Pick<Inspector["Service"], "readAgain" | "tableByOid">
  readonly makeMatcher: MakeMatcher
  readonly counts: ComparisonCounts
}

/**
 * The point from which a new slot gives all changes, and a snapshot of exactly what is before it. It lies behind all that shapes
 * have (`chooseShift`).
 */
export interface ConsistentPoint {
  readonly lsn: Lsn
  readonly snapshotName: string
  /** Why shapes are to be brought there. */
  readonly reason: string
}

/** What a repair has done. */
export interface Repaired extends Difference {
  readonly shapes: number
  readonly rowsRead: number
}

/**
 * Brings every shape to the consistent point: compares what a reader at the end of its log holds with the rows that the database
 * has, and appends the difference, all of it in one transaction, under the handles that clients know. Shapes for which that is
 * not possible are dropped with a reason. Doing it again changes nothing, so one that was cut off is begun anew.
 */
export const repairShapes = (
  services: RepairServices,
  session: Pick<RegistrySession, "shapes" | "drop">,
  point: ConsistentPoint
): Effect.Effect<Repaired, PgError | ShapeReadError | HeldRowsFailed> =>
  withProgress(
    { kind: "repair", name: "Comparing shapes with the database", total: undefined, unit: "rows" },
    (task) => compareAll(services, session, point, task)
  )

const compareAll = (
  services: RepairServices,
  session: Pick<RegistrySession, "shapes" | "drop">,
  point: ConsistentPoint,
  task: ProgressTask
): Effect.Effect<Repaired, PgError | ShapeReadError | HeldRowsFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { counts, engine, inspector, logs, makeMatcher, writer } = services
      const { drop } = session
      const beganMillis = engine.timers.nowMillis()
      const shapesBefore = engine.store.count
      const snapshot = yield* openSharedSnapshot(services.sessions, point.snapshotName)
      dropIncomparable(engine.store.all(), point, drop)
      const held = yield* HeldRows.make
      const difference = new DifferenceWriter(engine, writer, point.lsn - 1n)
      const comparison = new TableComparison(held, difference)
      const tables = byTable(engine.store.all())
      yield* inspector.readAgain([...tables.keys()])
      const onRow = () => void task.done++
      const pace = paceOfWriter(writer)
      const repair = { logs, makeMatcher, session: snapshot, pace, held, comparison, drop, isDropped, onRow }
      yield* Effect.onExit(
        Effect.gen(function* () {
          for (const [oid, shapes] of tables) {
            const table = yield* inspector.tableByOid(oid)
            if (table === undefined) drop(shapes, "its table is gone")
            else yield* repairTable(repair, table, shapes)
          }
        }),
        (exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) difference.commit()
            else difference.abandon()
          })
      )
      if (engine.store.level >= levelOfSubselects && engine.store.behindLsn !== undefined)
        engine.writing?.write({ t: "behind", lsn: null })
      const done = { ...difference.difference, shapes: engine.store.count, rowsRead: task.done }
      const seconds = (engine.timers.nowMillis() - beganMillis) / 1000
      counts.repaired({ ...done, reason: point.reason, seconds, shapesBefore })
      return done
    })
  )

const isDropped = ({ dropped }: ShapeState): boolean => dropped !== false

const dropIncomparable = (
  shapes: Iterable<ShapeState>,
  { lsn }: ConsistentPoint,
  drop: RegistrySession["drop"]
): void => {
  const withoutRows: Array<ShapeState> = []
  const old: Array<ShapeState> = []
  for (const shape of shapes) {
    if (shape.common.log === "changes_only") withoutRows.push(shape)
    else if (!shape.includesAllFrom(lsn - 1n)) old.push(shape)
  }
  drop(withoutRows, "its log has changes only, and which of them are missing is not known")
  drop(old, "an older release has made it, which does not say which transactions its first rows contain")
}

const byTable = (shapes: Iterable<ShapeState>): ReadonlyMap<number, ReadonlyArray<ShapeState>> => {
  const tables = new Map<number, Array<ShapeState>>()
  for (const shape of shapes) {
    const { oid } = shape.common.table
    const known = tables.get(oid)
    if (known === undefined) tables.set(oid, [shape])
    else known.push(shape)
  }
  return tables
}
