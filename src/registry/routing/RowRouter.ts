import { Effect } from "effect"
import type { Lsn } from "../../shared/Lsn.ts"
import { othersTurn } from "../../shared/OthersTurn.ts"
import { type Relation, sameRelation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { ChangeSink } from "../../replication/ChangeSink.ts"
import type { StorageFault } from "../../storage/disk/DiskFault.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { type NotWriting, writtenIn } from "../../storage/NotWriting.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { clearMatchList, makeMatchList, type MatchList } from "../../where/index.ts"
import { Continuity, lastTransactions } from "./Continuity.ts"
import { ConcernedShapes } from "./ConcernedShapes.ts"
import { DecisionBudget } from "./DecisionBudget.ts"
import { DeferredRows } from "./DeferredRows.ts"
import { Descriptions } from "./Descriptions.ts"
import { IdList, type Ids, isSettled } from "./Matcher.ts"
import { Routes } from "./Routes.ts"
import { RowWriter } from "./RowWriter.ts"
import { Truncations } from "./Truncations.ts"
import type { RouteTarget } from "./TableRoute.ts"
import type { RouterOptions } from "./RouterOptions.ts"
import { StreamPosition } from "./StreamPosition.ts"

/** Work of conditions, in steps of some ten nanoseconds, after which everything else gets its turn. */
const turnSteps = 500_000

/** Composed but not yet written bytes above which the stream waits. */
const backlogBytes = 8 << 20

/**
 * Routes every change of the replication stream to the shapes it belongs to, and composes the journal's records: each
 * change is matched once for each table, encoded once for each way of writing it, and stored once. Lives as long as
 * one session of the stream.
 */
export class RowRouter implements ChangeSink {
  private readonly options: RouterOptions
  private readonly engine: StorageEngine
  private readonly writer: JournalWriter
  private readonly routes: Routes
  private readonly continuity = new Continuity()
  private startsAt: Lsn = 0n
  private readonly position: StreamPosition
  private readonly before = makeMatchList()
  private readonly after = makeMatchList()
  private readonly rows: RowWriter
  /** While this holds rows, all that follow wait behind them: a shape's entries stand in the journal in their order. */
  private readonly deferred = new DeferredRows()
  private readonly budget: DecisionBudget
  private hasDeferred = false
  private readonly concerned: ConcernedShapes
  private readonly truncations: Truncations
  /** What conditions have cost since others had their turn. */
  private steps = 0

  // The transaction at hand.
  private commitLsn: Lsn = 0n
  private xid = 0
  private commitTimeMicros = 0n
  /** Of the transaction for which the publication was looked at. */
  private readonly descriptions: Descriptions
  private nextOp = 0
  private replayed = false
  private inTransaction = false
  /** Columns whose text is in no form that can be passed on: of the row at hand, and of the one that comes next. */
  private rowUnreadable: ReadonlyArray<string> | undefined
  private nextUnreadable: ReadonlyArray<string> | undefined

  constructor(options: RouterOptions) {
    this.options = options
    this.engine = options.engine
    this.writer = options.writer
    this.routes = new Routes(options)
    this.descriptions = new Descriptions(options)
    this.concerned = new ConcernedShapes(options, (shapes, reason) => this.startMending(shapes, reason))
    this.truncations = new Truncations(options, this.concerned, this.routes)
    this.rows = new RowWriter(options, (target, row, takers, at) =>
      this.dropForbidden(target, row, takers, at)
    )
    this.budget = new DecisionBudget(options.decisionMillis, options.engine.timers.nowMillis)
    this.position = new StreamPosition({
      engine: options.engine,
      writer: options.writer,
      inTransaction: () => this.inTransaction,
      onDurable: options.onDurable
    })
  }

  close(): void {
    this.options.members.close()
    this.position.close()
  }

  /** The stream starts here: everything before is in the journal, or concerns no shape. */
  startAt(lsn: Lsn): void {
    this.position.processedUpTo(lsn)
    this.startsAt = lsn
    const { resumeLsn } = this.engine.store
    this.options.members.startAt(resumeLsn > lsn ? resumeLsn : lsn)
    this.position.record()
  }

  /** The stream begins, where the slot does or at `fromLsn` if that is later. */
  followOn(fromLsn: Lsn | undefined): void {
    const lsn = fromLsn !== undefined && fromLsn > this.startsAt ? fromLsn : this.startsAt
    this.continuity.beginAt(lsn, lastTransactions(this.engine.store))
    this.options.members.trust(this.continuity.isCertain)
  }

  /** How far shapes with sub-selects are; see `StreamPosition`. */
  membersAreAt(lsn: Lsn): void {
    this.position.behind(lsn)
  }
  areLate(shapes: ReadonlyArray<ShapeState>): void {
    if (shapes.length > 0) this.position.late(shapes.map(({ id }) => id))
  }
  membersHaveCaughtUp(): boolean {
    return this.position.caughtUp()
  }

  /** A transaction of before, which shapes with sub-selects have only come to now, ends those that it is for. */
  dropAt(...drop: Parameters<ConcernedShapes["dropAt"]>): void {
    this.concerned.dropAt(...drop)
  }

  /** The stream has ended: completes when all that came of it is durable, and acknowledgeable if it counts. */
  readonly handBack: Effect.Effect<void, NotWriting | StorageFault> = Effect.suspend(() => {
    this.position.record()
    return this.position.settle
  })

  /** Where the transaction commits that has begun and not ended. */
  get openTransaction(): Lsn | undefined {
    return this.inTransaction ? this.commitLsn : undefined
  }

  durableLsn(): Lsn {
    return this.position.durableLsn
  }

  // Shapes

  /** From now on the shape receives its changes. */
  addShape(shape: ShapeState): void {
    this.routes.addShape(shape)
  }

  /** These are no longer partitions below the table: their rows are none of its rows. */
  detach(tableOid: number, leafOids: ReadonlyArray<number>): void {
    this.routes.detach(tableOid, leafOids)
    this.options.members.detach(tableOid, leafOids)
  }

  /** See `RegistrySession.mend`. */
  mend(...[shapes, reason]: Parameters<ConcernedShapes["amendAll"]>): void {
    this.concerned.amendAll(shapes, reason)
  }

  /** What they have of the transaction at hand is taken back: what they are compared with contains it. */
  private startMending(shapes: ReadonlyArray<ShapeState>, reason: string): void {
    const routed = shapes.filter((shape) => !this.options.members.has(shape))
    this.options.members.mend(shapes, reason)
    for (const shape of routed) this.unroute(shape)
    this.truncations.retract(routed, this.replayed || !this.inTransaction)
  }

  /** The table is gone: no more rows of it can come, but for shapes that are gone with it. */
  forgetTable(oid: number): void {
    this.routes.forgetTable(oid)
  }

  removeShape(shape: ShapeState): void {
    this.concerned.forget(shape)
    this.unroute(shape)
    this.options.members.removeShape(shape)
  }

  private unroute(shape: ShapeState): void {
    this.routes.removeShape(shape)
    this.rows.leaves(shape.id)
  }

  // Transactions

  begin(commitLsn: Lsn, xid: number, commitTimeMicros: bigint): void {
    if (!this.continuity.isCertain) {
      this.continuity.transaction(commitLsn, xid)
      this.options.members.trust(this.continuity.isCertain)
    }
    this.commitLsn = commitLsn
    this.xid = xid
    this.commitTimeMicros = commitTimeMicros
    this.nextOp = 0
    this.concerned.begin(commitLsn, xid)
    this.rows.begin(commitLsn, xid)
    this.inTransaction = true
    this.replayed = commitLsn <= this.engine.store.lastCommitLsn
    this.truncations.begin()
    this.hasDeferred = false
    this.engine.store.recentXids.push(xid)
    if (!this.replayed) {
      this.options.onBegin?.()
      this.writer.ordinary.beginTransaction(commitLsn, xid)
    }
    this.options.members.begin(commitLsn, xid)
  }

  commit(endLsn: Lsn): Effect.Effect<void> | undefined {
    if (this.deferred.isEmpty) return this.withMembers(endLsn)
    return Effect.flatMap(this.resolveDeferred(), () => this.withMembers(endLsn) ?? Effect.void)
  }

  private withMembers(endLsn: Lsn): Effect.Effect<void> | undefined {
    const held = this.options.members.commit(endLsn, this.nextOp, !this.replayed)
    if (held !== undefined) return Effect.map(held, () => this.finish(endLsn))
    this.finish(endLsn)
    return undefined
  }

  private finish(endLsn: Lsn): void {
    const { engine, writer } = this
    this.inTransaction = false
    this.truncations.commit()
    if (!this.replayed) {
      const wrote = engine.store.hasPending
      writer.ordinary.commitTransaction(endLsn, wrote)
      if (wrote) {
        this.tellCommitted()
        engine.store.commit(this.commitLsn, endLsn, this.xid, writer.ordinary.segmentOfTransaction)
        this.position.recordedUpTo(endLsn)
      } else {
        engine.store.abandon()
        this.position.passed(this.xid)
      }
    } else this.position.passed(this.xid)
    if (this.commitLsn > engine.processedLsn) engine.processedLsn = this.commitLsn
    this.position.processedUpTo(endLsn)
    this.options.members.committed()
    this.options.onReached?.(endLsn)
    this.options.onTransaction?.(this.nextOp >>> 1, this.commitTimeMicros)
  }

  private tellCommitted(): void {
    const { commitLsn, commitTimeMicros, nextOp, options, writer, xid } = this
    options.onCommit?.({ commitLsn, xid, commitTimeMicros, operations: nextOp >>> 1, marker: writer.marker })
  }

  keepalive(walEnd: Lsn, isAsked: boolean): void {
    if (this.inTransaction) return
    this.continuity.received(walEnd)
    this.position.processedUpTo(walEnd)
    if (isAsked) this.position.wanted()
    if (walEnd > this.engine.processedLsn) this.engine.processedLsn = walEnd
    this.options.members.received(walEnd)
    this.options.onReached?.(walEnd)
  }

  /** See `StreamPosition.needless`. */
  needless(lsn: Lsn): void {
    this.position.needless(lsn)
  }

  batchEnd(): Effect.Effect<void> | undefined {
    if (!this.inTransaction) this.position.recordSoon()
    this.writer.flush()
    if (this.writer.unwrittenBytes < backlogBytes) return undefined
    // Without a writer there is no room for more until the turn ends, and the stream with it: the look for later epochs sees to that.
    return Effect.catch(writtenIn(this.writer), () => Effect.never)
  }

  // Tables

  relation(relation: Relation): Effect.Effect<void> | undefined {
    const { commitLsn, descriptions, options, xid } = this
    const known = this.routes.of(relation.oid)
    if (known !== undefined && sameRelation(known.relation, relation))
      return descriptions.again(known.targets, commitLsn, xid)
    const checked = descriptions.published(commitLsn)
    const others = () => this.routes.unknown(options.shapes.tablesBelow())
    const described = known === undefined ? { relation, commitLsn, xid, others } : undefined
    // One after the other: to open a connection for the second question takes many times as long as the first one.
    const asked = options.ancestors(relation.oid, described)
    const tables = checked === undefined ? asked : Effect.tap(asked, () => checked)
    const ready = Effect.tap(tables, (ancestors) => this.routes.prepare(relation, ancestors))
    return Effect.flatMap(ready, (ancestors) => {
      this.makeRoute(relation, ancestors)
      return descriptions.rewritten([relation.oid, ...ancestors], commitLsn, xid) ?? Effect.void
    })
  }

  private makeRoute(relation: Relation, ancestors: ReadonlyArray<number>): void {
    const { targets } = this.routes.make(relation, ancestors)
    const { members } = this.options
    const affected = members.relation(relation, ancestors)
    this.concerned.amend(affected, `the definition of table ${relation.schema}.${relation.name} has changed`)
    this.concerned.described(relation, targets)
  }

  /** See `ConcernedShapes.forbidden`. */
  dropForbidden(...[target, row, takers, at]: Parameters<ConcernedShapes["forbidden"]>): void {
    this.concerned.forbidden(target, row, takers, at)
  }

  truncate(relations: ReadonlyArray<Relation>): Effect.Effect<void> | undefined {
    this.nextOp += 2
    // What stands before it is written before it is looked at which shapes have some of it.
    if (this.deferred.isEmpty) return this.truncations.of(relations, this.replayed)
    return Effect.map(this.resolveDeferred(), () => this.truncations.of(relations, this.replayed))
  }

  // Rows

  private takeOp(): number {
    const op = this.nextOp
    this.nextOp = op + 2
    this.rowUnreadable = this.nextUnreadable
    this.nextUnreadable = undefined
    return op
  }

  insert(relation: Relation, row: Tuple): Effect.Effect<void> | undefined {
    const op = this.takeOp()
    const held = this.options.members.change(relation, op, undefined, row)
    const route = this.replayed ? undefined : this.routes.of(relation.oid)
    if (route === undefined) return held
    for (const target of route.targets) {
      if (target.misfits.size > 0) this.concerned.misfits(target, relation)
      if (target.size === 0) continue
      const after = this.after
      clearMatchList(after)
      this.steps += target.matcher.match(row, after)
      if (this.rowUnreadable !== undefined) this.endUnreadable(relation, [after])
      if (isSettled(after) && this.deferred.isEmpty) {
        if (after.count > 0) this.rows.write(target, op, undefined, row, noIds, after)
      } else this.defer(target, relation, op, undefined, row, undefined, after)
    }
    return this.afterRow(held)
  }

  delete(relation: Relation, oldRow: Tuple, complete: boolean): Effect.Effect<void> | undefined {
    const op = this.takeOp()
    if (!complete) return this.withoutOldRow(relation)
    const held = this.options.members.change(relation, op, oldRow, undefined)
    const route = this.replayed ? undefined : this.routes.of(relation.oid)
    if (route === undefined) return held
    for (const target of route.targets) {
      if (target.misfits.size > 0) this.concerned.misfits(target, relation)
      if (target.size === 0) continue
      const before = this.before
      clearMatchList(before)
      this.steps += target.matcher.match(oldRow, before)
      if (this.rowUnreadable !== undefined) this.endUnreadable(relation, [before])
      if (isSettled(before) && this.deferred.isEmpty) {
        if (before.count > 0) this.rows.write(target, op, oldRow, undefined, before, noIds)
      } else this.defer(target, relation, op, oldRow, undefined, before, undefined)
    }
    return this.afterRow(held)
  }

  update(relation: Relation, oldRow: Tuple | undefined, row: Tuple): Effect.Effect<void> | undefined {
    const op = this.takeOp()
    if (oldRow === undefined) return this.withoutOldRow(relation)
    const held = this.options.members.change(relation, op, oldRow, row)
    const route = this.replayed ? undefined : this.routes.of(relation.oid)
    if (route === undefined) return held
    for (const target of route.targets) {
      if (target.misfits.size > 0) this.concerned.misfits(target, relation)
      if (target.size === 0) continue
      const { before, after } = this
      clearMatchList(after)
      this.steps += target.matcher.match(row, after)
      if (target.matcher.takesAll()) {
        if (this.rowUnreadable !== undefined) this.endUnreadable(relation, [after])
        if (!this.deferred.isEmpty) this.defer(target, relation, op, oldRow, row, after, after)
        else if (after.count > 0) this.rows.write(target, op, oldRow, row, after, after)
        continue
      }
      clearMatchList(before)
      this.steps += target.matcher.match(oldRow, before)
      if (this.rowUnreadable !== undefined) this.endUnreadable(relation, [before, after])
      if (isSettled(before) && isSettled(after) && this.deferred.isEmpty) {
        if (before.count + after.count > 0) this.rows.write(target, op, oldRow, row, before, after)
      } else this.defer(target, relation, op, oldRow, row, before, after)
    }
    return this.afterRow(held)
  }

  unreadable(relation: Relation, columns: ReadonlyArray<string>): void {
    if (this.replayed) return
    this.nextUnreadable = this.nextUnreadable === undefined ? columns : [...this.nextUnreadable, ...columns]
    this.concerned.unreadable(relation, this.routes.of(relation.oid), columns)
  }

  /** Ends the shapes that have the row at hand, or may have it, where it has something that cannot be read. */
  private endUnreadable(relation: Relation, lists: ReadonlyArray<MatchList>): void {
    const { rowUnreadable: columns } = this
    if (columns === undefined) return
    for (const list of lists) {
      this.concerned.unreadableRow(relation, list, columns)
      const undecided = new IdList()
      for (const id of list.undecided) undecided.push(id)
      this.concerned.unreadableRow(relation, undecided, columns)
    }
  }

  private withoutOldRow(relation: Relation): undefined {
    this.concerned.withoutOldRow(relation, this.routes.of(relation.oid))
    return undefined
  }

  private afterRow(held: Effect.Effect<void> | undefined): Effect.Effect<void> | undefined {
    const rest = this.rows.rest()
    if (rest !== undefined) return Effect.flatMap(rest, () => this.afterRow(held) ?? Effect.void)
    if (this.deferred.isFull)
      return held === undefined ? this.resolveDeferred() : Effect.andThen(this.resolveDeferred(), held)
    if (held !== undefined || this.steps < turnSteps) return held
    // Conditions have taken long enough: everything else gets its turn.
    this.steps = 0
    return othersTurn
  }

  /** For what cannot be written now: shapes whose condition fails are dropped, those that Postgres decides are noted. */
  private defer(
    target: RouteTarget,
    relation: Relation,
    op: number,
    oldRow: Tuple | undefined,
    row: Tuple | undefined,
    before: MatchList | undefined,
    after: MatchList | undefined
  ): void {
    const askBefore = before === undefined ? none : this.toAsk(before)
    const askAfter = after === undefined || after === before ? none : this.toAsk(after)
    const had: Ids = before ?? noIds
    const has: Ids = after ?? noIds
    const questions = askBefore.length + askAfter.length
    if (had.count + has.count + questions === 0) return
    if (questions === 0 && this.deferred.isEmpty) {
      this.rows.write(target, op, oldRow, row, had, has)
      return
    }
    this.deferred.add({ target, relation, op, oldRow, row, askBefore, askAfter }, had, has)
  }

  /** Shapes of whose condition only Postgres can tell whether it holds, as far as this transaction is for their logs. */
  private toAsk({ costly, errors, undecided }: MatchList): ReadonlyArray<number> {
    for (const { shapeId, message } of costly) this.dropCostly(shapeId, message)
    for (const { shapeId, message } of errors) this.dropFailed(shapeId, message)
    return undecided.length === 0
      ? none
      : undecided.filter((id) => this.engine.store.get(id)?.includes(this.commitLsn, this.xid) !== false)
  }

  /** Has the rows decided that wait, and writes them. */
  private resolveDeferred(): Effect.Effect<void> {
    if (!this.hasDeferred) {
      this.hasDeferred = true
      const committedMillis = Number(this.commitTimeMicros) / 1000
      this.budget.begin(this.engine.timers.epochMillis() - committedMillis)
    }
    const rows = this.deferred.take()
    return Effect.flatMap(this.options.decide(rows, this.budget), ({ aboveLimit, failed }) => {
      for (const [id, message] of failed) this.dropFailed(id, message)
      for (const reason of new Set(aboveLimit.values())) {
        const ids = Array.from(aboveLimit.keys()).filter((id) => aboveLimit.get(id) === reason)
        const shapes = ids.flatMap((id) => this.engine.store.get(id) ?? [])
        this.options.drop(shapes, `${reason}. Only Postgres can evaluate its condition`)
      }
      return this.rows.writeDecided(rows)
    })
  }

  private dropCostly(id: number, message: string): void {
    const shape = this.engine.store.get(id)
    if (shape !== undefined) this.options.drop([shape], message)
  }

  private dropFailed(id: number, message: string): void {
    const shape = this.engine.store.get(id)
    // The query of a snapshot that contains the row has got over it, or the row was gone by then.
    if (shape !== undefined)
      this.concerned.drop(
        [shape],
        `its condition fails for a changed row, as it does in Postgres (${message}); a new snapshot shows whether it still does`
      )
  }

  /** What the shape's snapshot contains is known from now on. */
  decided(shape: ShapeState): void {
    this.concerned.decided(shape)
  }
}

const noIds = new IdList()
const none: ReadonlyArray<number> = []
