import { Effect } from "effect"
import type { PgError } from "./PgError.ts"
import type { Queryable } from "./SessionPool.ts"

/** What the catalogue says of a table, as far as shapes depend on it: equal as long as nobody has altered anything. */
export interface TableVersion {
  readonly definition: string
  /** Rows of the catalogue by which the publication has the table: a table that leaves and comes back has others. */
  readonly members: ReadonlyArray<string>
}

/** One look at the catalogue. */
export interface CatalogueLook {
  /** Transactions that it shows: another look with the same shows the same. */
  readonly snapshot: string
  /** Tables and types that are there. */
  readonly tables: ReadonlyMap<number, TableVersion>
  readonly types: ReadonlyMap<number, string>
  /** Empty when there is none of that name. */
  readonly publication: string
  /** It carries all operations. */
  readonly isComplete: boolean
}

export interface LookedAt {
  readonly publicationName: string
  readonly tables: ReadonlyArray<number>
  readonly types: ReadonlyArray<number>
}

/**
 * `xmin` of a row is another one whenever it was altered, and the sum of those of several rows when any of them was, came
 * or went. Statistics are updated in place. The rows of a table: itself, its schema, its columns, its primary key,
 * everything below it if it is partitioned.
 * Source: PostgreSQL documentation, "System Columns" and "System Catalogs".
 */
const lookSql = (hasSchemas: boolean): string => `
SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot, pg_catalog.concat((
  WITH RECURSIVE wanted AS MATERIALIZED (
    SELECT c.oid, c.relnamespace, c.relkind, c.relispartition, pg_catalog.concat(c.xmin, '/', n.xmin) AS own
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY ($1::pg_catalog.text::pg_catalog.oid[])
  ),
  columns AS (
    SELECT a.attrelid AS oid, pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8) AS version
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1::pg_catalog.text::pg_catalog.oid[]) AND a.attnum > 0 GROUP BY 1
  ),
  keys AS (
    SELECT i.indrelid AS oid, i.xmin AS version FROM pg_catalog.pg_index i
    WHERE i.indrelid = ANY ($1::pg_catalog.text::pg_catalog.oid[]) AND i.indisprimary
  ),
  below AS (
    SELECT w.oid AS root, i.inhrelid AS oid
    FROM wanted w JOIN pg_catalog.pg_inherits i ON i.inhparent = w.oid WHERE w.relkind = 'p'
    UNION ALL
    SELECT b.root, i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid
  ),
  trees AS (
    SELECT b.root AS oid, pg_catalog.concat(
      pg_catalog.count(*), '/', pg_catalog.sum(p.oid::pg_catalog.int8), '/',
      pg_catalog.sum(p.xmin::pg_catalog.text::pg_catalog.int8)
    ) AS version
    FROM below b JOIN pg_catalog.pg_class p ON p.oid = b.oid GROUP BY 1
  ),
  above AS (
    SELECT w.oid AS leaf, w.oid, w.relispartition FROM wanted w
    UNION ALL
    SELECT a.leaf, p.oid, p.relispartition
    FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent WHERE a.relispartition
  ),
  members AS (
    SELECT a.leaf AS oid, pg_catalog.string_agg(r.oid::pg_catalog.text, ',') AS version
    FROM above a JOIN pg_catalog.pg_publication_rel r ON r.prrelid = a.oid
    JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $3 GROUP BY 1
  )
  SELECT pg_catalog.string_agg(pg_catalog.concat(
    w.oid, ':', w.own, '/', c.version, '/', k.version, '/', t.version, ':',
    pg_catalog.concat_ws(',', m.version${
      hasSchemas
        ? `, (SELECT pg_catalog.concat('s', s.oid) FROM pg_catalog.pg_publication_namespace s
      JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid WHERE p.pubname = $3 AND s.pnnspid = w.relnamespace)`
        : ""
    })
  ), ' ')
  FROM wanted w LEFT JOIN columns c USING (oid) LEFT JOIN keys k USING (oid) LEFT JOIN trees t USING (oid)
  LEFT JOIN members m USING (oid)
), ';', (
  SELECT pg_catalog.string_agg(pg_catalog.concat(t.oid, ':', t.xmin, '/', n.xmin, '/',
    (SELECT pg_catalog.sum(e.xmin::pg_catalog.text::pg_catalog.int8)
      FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '/',
    (SELECT pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8)
      FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0)
  ), ' ')
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  WHERE t.oid = ANY ($2::pg_catalog.text::pg_catalog.oid[])
), ';', (
  SELECT pg_catalog.concat(p.oid, '/', p.xmin, ':', p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate)
  FROM pg_catalog.pg_publication p WHERE p.pubname = $3
)) AS found`

