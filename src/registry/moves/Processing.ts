import type { Flip } from "../../membership/Flip.ts"
import { depthOf } from "../../membership/Subselect.ts"
import { makeTuple, type Tuple } from "../../postgres/Tuple.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import { clearMatchList, makeMatchList, type MatchList } from "../../where/index.ts"
import type { Emptying } from "../emptying/Emptying.ts"
import { placeBehind } from "../emptying/Places.ts"
import type { LaneMembers } from "./LaneMembers.ts"
import type { LaneTable } from "./LaneTable.ts"
import { keyIndexesOf, type Move, MoveWriter } from "./MoveWriter.ts"
import type { Output, Pieces } from "../routing/Output.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import { areEqualRows, projectInto } from "../rewinding/RowBytes.ts"
import { withReached } from "./Reach.ts"
import { emptiedBy, partlyTruncated } from "./Wanted.ts"
import { concernedAt, type WorkingSet, type WorkingTable } from "./WorkingSet.ts"

const none: ReadonlyArray<number> = []

/** Rows after which it is seen whether others should have their turn. */
const rowsPerLook = 64

interface ProcessingOptions {
  readonly members: LaneMembers
  readonly emptying: Emptying
  readonly shapeOf: (id: number) => ShapeState | undefined
  /** The transaction ends those of the shapes that it is for. */
  readonly dropConcerned: (shapes: ReadonlyArray<ShapeState>, at: RawTransaction, reason: string) => void
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  /** They follow nothing any more until they have been compared with the database. */
  readonly compare: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
}

/**
 * Brings shapes and sub-selects from one transaction to the next: `tell`s the state what the transaction does, writes the
 * operations of shapes' own tables, then moves, and applies it.
 */
export class Processing {
  private readonly options: ProcessingOptions
  private readonly before = makeMatchList()
  private readonly after = makeMatchList()
  private rows = 0
  private latest: ReadonlyArray<number> = none
  /** For the row at hand. */
  private readonly scratch = { oldRow: makeTuple(), row: makeTuple() }

  constructor(options: ProcessingOptions) {
    this.options = options
  }

  private get state() {
    return this.options.members.state
  }

  /**
   * Tells the state of the changes of a transaction. Whether rows beside those of the transaction are concerned, whose table has
   * to be asked. It has to be taken back by `state.discard` or gone on with.
   */
  *tell(transaction: RawTransaction): Pieces<boolean> {
    const { members } = this.options
    const { state } = this
    const recounted = partlyTruncated(transaction, members)
    state.begin()
    if (!this.isRead(transaction)) return false
    for (const change of transaction.changes()) {
      if (change._tag === "Truncate") {
        for (const oid of change.tableOids) {
          const table = members.tables.get(oid)
          if (table !== undefined && !recounted.has(table)) state.truncate(oid)
        }
        continue
      }
      for (const table of members.tablesOf(change.relation.oid)) {
        if (table.inner.size === 0 || recounted.has(table)) continue
        const indexes = table.indexesIn(change.relation)
        const oldRow = project(change.oldRow, this.scratch.oldRow, indexes)
        const row = project(change.row, this.scratch.row, indexes)
        if (oldRow !== undefined && row !== undefined && areEqualRows(oldRow, row)) continue
        state.change(table.inner, oldRow, row)
        if (this.isTimeToLook()) yield
      }
    }
    if (recounted.size > 0) return true
    for (const flip of this.flips()) if (this.concernsRows(flip)) return true
    return false
  }

  /** It changes a table that sub-selects read. */
  private isRead(transaction: RawTransaction): boolean {
    const { members } = this.options
    const isInner = (oid: number) => members.tablesOf(oid).some(({ inner }) => inner.size > 0)
    return transaction.truncations.length > 0 || transaction.concerns(isInner)
  }

  private flips(): Iterable<Flip> {
    return withReached(this.state.flips(), this.options.members)
  }

  private concernsRows(flip: Flip): boolean {
    for (const { probe } of this.options.members.placesOf(flip.kind))
      if (concernedAt(flip, probe) !== undefined) return true
    return false
  }

