import type { Lsn } from "../../shared/Lsn.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { membersAffectedAmong } from "../../shapes/SchemaChange.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { columnsOf } from "../../where/index.ts"
import { EarlyFailures } from "./EarlyFailures.ts"
import type { Ids } from "./Matcher.ts"
import type { RouterOptions } from "./RouterOptions.ts"
import type { RouteTarget, TableRoute } from "./TableRoute.ts"

/** The shapes that a transaction ends by what comes with it, whether they hold rows of its tables or their sub-selects read them. */
export class ConcernedShapes {
  private readonly options: Pick<RouterOptions, "drop" | "engine" | "identityLost" | "shapes">
  private readonly early = new EarlyFailures()
  commitLsn: Lsn = 0n
  xid = 0

  constructor(options: Pick<RouterOptions, "drop" | "engine" | "identityLost" | "shapes">) {
    this.options = options
  }

  /** The transaction at hand. */
  begin(commitLsn: Lsn, xid: number): void {
    this.commitLsn = commitLsn
    this.xid = xid
  }

  /**
   * Drops those of the shapes that the transaction at hand concerns, for what it brings. What the snapshot of a shape
   * contains is not for its log; while nobody knows that, the reason is kept until somebody does.
   */
  drop(shapes: Iterable<ShapeState>, reason: string): void {
    this.dropAt(shapes, this, reason)
  }

  /** The same for another transaction, which may be one of before. */
  dropAt(
    shapes: Iterable<ShapeState>,
    { commitLsn, xid }: { readonly commitLsn: Lsn; readonly xid: number },
    reason: string
  ): void {
    const concerned: Array<ShapeState> = []
    for (const shape of shapes) {
      const isForLog = shape.includesLate(commitLsn, xid)
      if (isForLog === undefined) this.early.note(shape.id, { commitLsn, xid, reason })
      else if (isForLog) concerned.push(shape)
    }
    if (concerned.length > 0) this.options.drop(concerned, reason)
  }

  /**
   * A column that was NOT NULL may be NULL now, of which the stream says nothing, and official clients would fail at it for
   * good: the shapes whose clients were told so are made anew.
   */
  forbiddenNull(
    target: RouteTarget,
    row: Tuple,
    takers: Ids,
    at: { readonly commitLsn: Lsn; readonly xid: number }
  ): void {
    const told = new Map<string, Array<ShapeState>>()
    for (let i = 0; i < takers.count; i++) {
      const shape = this.options.engine.store.get(takers.ids[i] as number)
      const column = shape === undefined ? undefined : target.forbiddenNullFor(shape, row)
      if (shape === undefined || column === undefined) continue
      const shapes = told.get(column)
      if (shapes === undefined) told.set(column, [shape])
      else shapes.push(shape)
    }
    for (const [column, shapes] of told)
      this.dropAt(shapes, at, `the column ${column} of its table was NOT NULL, and may be NULL now`)
  }

  /** What the shape's snapshot contains is known from now on. */
  decided(shape: ShapeState): void {
    const reason = this.early.decide(shape)
    if (reason !== undefined) this.options.drop([shape], reason)
  }

  forget(shape: ShapeState): void {
    this.early.forget(shape.id)
  }

  /** The stream describes a table, or describes it anew. */
  described(relation: Relation, targets: ReadonlyArray<RouteTarget>): void {
    const { identityLost, shapes } = this.options
    // A partition that is new, and has had no update yet: its identity is set before one comes without its old row.
    if (relation.replicaIdentity !== "f" && targets.some(({ tableOid }) => shapes.isInUse(tableOid)))
      identityLost(relation)
    for (const target of targets) {
      this.misfits(target, relation)
      this.inner(target.tableOid, relation)
    }
    this.namesakes(relation, targets)
  }

  /**
   * The transaction at hand has rows of this relation: it ends the shapes that cannot take them, unless their snapshot
   * shows the transaction. Those are younger than the relation, or the catalogue tells that they are not.
   */
  misfits(target: RouteTarget, { name, schema }: Relation): void {
    if (target.misfitsJudgedAt === this.commitLsn) return
    target.misfitsJudgedAt = this.commitLsn
    if (target.misfits.size === 0) return
    this.drop(target.misfits, `the definition of table ${schema}.${name} has changed`)
  }

  /** Sub-selects cannot go on with rows like these. */
  private inner(tableOid: number, relation: Relation): void {
    const { shapes } = this.options
    const affected = membersAffectedAmong(shapes.withInner(tableOid), tableOid, relation)
    this.drop(affected, `${shapes.named(tableOid)}, which its sub-selects read, has changed in what they use`)
  }

  /** Another table has the name of this one now. */
  private namesakes({ name, oid, schema }: Relation, targets: ReadonlyArray<RouteTarget>): void {
    const { shapes } = this.options
    for (const other of shapes.tables()) {
      if (other.schema !== schema || other.name !== name || other.oid === oid) continue
      if (targets.some(({ tableOid }) => tableOid === other.oid)) continue
      this.drop(shapes.needing(other.oid), `another table has the name ${schema}.${name}`)
    }
  }

  /** At the commit, so that a shape made meanwhile is not missed; one whose snapshot shows the truncation stays. */
  truncated(tables: ReadonlySet<number>): void {
    for (const oid of tables) this.drop(this.options.shapes.on(oid), "its table was truncated")
  }

  /** A row came without its old values. */
  withoutOldRow(relation: Relation, route: TableRoute | undefined): void {
    const { identityLost, shapes } = this.options
    const concerned = (route?.targets ?? []).flatMap(({ tableOid }) => [...shapes.needing(tableOid)])
    if (concerned.length === 0) return
    identityLost(relation)
    this.drop(concerned, `table ${relation.schema}.${relation.name} has lost its REPLICA IDENTITY FULL`)
  }

  /** Values of these columns cannot be read. Not for shapes that do without them. */
  unreadable(
    { name, schema }: Relation,
    route: TableRoute | undefined,
    columns: ReadonlyArray<string>
  ): void {
    const affected: Array<ShapeState> = []
    for (const { tableOid } of route?.targets ?? []) {
      for (const shape of this.options.shapes.needing(tableOid)) {
        if (shape.includes(this.commitLsn, this.xid) === false) continue
        const read = columnsRead(shape, tableOid)
        if (columns.some((column) => read.has(column))) affected.push(shape)
      }
    }
    const what = `${columns.join(", ")} of a row of table ${schema}.${name} is not UTF-8, as JSON must be`
    if (affected.length > 0) this.options.drop(affected, what)
  }
}

/** The columns of the table that the shape shows, or its condition reads. */
const columnsRead = (shape: ShapeState, tableOid: number): ReadonlySet<string> => {
  const read = new Set<string>()
  const { columns, table, where } = shape.definition
  if (table.oid === tableOid) {
    for (const column of columns) read.add(column)
    if (where !== undefined) for (const column of columnsOf(where)) read.add(column)
  }
  for (const member of shape.members)
    if (member.table.oid === tableOid) for (const { name } of member.columns) read.add(name)
  return read
}