const snapshotSql = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot"

const entriesOf = (text: string): ReadonlyArray<ReadonlyArray<string>> =>
  text === "" ? [] : text.split(" ").map((entry) => entry.split(":"))

export const parseLook = (snapshot: string, found: string): CatalogueLook => {
  const [tables = "", types = "", publication = ""] = found.split(";")
  return {
    snapshot,
    tables: new Map(
      entriesOf(tables).map(([oid, definition = "", members = ""]) => [
        Number(oid),
        { definition, members: members === "" ? [] : members.split(",") }
      ])
    ),
    types: new Map(entriesOf(types).map(([oid, version = ""]) => [Number(oid), version])),
    publication,
    isComplete: publication.endsWith(":t")
  }
}

/**
 * Looks at all of it at one moment, with one statement. `before` is a look at the same tables and types: it is the answer too
 * when no transaction has ended since, which costs next to nothing. Publications have schemas since Postgres 15.
 */
export const lookAtCatalogue = (
  database: Queryable,
  at: LookedAt,
  serverVersionNum: number,
  before?: CatalogueLook
): Effect.Effect<CatalogueLook, PgError> =>
  Effect.gen(function* () {
    if (before !== undefined) {
      const [moment] = yield* database.query<{ readonly snapshot: string }>(snapshotSql)
      if (moment?.snapshot === before.snapshot) return before
    }
    const [row] = yield* database.query<{ readonly snapshot: string; readonly found: string }>(
      lookSql(serverVersionNum >= 150000),
      [`{${at.tables.join(",")}}`, `{${at.types.join(",")}}`, at.publicationName]
    )
    return parseLook(row?.snapshot ?? "", row?.found ?? "")
  })

export interface CatalogueNews {
  /** Tables that are not as they were, or are new to the look: what is known of them may be wrong. */
  readonly tables: ReadonlySet<number>
  /** Some of them are not just new to the look. */
  readonly altered: boolean
  /** Types that are not as they were, or are new to the look. */
  readonly types: ReadonlySet<number>
  /** Tables that were not published for some time between the looks. */
  readonly unpublished: ReadonlySet<number>
  /** The publication is not as it was, whatever it is now. */
  readonly publicationAltered: boolean
  readonly publicationIsComplete: boolean
}

/** How tables were published at the time from which on their shapes need every change. */
export interface KnownPublished {
  /** `CatalogueLook.publication`; empty when it is not known. */
  readonly publication: string
  /** `undefined` when it is not known of the table. */
  readonly membersOf: (oid: number) => ReadonlyArray<string> | undefined
}

const asOf = (look: CatalogueLook | undefined): KnownPublished => ({
  publication: look?.publication ?? "",
  membersOf: (oid) => look?.tables.get(oid)?.members
})

/**
 * What has happened between two looks. Whatever was not in the first one counts as changed; what is published of it is
 * compared with what is known from before.
 */
export const newsBetween = (
  before: CatalogueLook | undefined,
  now: CatalogueLook,
  at: LookedAt,
  known: KnownPublished = asOf(before)
): CatalogueNews => {
  const tables = new Set<number>()
  const unpublished = new Set<number>()
  let altered = false
  for (const oid of at.tables) {
    const was = before?.tables.get(oid)
    const is = now.tables.get(oid)
    if (was === undefined || is === undefined || was.definition !== is.definition) tables.add(oid)
    if (was !== undefined && was.definition !== is?.definition) altered = true
    const members = known.membersOf(oid) ?? []
    if (is === undefined || members.length === 0) continue
    if (!members.some((member) => is.members.includes(member))) unpublished.add(oid)
  }
  const types = new Set(
    at.types.filter((oid) => {
      const was = before?.types.get(oid)
      return was === undefined || was !== now.types.get(oid)
    })
  )
  return {
    tables,
    altered,
    types,
    unpublished,
    publicationAltered: known.publication !== "" && known.publication !== now.publication,
    publicationIsComplete: now.isComplete
  }
}
