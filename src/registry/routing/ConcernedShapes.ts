import type { Lsn } from "../../shared/Lsn.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { levelOfSubselects } from "../../storage/levels/Levels.ts"
import { membersAffectedAmong } from "../../shapes/SchemaChange.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { columnsOf } from "../../where/index.ts"
import { EarlyFailures } from "./EarlyFailures.ts"
import type { Ids } from "./Matcher.ts"
import type { RouterOptions } from "./RouterOptions.ts"
import type { RouteTarget, TableRoute } from "./TableRoute.ts"

/** A log of changes only does not say which rows its readers hold, and there is none to say it before first rows are known. */
export const canBeMended = ({ level }: { readonly level: number }, shape: ShapeState): boolean =>
  shape.common.log !== "changes_only" && shape.visibility !== undefined && level >= levelOfSubselects

/** The shapes that a transaction ends by what comes with it, whether they hold rows of its tables or their sub-selects read them. */
export class ConcernedShapes {
  private readonly options: Pick<RouterOptions, "drop" | "engine" | "identityLost" | "shapes">
  private readonly mend: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  private readonly early = new EarlyFailures()
  commitLsn: Lsn = 0n
  xid = 0

  /** `mend` has shapes compared with the database; see `RowRouter`. */
  constructor(
    options: Pick<RouterOptions, "drop" | "engine" | "identityLost" | "shapes">,
    mend: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  ) {
    this.options = options
    this.mend = mend
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

  /**
   * The transaction at hand leaves open which rows those of the shapes have that it concerns, or in which form: they are compared with
   * the database, or dropped where that is not possible. One that has something of a later transaction has been.
   */
  amend(shapes: Iterable<ShapeState>, reason: string): void {
    const { commitLsn, xid } = this
    const lost: Array<ShapeState> = []
    const mended: Array<ShapeState> = []
    for (const shape of shapes) {
      if (shape.end.tx >= commitLsn) continue
      if (this.canBeMended(shape) && shape.includesLate(commitLsn, xid) === true) mended.push(shape)
      else lost.push(shape)
    }
    this.drop(lost, reason)
    if (mended.length > 0) this.mend(mended, reason)
  }

  /** The same of all of them, whatever transaction has done it. */
  amendAll(shapes: ReadonlyArray<ShapeState>, reason: string): void {
    const live = shapes.filter(({ dropped }) => !dropped)
    const able = live.filter((shape) => this.canBeMended(shape))
    const unable = live.filter((shape) => !this.canBeMended(shape))
    this.options.drop(unable, reason)
    if (able.length > 0) this.mend(able, reason)
  }

  canBeMended(shape: ShapeState): boolean {
    return canBeMended(this.options.engine.store, shape)
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

  /** Clients of some of those who take the row cannot take it, as they were told something else: these shapes are made anew. */
  forbidden(
    target: RouteTarget,
    row: Tuple,
    takers: Ids,
    at: { readonly commitLsn: Lsn; readonly xid: number }
  ): void {
    const told = new Map<string, Array<ShapeState>>()
    for (let i = 0; i < takers.count; i++) {
      const shape = this.options.engine.store.get(takers.ids[i] as number)
      const why = shape === undefined ? undefined : target.forbidden.whyFor(shape.common, row)
      if (shape === undefined || why === undefined) continue
      const shapes = told.get(why)
      if (shapes === undefined) told.set(why, [shape])
      else shapes.push(shape)
    }
    for (const [why, shapes] of told) this.dropAt(shapes, at, why)
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
    this.amend(Array.from(target.misfits), `the definition of table ${schema}.${name} has changed`)
  }

  /** Sub-selects cannot go on with rows like these. */
  private inner(tableOid: number, relation: Relation): void {
    const { shapes } = this.options
    const affected = membersAffectedAmong(shapes.withInner(tableOid), tableOid, relation)
    const reason = `${shapes.named(tableOid)}, which its sub-selects read, has changed in what they use`
    // A partition has another name than the table.
    const isThere = tableOid !== relation.oid || hasName(affected, relation)
    if (isThere) this.amend(affected, reason)
    else this.drop(affected, reason)
  }

  /** Another table has the name of this one now. */
  private namesakes({ name, oid, schema }: Relation, targets: ReadonlyArray<RouteTarget>): void {
    const { shapes } = this.options
    for (const other of shapes.tablesNamed(schema, name)) {
      if (other.oid === oid) continue
      if (targets.some(({ tableOid }) => tableOid === other.oid)) continue
      this.drop(shapes.needing(other.oid), `another table has the name ${schema}.${name}`)
    }
  }

  /**
   * Those of the shapes that can be told which rows the transaction at hand takes from them, by truncating their table. A log of
   * changes alone does not say what its readers hold, and where Postgres is asked about rows nobody waits for that.
   */
  emptied(shapes: Iterable<ShapeState>): ReadonlyArray<ShapeState> {
    const { commitLsn, xid } = this
    if (this.options.engine.store.level < levelOfSubselects) return []
    return Array.from(shapes).filter(
      (shape) =>
        shape.common.log !== "changes_only" &&
        shape.includesLate(commitLsn, xid) === true &&
        !shape.isDecidedByPostgres
    )
  }

  /** A row came without its old values. */
  withoutOldRow(relation: Relation, route: TableRoute | undefined): void {
    const { identityLost, shapes } = this.options
    const concerned = (route?.targets ?? []).flatMap(({ tableOid }) => [...shapes.needing(tableOid)])
    if (concerned.length === 0) return
    identityLost(relation)
    this.drop(concerned, `table ${relation.schema}.${relation.name} has lost its REPLICA IDENTITY FULL`)
  }

  /**
   * Values of these columns of a row cannot be read. It ends shapes of which that leaves open whether they have the row, because their
   * condition reads one; for the others see `unreadableRow`.
   */
  unreadable(relation: Relation, route: TableRoute | undefined, columns: ReadonlyArray<string>): void {
    const affected: Array<ShapeState> = []
    for (const { tableOid } of route?.targets ?? []) {
      for (const shape of this.options.shapes.needing(tableOid)) {
        if (shape.includes(this.commitLsn, this.xid) === false) continue
        const read = shape.members.length > 0 ? columnsRead(shape, tableOid) : columnsTested(shape)
        if (columns.some((column) => read.has(column))) affected.push(shape)
      }
    }
    this.dropUnreadable(relation, affected, columns)
  }

  /** These shapes have the row, or may have it. Not for those that do without the columns. */
  unreadableRow(relation: Relation, ids: Ids, columns: ReadonlyArray<string>): void {
    const affected: Array<ShapeState> = []
    for (let i = 0; i < ids.count; i++) {
      const shape = this.options.engine.store.get(ids.ids[i] as number)
      if (shape === undefined || shape.includes(this.commitLsn, this.xid) === false) continue
      if (columns.some((column) => shape.common.columns.includes(column))) affected.push(shape)
    }
    this.dropUnreadable(relation, affected, columns)
  }

  private dropUnreadable(
    { name, schema }: Relation,
    affected: ReadonlyArray<ShapeState>,
    columns: ReadonlyArray<string>
  ): void {
    const what = `${columns.join(", ")} of a row of table ${schema}.${name} is not UTF-8, as JSON must be`
    if (affected.length > 0) this.options.drop(affected, what)
  }
}

/** The table has the name still by which their sub-selects read it. */
const hasName = (shapes: ReadonlyArray<ShapeState>, { name, oid, schema }: Relation): boolean =>
  shapes.every(({ members }) =>
    members.every(({ table }) => table.oid !== oid || (table.name === name && table.schema === schema))
  )

const columnsTested = ({ definition: { where } }: ShapeState): ReadonlySet<string> =>
  new Set(where === undefined ? [] : columnsOf(where))

/** The columns of the table that the shape shows, or its condition reads. */
export const columnsRead = (shape: ShapeState, tableOid: number): ReadonlySet<string> => {
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
