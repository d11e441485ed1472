import { Context, Effect, Layer, Schema, type Scope, Stream } from "effect"
import { randomInt } from "node:crypto"
import type { Lsn } from "../postgres/Lsn.ts"
import type { PgError } from "../postgres/PgError.ts"
import type { ShapeHandle } from "../storage/ShapeLogs.ts"
import type { WhereClause } from "../where/WhereClause.ts"
import { type RowPiece, RowReader } from "./snapshot/RowReader.ts"
import { makeRowEncoder, rowQuery } from "./snapshot/rowQuery.ts"
import { isPassing, notAvailable } from "./snapshot/snapshotErrors.ts"
import type { StatementFailure } from "./snapshot/SnapshotSession.ts"
import { SnapshotSessions } from "./snapshot/SnapshotSessions.ts"
import { beginSnapshot } from "./snapshot/SnapshotTransaction.ts"

/** Rows of a shape that a client asks for now. Checked against the catalogue; all SQL in it is printed by us. */
export interface SubsetQuery {
  /** Must hold besides the shape's own condition. */
  readonly where: WhereClause | undefined
  /** An ORDER BY list, normalised; undefined for no order. */
  readonly orderBy: string | undefined
  readonly limit: number | undefined
  readonly offset: number | undefined
}

/** A query result, and the snapshot that it was read in. */
export interface SubsetSnapshot {
  readonly xmin: bigint
  readonly xmax: bigint
  readonly xipList: ReadonlyArray<bigint>
  /** Current WAL position, read at the start of the same transaction. */
  readonly databaseLsn: Lsn
  /** Also stands in the headers of every row; 0 to 2^31 - 1. */
  readonly snapshotMark: number
  /** Row messages in the requested order, joined with commas, without brackets; pieces of at most 256 KiB. */
  readonly rows: Stream.Stream<Uint8Array, SubsetFailed>
}

/** Postgres refused the condition although it passed our checks (a value that the type does not accept). */
export class SubsetRefused extends Schema.TaggedError<SubsetRefused>()("SubsetRefused", {
  /** The server's own text; about the client's input, so clients may see it. */
  message: Schema.String
}) {}

/** No connection to the database now. Passes by itself. */
export class SubsetUnavailable extends Schema.TaggedError<SubsetUnavailable>()("SubsetUnavailable", {
  message: Schema.String
}) {}

/** Anything else. Clients learn no details. */
export class SubsetFailed extends Schema.TaggedError<SubsetFailed>()("SubsetFailed", {
  message: Schema.String
}) {}

/** Runs subset queries, on active and waiting instances alike. */
export class SubsetReader extends Context.Service<
  SubsetReader,
  {
    /** The transaction stays open until the scope closes; rows are read as the consumer asks for them. */
    readonly read: (
      shape: ShapeHandle,
      query: SubsetQuery
    ) => Effect.Effect<SubsetSnapshot, SubsetRefused | SubsetUnavailable | SubsetFailed, Scope.Scope>
  }
>()("baton/registry/SubsetReader") {
  static readonly layer = Layer.effect(SubsetReader, Effect.map(SnapshotSessions, makeSubsetReader))
}

const snapshotMarkBound = 2 ** 31

/**
 * Subset queries on the sessions that snapshots use. A query runs in the same kind of transaction and its rows are
 * encoded the same way; what Postgres has to say about it is known before the first row is handed out.
 */
export function makeSubsetReader(sessions: SnapshotSessions["Service"]): SubsetReader["Service"] {
  const read = Effect.fnUntraced(function* ({ definition }: ShapeHandle, query: SubsetQuery) {
    const transaction = yield* Effect.mapError(beginSnapshot(sessions, definition.table.oid), subsetFailed)
    const { session, snapshot, tableKind } = transaction
    const snapshotMark = randomInt(snapshotMarkBound)
    const sql = rowQuery(definition, tableKind === "p", { ...query, where: query.where?.sql })
    const encoder = makeRowEncoder(definition, { snapshot_mark: snapshotMark })
    const reader = new RowReader(session, sql, encoder, Infinity)
    const first = yield* Effect.mapError(reader.next, subsetQueryFailed)
    const { walLsn: databaseLsn, xipList, xmax, xmin } = snapshot
    return { xmin, xmax, xipList, databaseLsn, snapshotMark, rows: rowStream(first, reader) }
  })
  return { read }
}

/** Pieces are copied because a stream's consumer may hold on to them. */
const rowStream = (
  first: RowPiece | undefined,
  reader: RowReader
): Stream.Stream<Uint8Array, SubsetFailed> => {
  const next = Effect.mapError(reader.next, ({ error }) => new SubsetFailed({ message: error.message }))
  const start: typeof next = Effect.succeed(first)
  return Stream.unfold(start, (pull) =>
    Effect.map(pull, (piece) =>
      piece === undefined ? undefined : ([Buffer.from(piece.bytes), next] as const)
    )
  )
}

type SubsetError = SubsetRefused | SubsetUnavailable | SubsetFailed

/** How a failure before the query shows to the client. */
const subsetFailed = (error: PgError): SubsetUnavailable | SubsetFailed =>
  isPassing(error)
    ? new SubsetUnavailable({ message: error.serverMessage ?? notAvailable })
    : new SubsetFailed({ message: error.message })

/**
 * How a failure of the query shows to the client. SQLSTATE class 22, a value that a type or function does not accept, is
 * the client's doing. The server's words are repeated only if they are about the condition itself: those about a row
 * could quote one that the shape does not show.
 */
const subsetQueryFailed = ({ error, pointsAtStatement }: StatementFailure): SubsetError => {
  if (error.code?.startsWith("22") !== true || error.serverMessage === undefined) return subsetFailed(error)
  return new SubsetRefused({
    message: pointsAtStatement
      ? error.serverMessage
      : `the condition cannot be evaluated for every row (SQLSTATE ${error.code})`
  })
}