  /** After `tell`. Writes nothing to the journal but items. */
  *write(transaction: RawTransaction, working: WorkingSet, output: Output): Pieces {
    yield* this.writeOperations(transaction, output)
    for (const table of working.values()) yield* table.apply(transaction, this.options.members)
    for (const table of partlyTruncated(transaction, this.options.members))
      yield* this.recount(table, working)
    yield* this.tellDeeper(working)
    yield* this.writeMoves(transaction, working, output)
    this.state.apply()
    this.reportFailures()
  }

  /** What sub-selects over a table give follows from the rows that it has after the transaction. */
  private *recount(table: LaneTable, working: WorkingSet): Pieces {
    const { state } = this
    const left = working.get(table)
    if (left === undefined) throw new Error(`no rows of ${table.schema}.${table.name} were read`)
    state.truncate(table.oid)
    for (const row of left.rows.rows()) {
      for (let n = left.rows.count(row); n > 0; n--) state.change(table.inner, undefined, left.tupleOf(row))
      if (this.isTimeToLook()) yield
    }
  }

  /**
   * Sub-selects whose content is not known any more take the shapes with them that ask them, or have these compared with the database
   * where they only have to be read again.
   */
  reportFailures(): void {
    for (const { isAstray, message, subscription } of this.state.takeFailures()) {
      const { name, schema } = subscription.kind.plan.table
      const shapes = this.options.members.shapesAsking(subscription)
      const reason = `its sub-select on ${schema}.${name} cannot be followed: ${message}`
      if (isAstray) this.options.compare(shapes, reason)
      else this.options.drop(shapes, reason)
    }
  }

  private isTimeToLook(): boolean {
    return ++this.rows % rowsPerLook === 0
  }

  // Operations of the transaction

  /** The first of what `write` does. What stands before the last TRUNCATE of its table counts for nothing. */
  *writeOperations(transaction: RawTransaction, output: Output): Pieces {
    const { emptying, members } = this.options
    const { after, before, state } = this
    /** Emptied tables, with how many more times that is going to happen. */
    const emptied = new Map<LaneTable, number>()
    for (const table of emptiedBy(transaction, members)) {
      const times = transaction.truncations.filter((oids) => oids.includes(table.oid)).length
      emptied.set(table, times)
      yield* emptying.write(table.shapes, output.items, output.endOfItems)
    }
    state.useBefore()
    for (const change of transaction.changes()) {
      if (change._tag === "Truncate") {
        for (const [table, times] of emptied)
          if (change.tableOids.includes(table.oid)) emptied.set(table, times - 1)
        continue
      }
      for (const table of members.tablesOf(change.relation.oid)) {
        if (table.own.size === 0) continue
        const left = emptied.get(table)
        if (left !== undefined && left > 0) continue
        const op = left === undefined ? change.op : placeBehind(change.op)
        const indexes = table.indexesIn(change.relation)
        const oldRow = project(change.oldRow, this.scratch.oldRow, indexes)
        const row = project(change.row, this.scratch.row, indexes)
        this.match(table, oldRow, before, transaction)
        this.match(table, row, after, transaction)
        if (before.count + after.count > 0) output.items.write(table.own, op, oldRow, row, before, after)
        output.endOfItems()
      }
      if (!this.isTimeToLook()) continue
      yield
      state.useBefore()
    }
  }

  private match(table: LaneTable, row: Tuple | undefined, out: MatchList, at: RawTransaction): void {
    clearMatchList(out)
    if (row === undefined) return
    table.own.matcher.match(row, out)
    for (const { message, shapeId } of out.costly) this.dropOne(shapeId, message)
    for (const { message, shapeId } of out.errors) this.dropFailed(shapeId, message, at)
    for (const id of out.undecided) this.dropFailed(id, "it takes too much work", at)
  }

  private dropOne(id: number, reason: string): void {
    const shape = this.options.shapeOf(id)
    if (shape !== undefined) this.options.drop([shape], reason)
  }

  private dropFailed(id: number, message: string, at: RawTransaction): void {
    const shape = this.options.shapeOf(id)
    if (shape === undefined) return
    const reason = `its condition fails for a row, as it does in Postgres (${message}); a new snapshot shows whether it still does`
    this.options.dropConcerned([shape], at, reason)
  }

  // Moves

