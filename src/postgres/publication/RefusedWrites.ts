import { Effect } from "effect"
import type { TableName } from "../Identifiers.ts"
import type { PgError } from "../errors/PgError.ts"
import { publicationError, type PublicationError, shown } from "./PublicationError.ts"
import { carryGeneratedColumns, removeTable } from "../RoleSql.ts"
import type { Queryable } from "../connection/SessionPool.ts"

/**
 * Something under which Postgres refuses every UPDATE, DELETE or both of a published table whose replica identity is
 * FULL: a virtual generated column, a stored one that some publication leaves out, or a publication with a column list.
 * Row filters are no reason: with FULL all columns that they name are in the identity.
 */
export interface WriteRefusal {
  readonly kind: "virtualColumn" | "storedColumn" | "columnList"
  /** Name of the virtual column, else of the publication. */
  readonly by: string
  /** The table with the column list, which may be a partitioned table above. */
  readonly listed: TableName | null
}

/** Column lists came with Postgres 15; before it FULL is always enough. */
const columnListsSince = 150000
/** From then on publications may carry generated columns, and an identity must not hold any that they do not carry. */
const generatedColumnsSince = 180000

/** The publications `o` that carry updates or deletions, and the table `l` with everything above it. */
const above = `
  SELECT l.oid, l.relnamespace AS namespace, 0 AS distance
  UNION ALL
  SELECT parent.oid, parent.relnamespace, above.distance + 1
  FROM above
  JOIN pg_class own ON own.oid = above.oid AND own.relispartition
  JOIN pg_inherits i ON i.inhrelid = above.oid
  JOIN pg_class parent ON parent.oid = i.inhparent`

const publishes = `(
  EXISTS (SELECT FROM pg_publication_rel m WHERE m.prpubid = o.oid AND m.prrelid = above.oid)
  OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = o.oid AND s.pnnspid = above.namespace)
)`

/** Postgres goes by the list of the topmost table that a publication publishes changes as. */
const columnLists = `
  SELECT 'columnList' AS kind, o.pubname::text AS by,
    json_build_object('schema', ns.nspname, 'name', lc.relname) AS listed
  FROM pg_publication o JOIN pg_publication_rel r ON r.prpubid = o.oid AND r.prattrs IS NOT NULL
  JOIN pg_class lc ON lc.oid = r.prrelid JOIN pg_namespace ns ON ns.oid = lc.relnamespace
  WHERE o.oid <> p.oid AND (o.pubupdate OR o.pubdelete) AND r.prrelid = CASE WHEN o.pubviaroot THEN (
    WITH RECURSIVE above AS (${above})
    SELECT oid FROM above WHERE distance = 0 OR ${publishes} ORDER BY distance DESC LIMIT 1
  ) ELSE l.oid END`

const virtualColumns = `
  SELECT 'virtualColumn' AS kind, a.attname::text AS by, NULL::json AS listed FROM pg_attribute a
  WHERE a.attrelid = l.oid AND a.attgenerated = 'v' AND NOT a.attisdropped`

const storedColumns = `
  SELECT 'storedColumn' AS kind, o.pubname::text AS by, NULL::json AS listed FROM pg_publication o
  WHERE EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = l.oid AND a.attgenerated = 's' AND NOT a.attisdropped
    )
    AND (o.pubupdate OR o.pubdelete) AND to_jsonb(o) ->> 'pubgencols' <> 's'
    AND (o.oid = p.oid OR o.puballtables OR EXISTS (
      WITH RECURSIVE above AS (${above}) SELECT FROM above WHERE ${publishes}
    ))`

/** What can be a reason at all. A client that makes a shape waits for the query, and planning it takes longer than its run. */
interface PossibleRefusals {
  readonly serverVersionNum: number
  /** Another publication has a table with a column list. */
  readonly listsElsewhere: boolean
  /** A publication that carries updates or deletions leaves stored generated columns out. */
  readonly generatedLeftOut: boolean
  /** The tables in question may have generated columns. */
  readonly generatedColumns: boolean
}

/** SQL for one row of `pg_publication`, `p`: the reasons that publications can be. */
export const refusingPublications = `
  EXISTS (
    SELECT FROM pg_publication o WHERE o.oid <> p.oid AND (o.pubupdate OR o.pubdelete)
    -- OFFSET: or all members of p are gone through, to find that they are those of p.
    AND EXISTS (
      SELECT FROM pg_publication_rel r WHERE r.prpubid = o.oid AND to_jsonb(r) ->> 'prattrs' IS NOT NULL OFFSET 0
    )
  ) AS lists,
  EXISTS (
    SELECT FROM pg_publication o WHERE (o.pubupdate OR o.pubdelete) AND to_jsonb(o) ->> 'pubgencols' = 'n'
  ) AS leftout`

