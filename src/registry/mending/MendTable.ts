import { Effect, Exit, type Scope } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { quoteTable } from "../../postgres/Identifiers.ts"
import { journalLsn, type Lsn } from "../../shared/Lsn.ts"
import { internDefinition } from "../../shapes/InternDefinition.ts"
import { isAffectedBy, isMemberAffectedBy } from "../../shapes/SchemaChange.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { JournalWriter } from "../../storage/journal/JournalWriter.ts"
import type { NotWriting } from "../../storage/NotWriting.ts"
import type { ShapeLogs, ShapeReadError } from "../../storage/ShapeLogs.ts"
import { identityDigest } from "../../storage/state/IdentityDigest.ts"
import { ShapeState } from "../../storage/state/ShapeState.ts"
import { isContained } from "../../storage/state/SnapshotFilter.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { HeldRows, type HeldRowsFailed } from "../folding/HeldRows.ts"
import type { Redefine } from "../Redefinition.ts"
import { DifferenceWriter } from "../repair/DifferenceWriter.ts"
import { repairTable } from "../repair/RepairTable.ts"
import { paceOfWriter } from "../repair/SharedSnapshot.ts"
import { TableComparison } from "../repair/TableComparison.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import type { SnapshotSession } from "../snapshot/SnapshotSession.ts"
import type { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"
import { beginSnapshot, filterOf } from "../snapshot/SnapshotTransaction.ts"
import { type MendPlace, placeOf } from "./MendPlace.ts"
import type { WantedShape } from "./WantedShapes.ts"

export interface MendServices {
  readonly engine: StorageEngine
  readonly writer: JournalWriter
  readonly logs: Pick<ShapeLogs["Service"], "read">
  readonly sessions: Pick<SnapshotSessions["Service"], "acquire">
  readonly inspector: Pick<Inspector["Service"], "readAgain" | "tableByOid">
  readonly makeMatcher: MakeMatcher
  /** Gives what the request for a shape means now, under its handle, or why it has to go. */
  readonly definedAnew: Effect.Effect<
    (definition: ShapeDefinition) => Effect.Effect<ShapeDefinition | string, PgError>
  >
  readonly redefine: Redefine
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
}

/** What has been received of the stream, and how far the shapes are among it. */
export interface StreamView {
  /** Completes when everything has been received that commits before. */
  readonly until: (lsn: Lsn) => Effect.Effect<void>
  readonly processed: () => { readonly serial: number; readonly xids: ReadonlyArray<number> }
  /**
   * Partitions that the tables have now, by the table: from here on their rows are received for the shapes as well. What the
   * snapshot has to contain so that none is missing is noted with these.
   */
  readonly receive: (
    wanted: ReadonlyArray<WantedShape>,
    leaves: ReadonlyMap<number, ReadonlyArray<number>>
  ) => void
  /** The snapshot is taken from here on: what happens to the table now it may not show. */
  readonly looking: () => void
  readonly waiting: () => ReadonlyArray<{
    readonly commitLsn: Lsn
    readonly xid: number
    readonly serial: number
  }>
}

export type MendFailure = PgError | ShapeReadError | HeldRowsFailed | NotWriting

/** Before the snapshot is taken, so that the tables are what it shows until its rows are read. */
const lockSql = (table: TableInfo, wanted: ReadonlyArray<WantedShape>): string => {
  const names = new Set([`${table.kind === "partitioned" ? "" : "ONLY "}${quoteTable(table)}`])
  for (const { shape } of wanted) for (const member of shape.members) names.add(quoteTable(member.table))
  return `LOCK TABLE ${[...names].join(", ")} IN ACCESS SHARE MODE`
}

/** Logs are read and compared in between, which may take long. */
const withoutTimeouts =
  "SELECT pg_catalog.set_config('statement_timeout', '0', true), pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)"

/**
 * Brings shapes on one table to what the database has in one snapshot, under their handles: what a reader of each holds is compared with
 * the rows that there are, and the difference appended as one late transaction, at the place of the snapshot in the stream.
 * They get nothing else meanwhile, and from that place on all there is. Those whose table is not what it was become what a request
 * means now. Shapes for which that is not possible are dropped with a reason. `undefined`: to be tried again, the snapshot
 * stands nowhere in the stream. Doing it again changes nothing, so one that was cut off is begun anew.
 */
export const mendTable = (
  services: MendServices,
  stream: StreamView,
  oid: number,
  wanted: ReadonlyArray<WantedShape>
): Effect.Effect<MendPlace | undefined, MendFailure> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { drop, engine, inspector, sessions } = services
      const all = wanted.map(({ shape }) => shape)
      const tables = [...new Set([oid, ...all.flatMap(membersOf)])]
      yield* inspector.readAgain(tables)
      const named = yield* inspector.tableByOid(oid)
      if (named === undefined) {
        drop(all, "its table is gone")
        return { lsn: 0n, afterSerial: 0 }
      }
      const leaves = yield* leavesOf(inspector, tables)
      stream.receive(wanted, leaves)
      stream.looking()
      const { session, snapshot } = yield* beginSnapshot(sessions, 0, undefined, lockSql(named, wanted))
      yield* session.run(withoutTimeouts)
      const filter = filterOf(snapshot)
      if (!wanted.every(({ xids }) => xids.every((xid) => isContained(filter, xid)))) return undefined
      const containedBefore = journalLsn(snapshot.containedBefore, engine.store.shift)
      yield* stream.until(containedBefore)
      const place = placeOf(filter, containedBefore, stream.processed(), stream.waiting())
      if (place === undefined || all.some(({ end }) => end.tx >= place.lsn)) return undefined
      yield* inspector.readAgain(tables)
      const table = yield* inspector.tableByOid(oid)
      if (table?.name !== named.name || table.schema !== named.schema) return undefined
      // Rows of a partition that has come meanwhile nobody has received.
      if (hasMoreThan(leaves, yield* leavesOf(inspector, tables))) return undefined
      yield* compare(services, session, place.lsn, table, yield* definitions(services, table, all))
      yield* session.run("COMMIT")
      return place
    })
  )

