import { Effect } from "effect"
import { quoteIdentifier } from "../../postgres/Identifiers.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { PgError, PgErrorKind } from "../../postgres/errors/PgError.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { affectedAmong } from "../../shapes/SchemaChange.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { variantKey } from "../../shapes/WireEncoder.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import { othersTurn } from "../../shared/OthersTurn.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import { clearMatchList, makeMatchList } from "../../where/index.ts"
import type { Pace } from "../folding/Pace.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import { columnsRead } from "../routing/ConcernedShapes.ts"
import { ForbiddenValues } from "../routing/ForbiddenValues.ts"
import { RouteTarget } from "../routing/TableRoute.ts"
import { rowColumns, rowQuery } from "../snapshot/RowQuery.ts"
import { isPassing } from "../snapshot/SnapshotErrors.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import { foldLog } from "../folding/FoldLog.ts"
import type { HeldRows } from "../folding/HeldRows.ts"
import { RowLayout } from "../folding/RowLayout.ts"
import { readRows } from "./SharedSnapshot.ts"
import { selectFrom, unreadableColumns } from "./UnreadableColumns.ts"
import type { Compared, TableComparison } from "./TableComparison.ts"

/** Rows that have gone, told of before other work has its turn. */
const rowsPerTurn = 256

interface TableRepair {
  readonly logs: Pick<ShapeLogs["Service"], "read">
  readonly makeMatcher: MakeMatcher
  readonly session: SnapshotSession
  readonly pace: Pace
  readonly held: HeldRows
  readonly comparison: TableComparison
  /** What logs have of transactions from here on does not count; all of it does where this is left out. */
  readonly before?: Lsn
  /** A shape that cannot be compared is none of those that are, from now on. */
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  readonly isDropped: (shape: ShapeState) => boolean
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
    const layoutOf = sharedLayouts()
    for (const shape of shapes) {
      if (repair.isDropped(shape)) continue
      const layout = layoutOf(shape.definition)
      const isRead = yield* foldLog(repair.logs, shape, layout, held, {
        before: repair.before,
        pace: repair.pace
      }).pipe(
        Effect.catchIf(
          (error) => error.mayPass !== true,
          ({ message }) => Effect.sync(() => drop([shape], `what is stored of it cannot be read: ${message}`))
        )
      )
      if (isRead === true) scan.add(shape, layout)
    }
    yield* scan.run
    for (const one of scan.toAsk()) yield* askFor(repair, one, table.kind === "partitioned", scan.unreadable)
    for (const one of scan.compared()) yield* finish(repair, one)
  })

/** Shapes whose rows are written in the same way share a layout: there may be a hundred thousand of them. */
const sharedLayouts = (): ((definition: ShapeDefinition) => RowLayout) => {
  const known = new Map<string, RowLayout>()
  return (definition) => {
    const key = variantKey(definition)
    const found = known.get(key) ?? new RowLayout(definition, { mayDiffer: true })
    known.set(key, found)
    return found
  }
}

const finish = ({ comparison, pace }: TableRepair, one: Compared): Effect.Effect<void> =>
  Effect.gen(function* () {
    let written = 0
    for (const _ of comparison.end(one)) {
      if (++written % rowsPerTurn !== 0) continue
      yield* othersTurn
      yield* Effect.promise(async () => pace.took(rowsPerTurn))
    }
  })

/** The rows of one shape, as Postgres selects them. */
const askFor = (
  { comparison, drop, onRow, pace, session }: TableRepair,
  one: Compared,
  isPartitioned: boolean,
  /** What has a value that cannot be given out, where that is known. */
  unreadable: string | undefined
): Effect.Effect<void, PgError> => {
  const { shape } = one
  const forWhat = unreadable === undefined ? "" : `, for ${unreadable}`
  const forbidden = new ForbiddenValues(rowColumns(shape.definition))
  forbidden.add(shape.common)
  const row = (tuple: Tuple) => {
    onRow()
    if (forbidden.isIn(tuple)) drop([shape], forbidden.whyFor(shape.common, tuple) ?? "")
    else comparison.row(one, tuple)
  }
  return readRows(session, rowQuery(shape.definition, isPartitioned), row, pace).pipe(
    Effect.catchIf(
      (error) => !isPassing(error),
      (error) =>
        Effect.sync(() =>
          drop([shape], `its rows cannot be read${forWhat}: ${error.serverMessage ?? error.message}`)
        )
    )
  )
}

