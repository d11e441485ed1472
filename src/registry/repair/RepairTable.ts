import { Effect } from "effect"
import { quoteIdentifier, quoteTable } from "../../postgres/Identifiers.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { affectedAmong } from "../../shapes/SchemaChange.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import { clearMatchList, makeMatchList } from "../../where/index.ts"
import { othersTurn } from "../moves/Slices.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import { RouteTarget } from "../routing/TableRoute.ts"
import { rowColumns, rowQuery } from "../snapshot/RowQuery.ts"
import { isPassing } from "../snapshot/SnapshotErrors.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import { foldLog } from "./FoldLog.ts"
import type { HeldRows } from "./HeldRows.ts"
import { RowLayout } from "./RowLayout.ts"
import { readRows } from "./SharedSnapshot.ts"
import type { Compared, TableComparison } from "./TableComparison.ts"

/** Rows that have gone, written before other work has its turn. */
const rowsPerTurn = 256

interface TableRepair {
  readonly logs: Pick<ShapeLogs["Service"], "read">
  readonly makeMatcher: MakeMatcher
  readonly session: SnapshotSession
  readonly writer: JournalWriter
  readonly held: HeldRows
  readonly comparison: TableComparison
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  /** A row was read. */
  readonly onRow: () => void
}

type Failure = PgError | ShapeReadError

/**
 * Compares all shapes on a table with the rows that it has in the snapshot. One scan of the table serves all of them whose
 * condition is evaluated here; those of the rest are asked of Postgres one by one. A shape that cannot be compared is dropped
 * with a reason. Fails with what may pass: then nothing counts of what was written.
 */
export const repairTable = (
  repair: TableRepair,
  table: TableInfo,
  shapes: ReadonlyArray<ShapeState>
): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { drop, held } = repair
    const affected = affectedAmong(shapes, table)
    drop(affected, `the definition of table ${table.schema}.${table.name} has changed`)
    held.clear()
    const scan = new Scan(repair, table)
    for (const shape of shapes) {
      if (shape.dropped) continue
      const layout = new RowLayout(shape.definition)
      const isRead = yield* foldLog(repair.logs, shape, layout, held).pipe(
        Effect.catchIf(
          (error) => error.mayPass !== true,
          ({ message }) => Effect.sync(() => drop([shape], `what is stored of it cannot be read: ${message}`))
        )
      )
      if (isRead === true) scan.add(shape, layout)
    }
    yield* scan.run
    for (const one of scan.toAsk()) yield* askFor(repair, one, table.kind === "partitioned")
    for (const one of scan.compared()) yield* finish(repair, one)
  })

const finish = ({ comparison, writer }: TableRepair, one: Compared): Effect.Effect<void> =>
  Effect.gen(function* () {
    let written = 0
    for (const _ of comparison.end(one)) {
      if (++written % rowsPerTurn !== 0) continue
      writer.flush()
      yield* othersTurn
    }
  })

/** The rows of one shape, as Postgres selects them. */
const askFor = (
  { comparison, drop, onRow, session, writer }: TableRepair,
  one: Compared,
  isPartitioned: boolean
): Effect.Effect<void, PgError> => {
  const { shape } = one
  const row = (tuple: Tuple) => {
    onRow()
    comparison.row(one, tuple)
  }
  return readRows(session, rowQuery(shape.definition, isPartitioned), row, writer).pipe(
    Effect.catchIf(
      (error) => !isPassing(error),
      (error) =>
        Effect.sync(() => drop([shape], `its rows cannot be read: ${error.serverMessage ?? error.message}`))
    )
  )
}

/** One scan of a table for all of its shapes that it can serve. */
class Scan {
  private readonly repair: TableRepair
  private readonly table: TableInfo
  private readonly target: RouteTarget
  private readonly columns: ReadonlyArray<string>
  private readonly scanned = new Map<number, Compared>()
  /** Shapes that need a query of their own. */
  private readonly asked = new Map<number, Compared>()
  private readonly matches = makeMatchList()

  constructor(repair: TableRepair, table: TableInfo) {
    this.repair = repair
    this.table = table
    this.columns = table.columns.map(({ name }) => name)
    this.target = new RouteTarget(table.oid, relationOf(table), repair.makeMatcher)
  }

  add(shape: ShapeState, layout: RowLayout): void {
    const indexes = layout.indexesIn(this.columns)
    if (shape.members.length === 0 && this.target.add(shape))
      this.scanned.set(shape.id, { shape, layout, indexes, look: 1 })
    else this.ask(shape, layout)
  }

  /** What the scan has found of its rows before does not count. */
  private ask(shape: ShapeState, layout: RowLayout): void {
    const indexes = rowColumns(shape.definition).map((_, i) => i)
    this.asked.set(shape.id, { shape, layout, indexes, look: 2 })
  }

  readonly run: Effect.Effect<void, PgError> = Effect.suspend(() => {
    if (this.scanned.size === 0) return Effect.void
    const { repair, table } = this
    const only = table.kind === "partitioned" ? "" : "ONLY "
    const sql = `SELECT ${this.columns.map(quoteIdentifier).join(", ")} FROM ${only}${quoteTable(table)}`
    return readRows(repair.session, sql, (row) => this.row(row), repair.writer).pipe(
      Effect.catchIf(
        (error) => !isPassing(error),
        (error) =>
          Effect.sync(() =>
            repair.drop(
              Array.from(this.scanned.values(), ({ shape }) => shape),
              `their table ${table.schema}.${table.name} cannot be read: ${error.serverMessage ?? error.message}`
            )
          )
      )
    )
  })

  private row(row: Tuple): void {
    const { matches, repair, scanned, target } = this
    repair.onRow()
    clearMatchList(matches)
    target.matcher.match(row, matches)
    for (const id of matches.undecided) this.leave(id)
    for (const { shapeId } of matches.errors) this.leave(shapeId)
    for (const { shapeId } of matches.costly) this.leave(shapeId)
    const forbids = target.hasForbiddenNull(row)
    for (let i = 0; i < matches.count; i++) {
      const one = scanned.get(matches.ids[i] as number)
      if (one === undefined || this.asked.has(one.shape.id)) continue
      const column = forbids ? target.forbiddenNullFor(one.shape, row) : undefined
      if (column === undefined) repair.comparison.row(one, row)
      else
        repair.drop(
          [one.shape],
          `its column ${column} was NOT NULL when the shape was made, and has NULLs now`
        )
    }
  }

  /** Its condition is not to be decided here. */
  private leave(id: number): void {
    const one = this.scanned.get(id)
    if (one !== undefined && !this.asked.has(id)) this.ask(one.shape, one.layout)
  }

  toAsk(): ReadonlyArray<Compared> {
    return [...this.asked.values()].filter(({ shape }) => !shape.dropped)
  }

  compared(): ReadonlyArray<Compared> {
    return [...new Map([...this.scanned, ...this.asked]).values()].filter(({ shape }) => !shape.dropped)
  }
}

const relationOf = ({ columns, name, oid, schema }: TableInfo): Relation => ({
  oid,
  schema,
  name,
  replicaIdentity: "f",
  columns: columns.map(({ name: column, typeModifier, typeOid }) => ({
    name: column,
    typeOid,
    typeModifier,
    isKey: false
  }))
})