/** The partitions of those of the tables that are there. */
const leavesOf = (
  inspector: MendServices["inspector"],
  tables: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, ReadonlyArray<number>>, PgError> =>
  Effect.gen(function* () {
    const leaves = new Map<number, ReadonlyArray<number>>()
    for (const oid of tables) leaves.set(oid, (yield* inspector.tableByOid(oid))?.leafOids ?? [])
    return leaves
  })

const hasMoreThan = (
  before: ReadonlyMap<number, ReadonlyArray<number>>,
  now: ReadonlyMap<number, ReadonlyArray<number>>
): boolean =>
  [...now].some(([oid, leaves]) => leaves.some((leaf) => before.get(oid)?.includes(leaf) !== true))

/** What the shapes are from now on. Those that cannot go on are dropped. */
const definitions = (
  { definedAnew, drop, inspector }: MendServices,
  table: TableInfo,
  shapes: ReadonlyArray<ShapeState>
): Effect.Effect<ReadonlyMap<ShapeState, ShapeDefinition>, PgError> =>
  Effect.gen(function* () {
    const next = new Map<ShapeState, ShapeDefinition>()
    let defined: Effect.Success<typeof definedAnew> | undefined
    for (const shape of shapes) {
      if (shape.dropped) continue
      const { definition } = shape
      if (!isOutdated(definition, table) && !(yield* readsOther(inspector, shape))) {
        next.set(shape, definition)
        continue
      }
      defined ??= yield* definedAnew
      const after = yield* defined(definition)
      if (typeof after === "string") drop([shape], after)
      else if (!readsTheSame(shape, after))
        drop([shape], "another table has the name of one that its sub-selects read")
      else next.set(shape, after)
    }
    return next
  })

const membersOf = ({ members }: ShapeState): ReadonlyArray<number> => members.map(({ table }) => table.oid)

/** Some table that sub-selects of the shape read is not what it was. */
const readsOther = (
  inspector: MendServices["inspector"],
  { members }: ShapeState
): Effect.Effect<boolean, PgError> =>
  Effect.gen(function* () {
    for (const member of members) {
      const table = yield* inspector.tableByOid(member.table.oid)
      if (table === undefined || isMemberAffectedBy(member, table)) return true
      if (member.leafOids !== undefined && hasMore(member.leafOids, table)) return true
    }
    return false
  })

/** Others may not be published, and are not among those that are locked. */
const readsTheSame = (shape: ShapeState, after: ShapeDefinition): boolean => {
  const known = membersOf(shape)
  return (after.where?.members ?? []).every(({ table }) => known.includes(table.oid))
}

const isOutdated = (definition: ShapeDefinition, table: TableInfo): boolean =>
  isAffectedBy(definition, table) ||
  (definition.leafOids !== undefined && hasMore(definition.leafOids, table))

const hasMore = (leafOids: ReadonlyArray<number>, table: TableInfo): boolean =>
  table.leafOids.some((oid) => !leafOids.includes(oid))

const compare = (
  services: MendServices,
  session: SnapshotSession,
  lsn: Lsn,
  table: TableInfo,
  next: ReadonlyMap<ShapeState, ShapeDefinition>
): Effect.Effect<void, MendFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { engine, logs, makeMatcher, redefine, writer } = services
    const live = (id: number) => engine.store.get(id)
    // As they will be: what they are is not said before their rows are so.
    const standIns = Array.from(next, ([{ handle, id }, definition]) => {
      const interned = internDefinition(definition)
      return ShapeState.made(id, handle, interned, identityDigest(interned), 0)
    })
    const drop = (shapes: ReadonlyArray<ShapeState>, reason: string) =>
      services.drop(
        shapes.flatMap(({ id }) => live(id) ?? []),
        reason
      )
    const held = yield* HeldRows.make
    const difference = new DifferenceWriter(engine, writer, lsn, true)
    const comparison = new TableComparison(held, difference)
    const isDropped = ({ id }: ShapeState) => live(id) === undefined
    const pace = paceOfWriter(writer)
    const repair = { logs, makeMatcher, session, pace, held, comparison, drop, isDropped, onRow: () => {} }
    yield* Effect.onExit(Effect.andThen(repairTable(repair, table, standIns), difference.durable), (exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) difference.commit()
        else difference.abandon()
      })
    )
    redefine(
      Array.from(next, ([shape, definition]) => ({ shape, definition })).filter(
        ({ definition, shape }) =>
          !shape.dropped && JSON.stringify(shape.definition) !== JSON.stringify(definition)
      )
    )
    const { deletes, inserts, updates } = difference.difference
    yield* Effect.logInfo(
      `Compared ${standIns.filter((shape) => !isDropped(shape)).length} shapes on ${quoteTable(table)} with its rows, under their handles: ` +
        `${inserts} inserts, ${updates} updates and ${deletes} deletes were missing.`
    )
  })
