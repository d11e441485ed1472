import { Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import { refusalsOf, refusingPublications, type WriteRefusal } from "./RefusedWrites.ts"
import type { Queryable } from "../connection/SessionPool.ts"

/** What every publication of ours has to carry, in the words of `CREATE PUBLICATION`. */
export const requiredOperations = ["insert", "update", "delete", "truncate"] as const
export type Operation = (typeof requiredOperations)[number]

/** One row of `pg_publication`. */
export interface PublicationState {
  /** Whose privileges count. */
  readonly role: string
  /** The current role may alter it. */
  readonly isOurs: boolean
  readonly allTables: boolean
  readonly viaRoot: boolean
  readonly missingOperations: ReadonlyArray<Operation>
  /** `unsupported` before Postgres 18: then no publication carries them. */
  readonly generatedColumns: "stored" | "none" | "unsupported"
  readonly serverVersionNum: number
  /** What `PossibleRefusals` says of publications. */
  readonly listsElsewhere: boolean
  readonly generatedLeftOut: boolean
}

/** A table or partition whose REPLICA IDENTITY is looked after. */
export interface IdentityState {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly isFull: boolean
  readonly isUnlogged: boolean
  /** Why Postgres refuses UPDATE or DELETE once the identity is FULL and the table is published. */
  readonly refusals: ReadonlyArray<WriteRefusal>
}

/** One table as the publication has it. */
export interface TableState {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** Added to the publication by name. */
  readonly isMember: boolean
  /** Published because of its schema. */
  readonly isMemberBySchema: boolean
  /** Published because a partitioned table above it is. */
  readonly isMemberByAncestor: boolean
  readonly isPartitioned: boolean
  /** A foreign table below it: nobody hears of changes there. */
  readonly foreignPartition: string | null
  /** With a row filter or a column list. */
  readonly isFiltered: boolean
  /** The table itself, or the leaves of a partitioned table. */
  readonly identities: ReadonlyArray<IdentityState>
}

interface PublicationRow {
  readonly role: string
  readonly ours: boolean
  readonly alltables: boolean
  readonly viaroot: boolean
  readonly operations: string
  readonly generated: string | null
  readonly version: number
  readonly lists: boolean
  readonly leftout: boolean
}

/** `undefined` when there is no publication of that name. */
export const readPublication = (
  database: Queryable,
  name: string
): Effect.Effect<PublicationState | undefined, PgError> =>
  Effect.map(
    database.query<PublicationRow>(
      `SELECT current_user::text AS role, pg_has_role(p.pubowner, 'USAGE') AS ours, p.puballtables AS alltables, p.pubviaroot AS viaroot,
         concat_ws(',', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
           CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END) AS operations,
         to_jsonb(p) ->> 'pubgencols' AS generated, current_setting('server_version_num')::int4 AS version,
         ${refusingPublications}
       FROM pg_publication p WHERE p.pubname = $1`,
      [name],
      "kept"
    ),
    ([row]) => {
      if (row === undefined) return undefined
      const operations = row.operations.split(",")
      return {
        role: row.role,
        isOurs: row.ours,
        allTables: row.alltables,
        viaRoot: row.viaroot,
        missingOperations: requiredOperations.filter((operation) => !operations.includes(operation)),
        generatedColumns: row.generated === null ? "unsupported" : row.generated === "s" ? "stored" : "none",
        serverVersionNum: row.version,
        listsElsewhere: row.lists,
        generatedLeftOut: row.leftout
      }
    }
  )

/** OIDs of the tables that were added to the publication by name. */
export const readMembers = (
  database: Queryable,
  publicationName: string
): Effect.Effect<ReadonlyArray<number>, PgError> =>
  Effect.map(
    database.query<{ readonly members: string | null }>(
      `SELECT string_agg(r.prrelid::text, ',') AS members
       FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1`,
      [publicationName],
      "kept"
    ),
    ([row]) => (row?.members ?? "").split(",").filter(Boolean).map(Number)
  )

const rowsOf = (catalogue: string, oid: string, condition = ""): string =>
  `(SELECT concat(count(*), ' ', sum(x.xmin::text::int8), ' ', sum(x.${oid}::int8)) FROM ${catalogue} x ${condition})`

/** A text that is another one whenever `readPublication`, `readMembers` or `readTables` may say something else. */
export const digestOfCatalogue = (
  database: Queryable,
  serverVersionNum: number
): Effect.Effect<string, PgError> => {
  const parts = [
    rowsOf("pg_class", "oid", "WHERE relkind IN ('r', 'p', 'f') AND relpersistence <> 't'"),
    rowsOf("pg_inherits", "inhrelid"),
    rowsOf("pg_attribute", "attrelid", "WHERE attgenerated <> ''"),
    // Those of temporary tables come and go.
    rowsOf("pg_namespace", "oid", "WHERE nspname !~ '^pg_'"),
    rowsOf("pg_publication", "oid"),
    rowsOf("pg_publication_rel", "oid"),
    rowsOf("pg_auth_members", "member"),
    ...(serverVersionNum < 150000 ? [] : [rowsOf("pg_publication_namespace", "oid")])
  ]
  return Effect.map(
    database.query<{ readonly digest: string }>(
      `SELECT concat_ws('/', ${parts.join(", ")}) AS digest`,
      [],
      "kept"
    ),
    ([row]) => row?.digest ?? ""
  )
}

/**
 * Joins the row `r` of a table in a publication, or NULLs, by the index that begins with the table: a plan that is kept was made when the
 * publication had few members, and would go through all of them by the other index.
 */
const membershipOf = (publication: string, table: string): string =>
  `LEFT JOIN LATERAL (
     SELECT m.* FROM pg_catalog.pg_publication_rel m
     WHERE m.prrelid = ${table} AND m.prpubid::pg_catalog.int8 = ${publication}::pg_catalog.int8 OFFSET 0
   ) r ON true`

/**
 * The tables with these OIDs; those that are gone are left out. Membership is read from the catalogue of what was added: `pg_publication_tables` shows partitions instead.
 */
export const readTables = (
  database: Queryable,
  publicationName: string,
  publication: PublicationState,
  oids: ReadonlyArray<number>,
  options: {
    /** False: the tables have no generated columns, which saves a question. */
    readonly generatedColumns?: boolean
  } = {}
): Effect.Effect<ReadonlyArray<TableState>, PgError> => {
  // Schemas became members in Postgres 15.
  const bySchema =
    publication.serverVersionNum >= 150000
      ? `EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)`
      : "false"
  return Effect.map(
    database.query<{ readonly state: string }>(
      `SELECT json_build_object(
         'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname,
         'isMember', r.oid IS NOT NULL,
         'isMemberBySchema', ${bySchema},
         'isMemberByAncestor', EXISTS (
           WITH RECURSIVE above AS (
             SELECT i.inhparent AS oid FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition
             UNION ALL
             SELECT i.inhparent FROM above
             JOIN pg_class parent ON parent.oid = above.oid AND parent.relispartition
             JOIN pg_inherits i ON i.inhrelid = above.oid
           )
           SELECT FROM above JOIN pg_publication_rel of_above ON of_above.prrelid = above.oid
           WHERE of_above.prpubid = p.oid
         ),
         'isPartitioned', c.relkind = 'p',
         'foreignPartition', (
           WITH RECURSIVE tree AS (
             SELECT c.oid, c.relkind WHERE c.relkind = 'p'
             UNION ALL
             SELECT child.oid, child.relkind FROM tree
             JOIN pg_inherits i ON i.inhparent = tree.oid JOIN pg_class child ON child.oid = i.inhrelid
           )
           SELECT min(tree.oid::regclass::text) FROM tree WHERE tree.relkind = 'f'
         ),
         'isFiltered', coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') IS NOT NULL,
         'identities', (
           WITH RECURSIVE tree AS (
             SELECT c.oid
             UNION ALL
             SELECT i.inhrelid FROM tree
             JOIN pg_class parent ON parent.oid = tree.oid AND parent.relkind = 'p'
             JOIN pg_inherits i ON i.inhparent = tree.oid
           )
           SELECT coalesce(json_agg(json_build_object(
             'oid', l.oid::int8, 'schema', ln.nspname, 'name', l.relname, 'isFull', l.relreplident = 'f',
             'isUnlogged', l.relpersistence = 'u',
             'refusals', ${refusalsOf({ ...publication, generatedColumns: options.generatedColumns ?? true })}
           ) ORDER BY l.oid), '[]')
           FROM tree JOIN pg_class l ON l.oid = tree.oid JOIN pg_namespace ln ON ln.oid = l.relnamespace
           WHERE l.relkind = 'r'
         )
       )::text AS state
       FROM pg_publication p
       CROSS JOIN pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace
       ${membershipOf("p.oid", "c.oid")}
       WHERE p.pubname = $1 AND c.relkind IN ('r', 'p')
         AND c.oid = ANY ($2::oid[])
       ORDER BY c.oid`,
      [publicationName, `{${oids.join(",")}}`],
      "kept"
    ),
    (rows) => rows.map((row) => JSON.parse(row.state) as TableState)
  )
}
