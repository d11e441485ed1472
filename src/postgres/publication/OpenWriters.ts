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
    database.query<{ readonly bound: string }>("SELECT pg_current_xact_id()::xid::text AS bound", [], "kept"),
    ([row]) => row?.bound ?? "0"
  )

/** A table, and the bound of its writers. */
export interface BoundTable {
  readonly oid: number
  readonly bound: WriterBound
}

/**
 * Those of the tables on which, or on something below which, a transaction from before the bound still holds a lock for
 * writing. Prepared transactions count: they keep their locks.
 */
export const withOpenWriters = (
  database: Queryable,
  tables: ReadonlyArray<BoundTable>
): Effect.Effect<ReadonlySet<number>, PgError> => {
  const look = Effect.map(
    database.query<{ readonly open: string | null; readonly prepares: boolean }>(
      `WITH RECURSIVE tree AS (
         SELECT t.root, t.root AS oid, t.bound FROM unnest($1::oid[], $2::xid[]) AS t(root, bound)
         UNION
         SELECT tree.root, i.inhrelid, tree.bound FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
       )
       SELECT (
         SELECT string_agg(DISTINCT tree.root::text, ',')
         FROM pg_locks written JOIN pg_locks holder USING (virtualtransaction)
         JOIN tree ON tree.oid = written.relation
         WHERE written.locktype = 'relation' AND written.mode = 'RowExclusiveLock' AND written.granted
           AND written.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND holder.locktype = 'transactionid' AND holder.granted AND holder.mode = 'ExclusiveLock'
           AND age(holder.transactionid) > age(tree.bound)
       ) AS open, current_setting('max_prepared_transactions')::int4 > 0 AS prepares`,
      [`{${tables.map(({ oid }) => oid).join(",")}}`, `{${tables.map(({ bound }) => bound).join(",")}}`],
      "kept"
    ),
    ([row]) => ({
      open: new Set((row?.open ?? "").split(",").filter(Boolean).map(Number)),
      prepares: row?.prepares === true
    })
  )
  // PREPARE TRANSACTION hands locks over one after the other; seen in the middle of that, a writer has no xid.
  return Effect.flatMap(look, ({ open, prepares }) =>
    prepares ? Effect.map(look, (again) => new Set([...open, ...again.open])) : Effect.succeed(open)
  )
}