  /** Rows that deeper sub-selects have let in or out, depth by depth. */
  private *tellDeeper(working: WorkingSet): Pieces {
    const { state } = this
    for (let depth = 1; depth <= state.maxDepth; depth++) {
      const concerned = new Map<WorkingTable, Set<string>>()
      for (const flip of this.flips())
        if (depthOf(flip.kind) < depth)
          this.collect(flip, working, concerned, (table) => table.inner.size > 0)
      for (const [table, rows] of concerned)
        for (const row of rows) {
          const tuple = table.tupleOf(row)
          for (let n = table.rows.count(row); n > 0; n--) state.move(table.table.inner, tuple, depth)
          if (this.isTimeToLook()) yield
        }
    }
  }

  private collect(
    flip: Flip,
    working: WorkingSet,
    concerned: Map<WorkingTable, Set<string>>,
    isWanted: (table: LaneTable) => boolean
  ): void {
    for (const { probe, table } of this.options.members.placesOf(flip.kind)) {
      const which = isWanted(table) ? concernedAt(flip, probe) : undefined
      if (which === undefined) continue
      const rows = working.get(table)
      if (rows === undefined) throw new Error(`no rows of ${table.schema}.${table.name} were read`)
      let found = concerned.get(rows)
      if (found === undefined) concerned.set(rows, (found = new Set()))
      for (const row of rows.concerned(probe, which)) found.add(row)
    }
  }

  private *writeMoves(transaction: RawTransaction, working: WorkingSet, output: Output): Pieces {
    const { state } = this
    const concerned = new Map<WorkingTable, Set<string>>()
    for (const flip of this.flips()) this.collect(flip, working, concerned, (table) => table.own.size > 0)
    const writer = new MoveWriter(transaction, output)
    for (const [rows, found] of concerned) {
      const { table } = rows
      const moves: Array<Move> = []
      const keys = keyIndexesOf(table)
      for (const row of found) {
        const tuple = rows.tupleOf(row)
        const moved = this.moved(table, tuple, transaction)
        if (moved !== undefined)
          moves.push({ row, key: rows.keyOf(tuple, keys), times: rows.rows.count(row), ...moved })
        if (this.isTimeToLook()) yield
      }
      yield* writer.write(rows, moves)
    }
    state.useBefore()
  }

  /** Writes moves one by one, of rows that are given in their order, between `writeOperations` and the end of the transaction. */
  movesOf(
    transaction: RawTransaction,
    output: Output
  ): { readonly writeOne: (table: LaneTable, row: Tuple) => void } {
    const writer = new MoveWriter(transaction, output)
    return {
      writeOne: (table, row) => {
        const moved = this.moved(table, row, transaction)
        if (moved !== undefined) writer.one(table, row, moved.entering, moved.leaving)
      }
    }
  }

  /** The shapes that get the row, and those that lose it; `undefined`: none. */
  private moved(
    table: LaneTable,
    row: Tuple,
    transaction: RawTransaction
  ): Pick<Move, "entering" | "leaving"> | undefined {
    const { after, before, state } = this
    state.useBefore()
    this.match(table, row, before, transaction)
    state.useAfter()
    this.match(table, row, after, transaction)
    const entering = this.shared(without(after, before))
    const leaving = this.shared(without(before, after))
    return entering.length + leaving.length === 0 ? undefined : { entering, leaving }
  }

  /** Most rows move for the same shapes: they share the list. */
  private shared(ids: ReadonlyArray<number>): ReadonlyArray<number> {
    if (ids.length === 0) return none
    if (!areSame(ids, this.latest)) this.latest = ids
    return this.latest
  }
}

const project = (row: Tuple | undefined, into: Tuple, indexes: Int32Array): Tuple | undefined =>
  row === undefined ? undefined : projectInto(into, row, indexes)

/** The ids of one list that are not in the other. */
const without = (list: MatchList, other: MatchList): ReadonlyArray<number> => {
  if (list.count === 0) return none
  const others = new Set<number>()
  for (let i = 0; i < other.count; i++) others.add(other.ids[i] as number)
  const rest: Array<number> = []
  for (let i = 0; i < list.count; i++) {
    const id = list.ids[i] as number
    if (!others.has(id)) rest.push(id)
  }
  return rest
}

const areSame = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a.length === b.length && a.every((id, i) => id === b[i])
