import { Context, type Effect, Schema, type Scope, type Stream } from "effect"
import type { Lsn } from "../postgres/Lsn.ts"
import type { ShapeHandle } from "../storage/ShapeLogs.ts"
import type { WhereClause } from "../where/WhereClause.ts"

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
>()("baton/registry/SubsetReader") {}
