import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import { randomInt } from "node:crypto"
import { tmpdir } from "node:os"
import { Config } from "../../config/BatonConfig.ts"
import { aboveLimit, type Limits } from "../../config/Limits.ts"
import { journalLsn, type Lsn } from "../../shared/Lsn.ts"
import type { PieceSource } from "../../shared/Pieces.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { quoteTable } from "../../postgres/Identifiers.ts"
import { privilegeAdvice } from "../../postgres/errors/PrivilegeAdvice.ts"
import { notice } from "../../telemetry/Notices.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { ShapeHandle } from "../../storage/ShapeLogs.ts"
import type { WhereClause } from "../../where/WhereClause.ts"
import { ExpectedRows } from "../snapshot/ExpectedRows.ts"
import { type RowFailure, RowReader } from "../snapshot/SnapshotRows.ts"
import { makeRowEncoder, rowQuery } from "../snapshot/RowQuery.ts"
import {
  isAboutValues,
  isDeniedFunction,
  isOfCondition,
  isOutdated,
  isPassing,
  notAvailable,
  tableIn,
  tablesRead
} from "../snapshot/SnapshotErrors.ts"
import { SnapshotSessions } from "../snapshot/SnapshotSessions.ts"
import { Storage } from "../../storage/Storage.ts"
import { beginSnapshot } from "../snapshot/SnapshotTransaction.ts"
import { type AnswerSpool, AnswerSpools, type AnswerTooLarge, type NoRoomForAnswer } from "./AnswerSpools.ts"
import { currentTimers, type Timers } from "../../shared/Timers.ts"
import { statementGraceMillis } from "../RegistryTimings.ts"

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
  /** Row messages in the requested order, joined with commas, without brackets. */
  readonly rows: PieceSource
  /** Bytes of the rows. */
  readonly byteLength: number
}

/** The answer is larger than any that is given. The message says which limit that is. */
class SubsetTooLarge extends Schema.TaggedError<SubsetTooLarge>()("SubsetTooLarge", {
  message: Schema.String
}) {}

