import { Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import type { Queryable } from "../connection/SessionPool.ts"

/** What the catalogue says of a table, as far as shapes depend on it: equal as long as nobody has altered anything. */
interface TableVersion {
  readonly definition: string
  /** Rows of the catalogue by which the publication has the table: a table that leaves and comes back has others. */
  readonly members: ReadonlyArray<string>
}

/** One look at the catalogue. */
export interface CatalogueLook {
  /** Transactions that it shows: another look with the same shows the same. */
  readonly snapshot: string
  /** A text that is another one whenever anything else here is: two looks with the same are of the same catalogue. */
  readonly version: string
  /** The tables, those that they are partitions of, and those below them: what `version` is taken of. */
  readonly around: ReadonlyArray<number>
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

/** Through a sub-select, so that Postgres keeps one plan for any array: to make a plan takes longer than to look. */
const oids = (parameter: number): string =>
  `ARRAY(SELECT pg_catalog.unnest($${parameter}::pg_catalog.text::pg_catalog.oid[]))`

/** How many rows of a catalogue there are, and the sum of their `xmin`, and of their OIDs if one may take another's place. */
const rowsOf = (catalogue: string, condition: string, oid?: string): string =>
  `(SELECT pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.sum(x.xmin::pg_catalog.text::pg_catalog.int8)${
    oid === undefined ? "" : `, ' ', pg_catalog.sum(x.${oid}::pg_catalog.int8)`
  }) FROM pg_catalog.${catalogue} x ${condition})`

/**
 * Everything that a look depends on, in one text, and without a join or a recursion, so that Postgres takes a millisecond
 * for it. `around` is an expression for the OIDs that the look before has found. A table that comes to belong to them is
 * a row of `pg_inherits` below one of them; one that leaves, or moves, has its own row of `pg_class` written. Schemas and
 * members of other publications may change it for nothing, which costs a whole look.
 */
const versionSql = (around: string, types: string | undefined, hasSchemas: boolean): string => {
  const parts = [
    rowsOf("pg_class", `WHERE x.oid = ANY (${around})`, "oid"),
    rowsOf("pg_inherits", `WHERE x.inhparent = ANY (${around})`, "inhrelid"),
    rowsOf("pg_publication_rel", `WHERE x.prrelid = ANY (${around})`, "oid"),
    rowsOf("pg_namespace", ""),
    rowsOf("pg_attribute", `WHERE x.attrelid = ANY (${oids(1)}) AND x.attnum > 0`),
    rowsOf("pg_index", `WHERE x.indrelid = ANY (${oids(1)}) AND x.indisprimary`, "indexrelid"),
    rowsOf("pg_publication", "WHERE x.pubname = $2", "oid")
  ]
  if (hasSchemas) parts.push(rowsOf("pg_publication_namespace", "", "oid"))
  if (types !== undefined) {
    parts.push(
      rowsOf("pg_type", `WHERE x.oid = ANY (${types})`, "oid"),
      rowsOf("pg_enum", `WHERE x.enumtypid = ANY (${types})`, "oid"),
      rowsOf(
        "pg_attribute",
        `JOIN pg_catalog.pg_type t ON t.typrelid = x.attrelid
          WHERE t.oid = ANY (${types}) AND t.typtype = 'c' AND x.attnum > 0`
      )
    )
  }
  return `pg_catalog.concat_ws('/', ${parts.join(", ")})`
}

/** `$1` tables, `$2` publication, `$3` around, `$4` snapshot of the look before: the same one needs no version. `$5` types. */
const changedSql = (hasTypes: boolean, hasSchemas: boolean): string => `
SELECT s.snapshot, CASE WHEN s.snapshot <> $4::pg_catalog.text
  THEN ${versionSql(oids(3), hasTypes ? oids(5) : undefined, hasSchemas)} END AS version
FROM (SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot) s`

/**
 * `xmin` of a row is another one whenever it was altered, and the sum of those of several rows when any of them was, came
 * or went. Statistics are updated in place. The rows of a table: itself, its schema, its columns, its primary key,
 * everything below it if it is partitioned. `$1` are tables, `$2` is the publication, `$3` are types.
 * Source: PostgreSQL documentation, "System Columns" and "System Catalogs".
 */
const lookSql = (hasTypes: boolean, hasSchemas: boolean): string => `
WITH RECURSIVE wanted AS MATERIALIZED (
  SELECT c.oid, c.relnamespace, c.relkind, c.relispartition, pg_catalog.concat(c.xmin, '/', n.xmin) AS own
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = ANY (${oids(1)})
),
columns AS (
  SELECT a.attrelid AS oid, pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8) AS version
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = ANY (${oids(1)}) AND a.attnum > 0 GROUP BY 1
),
keys AS (
  SELECT i.indrelid AS oid, i.xmin AS version FROM pg_catalog.pg_index i
  WHERE i.indrelid = ANY (${oids(1)}) AND i.indisprimary
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
around AS MATERIALIZED (SELECT a.oid FROM above a UNION SELECT b.oid FROM below b),
members AS (
  SELECT a.leaf AS oid, pg_catalog.string_agg(r.oid::pg_catalog.text, ',') AS version
  FROM above a JOIN pg_catalog.pg_publication_rel r ON r.prrelid = a.oid
  JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $2 GROUP BY 1
)
SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot,
${versionSql("ARRAY(SELECT y.oid FROM around y)", hasTypes ? oids(3) : undefined, hasSchemas)} AS version,
(SELECT pg_catalog.string_agg(y.oid::pg_catalog.text, ',') FROM around y) AS around,
pg_catalog.concat((
  SELECT pg_catalog.string_agg(pg_catalog.concat(
    w.oid, ':', w.own, '/', c.version, '/', k.version, '/', t.version, ':',
    pg_catalog.concat_ws(',', m.version${
      hasSchemas
        ? `, (SELECT pg_catalog.concat('s', s.oid) FROM pg_catalog.pg_publication_namespace s
      JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid WHERE p.pubname = $2 AND s.pnnspid = w.relnamespace)`
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
  WHERE t.oid = ANY (${oids(3)})
), ';', (
  SELECT pg_catalog.concat(p.oid, '/', p.xmin, ':', p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate)
  FROM pg_catalog.pg_publication p WHERE p.pubname = $2
)) AS found`

const entriesOf = (text: string): ReadonlyArray<ReadonlyArray<string>> =>
  text === "" ? [] : text.split(" ").map((entry) => entry.split(":"))

interface LookRow {
  readonly snapshot: string
  readonly version: string
  readonly around: string | null
  readonly found: string
}

const parseLook = ({ around, found, snapshot, version }: LookRow): CatalogueLook => {
  const [tables = "", types = "", publication = ""] = found.split(";")
  return {
    snapshot,
    version,
    around: (around ?? "").split(",").filter(Boolean).map(Number),
    tables: new Map(
      entriesOf(tables).map(([oid, definition = "", members = ""]) => [
        Number(oid),
        { definition, members: members === "" ? [] : members.split(",") }
      ])
    ),
    types: new Map(entriesOf(types).map(([oid, rows = ""]) => [Number(oid), rows])),
    publication,
    isComplete: publication.endsWith(":t")
  }
}

/**
 * Looks at all of it at one moment, with one statement. `before` is a look at the same tables and types: where nothing has
 * changed since, the answer has its very `tables`, and costs a millisecond of a backend, or half of one if no transaction
 * has ended either. Publications have schemas since Postgres 15.
 */
export const lookAtCatalogue = (
  database: Queryable,
  at: LookedAt,
  serverVersionNum: number,
  before?: CatalogueLook
): Effect.Effect<CatalogueLook, PgError> =>
  Effect.gen(function* () {
    const hasSchemas = serverVersionNum >= 150000
    const hasTypes = at.types.length > 0
    const tables = `{${at.tables.join(",")}}`
    const types = `{${at.types.join(",")}}`
    if (before !== undefined) {
      const [now] = yield* database.query<{ readonly snapshot: string; readonly version: string | null }>(
        changedSql(hasTypes, hasSchemas),
        [
          tables,
          at.publicationName,
          `{${before.around.join(",")}}`,
          before.snapshot,
          ...(hasTypes ? [types] : [])
        ]
      )
      if (now !== undefined && (now.version === null || now.version === before.version))
        return { ...before, snapshot: now.snapshot }
    }
    const [row] = yield* database.query<LookRow>(lookSql(hasTypes, hasSchemas), [
      tables,
      at.publicationName,
      types
    ])
    if (row === undefined) return yield* Effect.die(new Error("A statement without FROM gave no row."))
    return parseLook(row)
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
