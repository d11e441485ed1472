import type { Effect } from "effect"
import type { Lsn } from "../shared/Lsn.ts"
import type { Relation } from "../postgres/Relation.ts"
import type { Tuple } from "../postgres/Tuple.ts"

/**
 * Where decoded changes go. Called synchronously, row by row, in stream order; tuples are only valid during
 * the call. A method that cannot finish at once returns an Effect, and the stream calls nothing else before it
 * has completed (the socket is paused meanwhile, status updates go on).
 */
export interface ChangeSink {
  /** `commitLsn` is the transaction's final LSN, the `tx` part of the offsets of all its operations. */
  readonly begin: (commitLsn: Lsn, xid: number, commitTimeMicros: bigint) => void
  /** The stream describes a table, before its first change and whenever its definition may have changed. */
  readonly relation: (relation: Relation) => Effect.Effect<void> | undefined
  readonly insert: (relation: Relation, row: Tuple) => Effect.Effect<void> | undefined
  /** `oldRow` is undefined if the table does not have REPLICA IDENTITY FULL. Unchanged TOAST values are filled in from it. */
  readonly update: (
    relation: Relation,
    oldRow: Tuple | undefined,
    row: Tuple
  ) => Effect.Effect<void> | undefined
  /** `oldRow` has only key columns (others NULL) when `complete` is false. */
  readonly delete: (relation: Relation, oldRow: Tuple, complete: boolean) => Effect.Effect<void> | undefined
  readonly truncate: (relations: ReadonlyArray<Relation>) => Effect.Effect<void> | undefined
  /** `endLsn` is the end of the commit record: what may be acknowledged once the transaction is durable. */
  /** The row that comes next has text in these columns that is not UTF-8. Only in databases that do not see to that. */
  readonly unreadable: (relation: Relation, columns: ReadonlyArray<string>) => void
  readonly commit: (endLsn: Lsn) => Effect.Effect<void> | undefined
  /**
   * A keepalive outside a transaction: the server has sent everything up to `walEnd`. `isAsked`: it wants to know what is durable, and may
   * wait until that is all, as it does when it shuts down.
   */
  readonly keepalive: (walEnd: Lsn, isAsked: boolean) => void
  /** All messages received so far have been handed over. Completes when there is room for more. */
  readonly batchEnd: () => Effect.Effect<void> | undefined
  /** Everything that commits up to here is durable: it is acknowledged, and Postgres may forget it. Never goes back. */
  readonly durableLsn: () => Lsn
}