const readsAny = (shape: ShapeState, tableOid: number, columns: ReadonlyMap<string, unknown>): boolean =>
  [...columnsRead(shape, tableOid)].some((column) => columns.has(column))

/** What is wrong with all of a table. */
const refused: ReadonlySet<PgErrorKind> = new Set(["permission_denied", "undefined_object", "syntax_error"])

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
  /** What has a value that Postgres cannot give out, if something has. */
  unreadable: string | undefined

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
    return Effect.catchIf(
      this.scan(this.columns.map(quoteIdentifier)),
      (error) => !isPassing(error),
      (error) => this.around(error)
    )
  })

  private scan(columns: ReadonlyArray<string>): Effect.Effect<void, PgError> {
    const { pace, session } = this.repair
    return readRows(session, selectFrom(this.table, columns), (row) => this.row(row), pace)
  }

  /**
   * A row cannot be given out. Shapes that read none of the columns that are the cause are scanned once more without these; the
   * others may not have the row, which Postgres is asked.
   */
  private around(error: PgError): Effect.Effect<void, PgError> {
    return Effect.gen({ self: this }, function* () {
      const { repair, scanned, table } = this
      const said = error.serverMessage ?? error.message
      const name = `${table.schema}.${table.name}`
      const bad = refused.has(error.kind)
        ? undefined
        : yield* unreadableColumns(repair.session, table, repair.pace)
      if (bad === undefined || bad.size === 0) {
        const all = Array.from(scanned.values(), ({ shape }) => shape)
        return repair.drop(all, `their table ${name} cannot be read: ${said}`)
      }
      this.unreadable = `column ${[...bad.keys()].join(", ")} of table ${name}`
      for (const one of scanned.values())
        if (readsAny(one.shape, table.oid, bad)) this.leave(one.shape.id)
        else scanned.set(one.shape.id, { ...one, look: 2 })
      yield* this.scan(
        this.columns.map((column) => (bad.has(column) ? "NULL" : quoteIdentifier(column)))
      ).pipe(
        Effect.catchIf(
          (again) => !isPassing(again),
          (again) =>
            Effect.sync(() =>
              repair.drop(
                Array.from(scanned.values(), ({ shape }) => shape),
                `their table ${name} cannot be read: ${again.serverMessage ?? again.message}`
              )
            )
        )
      )
    })
  }

  private row(row: Tuple): void {
    const { matches, repair, scanned, target } = this
    repair.onRow()
    clearMatchList(matches)
    target.matcher.match(row, matches)
    for (const id of matches.undecided) this.leave(id)
    for (const { shapeId } of matches.errors) this.leave(shapeId)
    for (const { shapeId } of matches.costly) this.leave(shapeId)
    const forbids = target.forbidden.isIn(row)
    for (let i = 0; i < matches.count; i++) {
      const one = scanned.get(matches.ids[i] as number)
      if (one === undefined || this.asked.has(one.shape.id)) continue
      const why = forbids ? target.forbidden.whyFor(one.shape.common, row) : undefined
      if (why === undefined) repair.comparison.row(one, row)
      else repair.drop([one.shape], why)
    }
  }

  /** Its condition is not to be decided here. */
  private leave(id: number): void {
    const one = this.scanned.get(id)
    if (one !== undefined && !this.asked.has(id)) this.ask(one.shape, one.layout)
  }

  toAsk(): ReadonlyArray<Compared> {
    return [...this.asked.values()].filter(({ shape }) => !this.repair.isDropped(shape))
  }

  compared(): ReadonlyArray<Compared> {
    const all = new Map([...this.scanned, ...this.asked])
    return [...all.values()].filter(({ shape }) => !this.repair.isDropped(shape))
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