/** Postgres refused the condition although it passed our checks (a value that the type does not accept). */
export class SubsetRefused extends Schema.TaggedError<SubsetRefused>()("SubsetRefused", {
  /** The server's own text; about the client's input, so clients may see it. */
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/**
 * Table or condition are not what they were when the query was made. `refusal` is what Postgres says of the condition, if
 * that is it: the answer, when the condition was made of what the catalogue says now.
 */
export class SubsetOutdated extends Schema.TaggedError<SubsetOutdated>()("SubsetOutdated", {
  refusal: Schema.UndefinedOr(Schema.String)
}) {}

/** No connection to the database, or no room for the answer now, or it took too long. Passes by itself. */
export class SubsetUnavailable extends Schema.TaggedError<SubsetUnavailable>()("SubsetUnavailable", {
  message: Schema.String,
  /** What Postgres or the connection to it failed with, if that is why. */
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/** Anything else. Clients learn no details. */
export class SubsetFailed extends Schema.TaggedError<SubsetFailed>()("SubsetFailed", {
  message: Schema.String,
  cause: Schema.Defect()
}) {}

/** Runs subset queries, on active and waiting instances alike. */
export class SubsetReader extends Context.Service<
  SubsetReader,
  {
    /**
     * Completes when the query is over: its connection and its snapshot are free then, and every failure is known. The
     * rows wait for their consumer, who may take any time, until the scope closes.
     */
    readonly read: (
      shape: ShapeHandle,
      query: SubsetQuery
    ) => Effect.Effect<SubsetSnapshot, SubsetError, Scope.Scope>
  }
>()("baton/registry/SubsetReader") {
  static readonly layer = Layer.effect(
    SubsetReader,
    Effect.gen(function* () {
      const { limits, storageDir } = yield* Config
      // Beside the storage rather than in it: its disk must not become full of what is not worth keeping.
      const directories = [tmpdir(), storageDir]
      const { engine } = yield* Storage
      const shift = () => engine.store.shift
      return makeSubsetReader(yield* SnapshotSessions, limits, directories, yield* currentTimers, shift)
    })
  )
}

const snapshotMarkBound = 2 ** 31

/**
 * Subset queries on the sessions that snapshots use. A query runs in the same kind of transaction and its rows are
 * encoded the same way. `directories`: where answers that are too large for memory wait, in the first that can be used.
 */
export function makeSubsetReader(
  sessions: SnapshotSessions["Service"],
  limits: Limits,
  directories: ReadonlyArray<string>,
  timers: Timers,
  /** Between positions of the server and those that clients know; see `Lsn`. */
  shift: () => bigint = () => 0n
): SubsetReader["Service"] {
  const spools = new AnswerSpools(limits, directories, timers)
  const statementMillis = limits.subsetMillis + statementGraceMillis
  const tooSlow = () => new SubsetUnavailable({ message: aboveLimit("subsetMillis", limits) })

  /** Everything that needs a connection. */
  const fill = Effect.fnUntraced(function* (
    { definition, handle }: ShapeHandle,
    query: SubsetQuery,
    snapshotMark: number,
    spool: AnswerSpool
  ) {
    const { oid } = definition.table
    const begun = beginSnapshot({ acquire: sessions.acquireForSubset(handle) }, oid, statementMillis)
    const { session, snapshot, tableKind } = yield* Effect.mapError(
      Effect.tapError(begun, (error) => tellOperator(definition, error)),
      subsetFailed
    )
    // Another table may have its name.
    if (tableKind === undefined) return yield* new SubsetOutdated({ refusal: undefined })
    const sql = rowQuery(definition, tableKind === "p", query)
    const encoder = makeRowEncoder(definition, { snapshot_mark: snapshotMark })
    const reader = new RowReader(session, sql, encoder, new ExpectedRows(definition), Infinity)
    const next = Effect.mapError(
      Effect.tapError(reader.next, (failure) =>
        "outdated" in failure ? Effect.void : tellOperator(definition, failure.error)
      ),
      subsetQueryFailed
    )
    const copy = Effect.gen(function* () {
      for (let piece = yield* next; piece !== undefined; piece = yield* next)
        yield* Effect.catch(spool.write(piece.bytes), refusedBySpool)
    })
    yield* Effect.timeoutOrElse(copy, {
      duration: limits.subsetMillis,
      orElse: () => Effect.fail(tooSlow())
    })
    return snapshot
  })

  const read = Effect.fn("SubsetReader.read")(function* (shape: ShapeHandle, query: SubsetQuery) {
    const spool = yield* spools.open
    const snapshotMark = randomInt(snapshotMarkBound)
    const snapshot = yield* Effect.scoped(fill(shape, query, snapshotMark, spool))
    spool.end()
    const { walLsn, xipList, xmax, xmin } = snapshot
    const databaseLsn = journalLsn(walLsn, shift())
    const rows: PieceSource = (buffer) => spool.pieces(buffer)
    return { xmin, xmax, xipList, databaseLsn, snapshotMark, rows, byteLength: spool.byteLength }
  })
  return { read }
}

const refusedBySpool = (
  refusal: AnswerTooLarge | NoRoomForAnswer
): Effect.Effect<never, SubsetTooLarge | SubsetUnavailable> => {
  const { message } = refusal
  if (refusal._tag === "AnswerTooLarge") return Effect.fail(new SubsetTooLarge({ message }))
  const failed = Effect.fail(new SubsetUnavailable({ message }))
  return refusal.report === undefined
    ? failed
    : Effect.andThen(
        reportFault("BATON-SHAPE-SUBSET", { message: refusal.report, everyMillis: 10_000 }),
        failed
      )
}

export type SubsetError = SubsetRefused | SubsetOutdated | SubsetTooLarge | SubsetUnavailable | SubsetFailed

/** Clients are told to come back, and the operator what has to be done before that helps. */
const tellOperator = (definition: ShapeDefinition, error: PgError): Effect.Effect<void> =>
  isPassing(error) || error.kind === "permission_denied"
    ? notice(
        error.kind === "permission_denied" ? "BATON-TABLE-PRIVILEGE" : "BATON-SHAPE-SUBSET",
        `Subsets of the table ${quoteTable(definition.table)} cannot be read: ${
          error.kind === "permission_denied" && error.role !== undefined && error.serverMessage !== undefined
            ? `${error.serverMessage}. ${privilegeAdvice({ said: error.serverMessage, role: error.role, table: tableIn(error.serverMessage, tablesRead(definition)) })}`
            : error.message
        }`
      )
    : Effect.void

/** How a failure before the query shows to the client. */
const subsetFailed = (error: PgError): SubsetUnavailable | SubsetFailed =>
  isPassing(error) || error.kind === "permission_denied"
    ? new SubsetUnavailable({
        message: error.kind === "gave_way" ? error.message : (error.serverMessage ?? notAvailable),
        cause: error
      })
    : new SubsetFailed({ message: error.message, cause: error })

/**
 * How a failure of the query shows to the client. A value that a type or function does not accept is the
 * client's doing. The server's words are repeated only if they are about the condition itself: those about a row
 * could quote one that the shape does not show.
 */
const subsetQueryFailed = (failure: RowFailure): SubsetError => {
  if ("outdated" in failure) return new SubsetOutdated({ refusal: undefined })
  const { error, pointsAtStatement } = failure
  if (error.serverMessage !== undefined && isOfCondition(error))
    return new SubsetOutdated({ refusal: error.serverMessage })
  if (isOutdated(error)) return new SubsetOutdated({ refusal: undefined })
  if (isDeniedFunction(error))
    return new SubsetRefused({ message: error.serverMessage ?? error.message, cause: error })
  if (error.serverMessage === undefined || !isAboutValues(error)) return subsetFailed(error)
  return new SubsetRefused({
    message: pointsAtStatement
      ? error.serverMessage
      : `the condition cannot be evaluated for every row (SQLSTATE ${error.code})`,
    cause: error
  })
}
