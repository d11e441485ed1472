import { Effect } from "effect"
import { depthOf } from "../../membership/Subselect.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import { isContained, type SnapshotFilter } from "../../storage/state/SnapshotFilter.ts"
import { streamedStatementMillis } from "../RegistryTimings.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import type { LaneMembers, Place } from "./LaneMembers.ts"
import type { LaneTable } from "./LaneTable.ts"
import type { LaneWriter } from "./LaneWriter.ts"
import { type MoveReader, type ReadFailure, tooOld } from "./MoveReader.ts"
import { keyIndexesOf } from "./MoveWriter.ts"
import type { Pieces } from "../routing/Output.ts"
import type { Processing } from "./Processing.ts"
import { readTable, TableUnreadable } from "./ReadTables.ts"
import { RewoundRows } from "../rewinding/RewoundRows.ts"
import { RowsInTime } from "../rewinding/RowsInTime.ts"
import type { Slices } from "./Slices.ts"
import { Touched } from "./Touched.ts"
import { askingAt, concernOf, eachRow, partlyTruncated, touch, touchBy, wantedOf } from "./Wanted.ts"
import { WorkingTable } from "./WorkingSet.ts"

interface StreamedMovesOptions {
  readonly members: LaneMembers
  readonly reader: MoveReader
  readonly processing: Processing
  readonly writer: LaneWriter
  readonly slices: Slices
  readonly queue: () => ReadonlyArray<RawTransaction>
}

/** A snapshot, and what of the queue it contains. */
interface Reading {
  readonly session: SnapshotSession
  readonly filter: SnapshotFilter
  readonly touched: Touched
}

/**
 * Processes one transaction whose rows are too many for memory: Postgres gives them in the order of their keys, and each is
 * written as it comes. What the queue has of these rows is in memory, and nothing else.
 */
export class StreamedMoves {
  private readonly options: StreamedMovesOptions

  constructor(options: StreamedMovesOptions) {
    this.options = options
  }

  /** Of the first transaction in the queue. Where it fails it is as if nothing had been done. */
  process(transaction: RawTransaction): Effect.Effect<void, ReadFailure> {
    const { members, processing, reader, writer } = this.options
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        const { filter, session } = yield* reader.begin(streamedStatementMillis)
        const reading = { session, filter, touched: new Touched() }
        // What a table had before it was truncated cannot be taken out of what the snapshot shows.
        if (transaction.truncations.length > 0 && !isContained(filter, transaction.xid))
          return yield* Effect.fail(tooOld)
        yield* this.touch(transaction, reading)
        yield* this.write(transaction, reading).pipe(
          Effect.onError(() =>
            Effect.sync(() => {
              members.state.discard()
              writer.abandon()
            })
          )
        )
        processing.reportFailures()
        // It is written: what becomes of the snapshot does not matter any more.
        yield* Effect.ignore(session.run("COMMIT"))
      })
    )
  }

  /** What sub-selects may have more or less of, the deepest first. */
  private touch(transaction: RawTransaction, reading: Reading): Effect.Effect<void, ReadFailure> {
    const { members, queue } = this.options
    const { touched } = reading
    return Effect.gen({ self: this }, function* () {
      touch(transaction, members, touched)
      for (let depth = 0; depth <= members.state.maxDepth; depth++) {
        const asking = askingAt(members, depth)
        for (const [table, conditions] of wantedOf(members, touched, asking)) {
          const onRow = (row: Tuple) => {
            touchBy(table, row, touched)
            return true
          }
          yield* this.read(reading, table, { conditions }, onRow)
          for (const one of queue())
            eachRow(one, members, table, (oldRow, row) => {
              if (oldRow !== undefined) touchBy(table, oldRow, touched)
              if (row !== undefined) touchBy(table, row, touched)
            })
        }
      }
    })
  }

  private read(
    { session }: Reading,
    table: LaneTable,
    wanted: Parameters<typeof readTable>[2],
    onRow: (row: Tuple) => boolean
  ): Effect.Effect<boolean, ReadFailure> {
    return readTable(session, table, wanted, { onRow, pause: this.options.slices.turn })
  }

  private write(transaction: RawTransaction, reading: Reading): Effect.Effect<void, ReadFailure> {
    const { members, processing, slices, writer } = this.options
    const { state } = members
    return Effect.gen({ self: this }, function* () {
      yield* slices.run(processing.tell(transaction) as Pieces<unknown> as Pieces)
      const output = writer.beginLate(transaction)
      yield* slices.run(processing.writeOperations(transaction, output))
      for (const table of partlyTruncated(transaction, members)) {
        state.truncate(table.oid)
        yield* this.each(transaction, reading, table, { conditions: ["true"] }, (row) =>
          state.change(table.inner, undefined, row)
        )
      }
      for (let depth = 1; depth <= state.maxDepth; depth++) {
        const asking = ({ probe, table }: Place) => depthOf(probe.kind) < depth && table.inner.size > 0
        for (const [table, conditions] of wantedOf(members, reading.touched, asking)) {
          yield* this.each(transaction, reading, table, { conditions }, (row) =>
            state.move(table.inner, row, depth)
          )
        }
      }
      const moves = processing.movesOf(transaction, output)
      for (const [table, conditions] of wantedOf(members, reading.touched, hasOwn)) {
        const orderedBy = keyIndexesOf(table).flatMap((index) => table.columns[index]?.name ?? [])
        yield* this.each(transaction, reading, table, { conditions, orderedBy }, (row) =>
          moves.writeOne(table, row)
        )
      }
      state.useBefore()
      state.apply()
      writer.endLate(transaction)
    })
  }

  /** The rows as they are after the transaction. */
  private each(
    transaction: RawTransaction,
    reading: Reading,
    table: LaneTable,
    wanted: Parameters<typeof readTable>[2],
    onRow: (row: Tuple) => void
  ): Effect.Effect<void, ReadFailure> {
    const { slices } = this.options
    return Effect.gen({ self: this }, function* () {
      const rows = new WorkingTable(table)
      const changes = new RowsInTime<string>()
      yield* slices.run(this.changes(transaction, reading, table, wanted.conditions, changes))
      const keys = wanted.orderedBy === undefined ? [] : keyIndexesOf(table)
      const keyOf = (row: Tuple) => rows.keyOf(row, keys)
      const rewound = new RewoundRows(changes.entries(), (row) => keyOf(rows.tupleOf(row)))
      const emit = (row: string) => onRow(rows.tupleOf(row))
      let latest = ""
      const isInOrder = yield* this.read(reading, table, wanted, (row) => {
        const key = keyOf(row)
        if (key < latest) return false
        latest = key
        rewound.take(key, rows.bytesOf(row), emit)
        return true
      })
      if (!isInOrder) return yield* Effect.fail(new TableUnreadable(table, "Postgres gave them out of order"))
      rewound.end(emit)
    })
  }

  /** What has to be done to rows that the snapshot shows. */
  private *changes(
    transaction: RawTransaction,
    { filter, touched }: Reading,
    table: LaneTable,
    conditions: ReadonlyArray<string>,
    into: RowsInTime<string>
  ): Pieces {
    const { members, queue } = this.options
    const rows = new WorkingTable(table, into)
    if (!conditions.includes("true")) rows.mayConcern = concernOf(members, touched, table)
    for (const one of Array.from(queue())) {
      const isShown = isContained(filter, one.xid)
      if (isShown && one !== transaction) yield* rows.undo(one, members)
      if (!isShown && one === transaction) yield* rows.apply(one, members)
    }
  }
}

const hasOwn = ({ table: { own } }: Place): boolean => own.size > 0