/**
 * SQL for the refusals, as JSON, of the table `l` (a row of `pg_class`) if it were published by the publication `p` (a row
 * of `pg_publication`) and had the replica identity FULL.
 * Source: what Postgres 14 to 18 do, and `CheckCmdReplicaIdentity` in its source.
 */
export const refusalsOf = (possible: PossibleRefusals): string => {
  const { serverVersionNum } = possible
  const generated = serverVersionNum >= generatedColumnsSince && possible.generatedColumns
  const reasons = [
    ...(serverVersionNum >= columnListsSince && possible.listsElsewhere ? [columnLists] : []),
    ...(generated ? [virtualColumns] : []),
    ...(generated && possible.generatedLeftOut ? [storedColumns] : [])
  ]
  return reasons.length === 0
    ? `'[]'::json`
    : `(
    SELECT coalesce(json_agg(
      json_build_object('kind', reason.kind, 'by', reason.by, 'listed', reason.listed) ORDER BY reason.kind, reason.by
    ), '[]')
    FROM (${reasons.join(" UNION ALL ")}) AS reason
  )`
}

/** Indexes that are the replica identities of tables at present, by the tables' OIDs. */
export const identityIndexes = (
  database: Queryable,
  oids: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, string>, PgError> =>
  Effect.map(
    database.query<{ readonly oid: bigint; readonly name: string }>(
      `SELECT c.oid::int8 AS oid, i.relname::text AS name FROM pg_class c
       JOIN pg_index x ON x.indrelid = c.oid AND x.indisreplident JOIN pg_class i ON i.oid = x.indexrelid
       WHERE c.oid = ANY ($1::oid[]) AND c.relreplident = 'i'`,
      [`{${oids.join(",")}}`],
      "kept"
    ),
    (rows) => new Map(rows.map(({ name, oid }) => [Number(oid), name]))
  )

/** Index that could be the replica identity of a table without primary key. */
export const possibleIdentityIndex = (
  database: Queryable,
  oid: number
): Effect.Effect<string | undefined, PgError> =>
  firstIndex(
    database,
    `x.indisunique AND x.indimmediate AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
     AND NOT EXISTS (SELECT FROM pg_index k WHERE k.indrelid = c.oid AND k.indisprimary)
     AND NOT EXISTS (
       SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (x.indkey) AND NOT a.attnotnull
     )`,
    oid
  )

const firstIndex = (database: Queryable, condition: string, oid: number) =>
  Effect.map(
    database.query<{ readonly name: string }>(
      `SELECT i.relname::text AS name FROM pg_class c JOIN pg_index x ON x.indrelid = c.oid
       JOIN pg_class i ON i.oid = x.indexrelid WHERE c.oid = $1::oid AND ${condition} ORDER BY 1 LIMIT 1`,
      [oid]
    ),
    ([row]) => row?.name
  )

interface RefusingLeaf<Leaf> {
  readonly leaf: Leaf
  readonly refusal: WriteRefusal
}

/** The first leaf, and the first reason: what the table's own definition says before what others do. */
export const refusingLeaf = <Leaf extends { readonly refusals: ReadonlyArray<WriteRefusal> }>(
  leaves: ReadonlyArray<Leaf>
): RefusingLeaf<Leaf> | undefined => {
  const found = leaves.flatMap((leaf) => leaf.refusals.map((refusal) => ({ leaf, refusal })))
  return found.find(({ refusal }) => refusal.kind === "virtualColumn") ?? found[0]
}

/** Said to clients as well: `virtualColumn` is final for them, the others are for an operator to mend. */
export const whyWritesAreRefused = (
  leaf: TableName,
  { by, kind, listed }: WriteRefusal,
  publicationName: string
): PublicationError => {
  const named = `Database table "${shown(leaf)}"`
  const then = "Postgres would refuse UPDATE and DELETE of the table if it were published as shapes need it"
  switch (kind) {
    case "virtualColumn":
      return publicationError(
        "virtualColumn",
        `${named} has the virtual generated column "${by}": ${then}. Make the column STORED, or drop it`
      )
    case "storedColumn":
      return publicationError(
        "writesRefused",
        `${named} has stored generated columns, and the publication "${by}" does not carry them: ${then}. Run ` +
          carryGeneratedColumns(by) +
          (by === publicationName ? "" : " Or take the table out of that publication")
      )
    case "columnList":
      return publicationError(
        "writesRefused",
        `${named} is published by "${by}" with a column list: ${then}, with REPLICA IDENTITY FULL. Publish all of its ` +
          `columns there, without a list, or take it out: ${removeTable(by, listed ?? leaf)}`
      )
  }
}
