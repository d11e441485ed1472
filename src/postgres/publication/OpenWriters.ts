import { Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import type { Queryable } from "../connection/SessionPool.ts"

/**
 * Why a new member of a publication needs a wait. What a transaction wrote to the table before ALTER PUBLICATION …
 * ADD TABLE committed is not sent, however late the transaction commits: a change is published or not by the catalogue
 * at its place in the WAL. A snapshot taken while such a transaction is open does not see its rows either, so they would
 * be lost. Once it has ended every snapshot sees them; a transaction that begins to write later is sent in full.
 *
 * The transactions to wait for hold ROW EXCLUSIVE on the table, or on a partition, until they end, and had their xid when
 * the table was published. The bound is an xid that was *assigned* after that: the xmax of a snapshot is one more
 * than the last xid that has completed, and transactions with higher ones may have written already. Waiting for lock
 * holders only, and not for the snapshot xmin to pass the bound, keeps long transactions on other tables, and
 * other databases, out of it.
 */
export type WriterBound = string

/** An xid that is younger than every transaction that has written anything up to now. Uses up one xid. */
export const boundOfWriters = (database: Queryable): Effect.Effect<WriterBound, PgError> =>
  Effect.map(
    database.query<{ readonly bound: string }>("SELECT pg_current_xact_id()::xid::text AS bound"),
    ([row]) => row?.bound ?? "0"
  )

/**
 * Whether a transaction from before the bound still holds a lock for writing on the table or on something below it.
 * Prepared transactions count: they keep their locks.
 */
export const hasOpenWriters = (
  database: Queryable,
  oid: number,
  bound: WriterBound
): Effect.Effect<boolean, PgError> => {
  const look = Effect.map(
    database.query<{ readonly open: boolean; readonly prepares: boolean }>(
      `WITH RECURSIVE tree AS (
         SELECT $1::oid AS oid
         UNION
         SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
       )
       SELECT EXISTS (
         SELECT FROM pg_locks written JOIN pg_locks holder USING (virtualtransaction)
         WHERE written.locktype = 'relation' AND written.mode = 'RowExclusiveLock' AND written.granted
           AND written.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND written.relation IN (SELECT oid FROM tree)
           AND holder.locktype = 'transactionid' AND holder.granted AND holder.mode = 'ExclusiveLock'
           AND age(holder.transactionid) > age($2::xid)
       ) AS open, current_setting('max_prepared_transactions')::int4 > 0 AS prepares`,
      [oid, bound]
    ),
    ([row]) => row ?? { open: true, prepares: false }
  )
  // PREPARE TRANSACTION hands locks over one after the other; seen in the middle of that, a writer has no xid.
  return Effect.flatMap(look, ({ open, prepares }) =>
    open || !prepares ? Effect.succeed(open) : Effect.map(look, (again) => again.open)
  )
}
