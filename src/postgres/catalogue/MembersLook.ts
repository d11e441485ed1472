import { Effect } from "effect"
import type { Queryable } from "../connection/SessionPool.ts"
import type { PgError } from "../errors/PgError.ts"
import type { CatalogueLook, TableVersion } from "./CatalogueLook.ts"

/** What of a `CatalogueLook` says how tables are published, and how their rows are stored. */
export interface MembersLook extends Pick<CatalogueLook, "publication"> {
  readonly tables: ReadonlyMap<number, Pick<TableVersion, "members" | "stored">>
}

/** `$1` tables, `$2` the publication. */
const membersSql = (hasSchemas: boolean): string => `
WITH RECURSIVE above AS (
  SELECT c.oid AS leaf, c.oid, c.relispartition
  FROM pg_catalog.unnest($1::pg_catalog.text::pg_catalog.oid[]) AS w(oid) JOIN pg_catalog.pg_class c ON c.oid = w.oid
  UNION ALL
  SELECT a.leaf, p.oid, p.relispartition
  FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
  JOIN pg_catalog.pg_class p ON p.oid = i.inhparent WHERE a.relispartition
),
below AS (
  SELECT c.oid AS root, i.inhrelid AS oid
  FROM pg_catalog.unnest($1::pg_catalog.text::pg_catalog.oid[]) AS w(oid) JOIN pg_catalog.pg_class c ON c.oid = w.oid
  JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid WHERE c.relkind = 'p'
  UNION ALL
  SELECT b.root, i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid
)
SELECT pg_catalog.concat(p.oid, '/', p.xmin, ':', p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate) AS publication, (
  SELECT pg_catalog.string_agg(found.entry, ' ') FROM (
    SELECT pg_catalog.concat(a.leaf, ':', pg_catalog.concat_ws(',', pg_catalog.string_agg(r.oid::pg_catalog.text, ',')${
      hasSchemas
        ? `, (SELECT pg_catalog.concat('s', s.oid) FROM pg_catalog.pg_publication_namespace s JOIN pg_catalog.pg_class own ON own.oid = a.leaf
        WHERE s.pnpubid = p.oid AND s.pnnspid = own.relnamespace)`
        : ""
    }), ':', COALESCE(
      (SELECT pg_catalog.sum(x.relfilenode::pg_catalog.int8) FROM below b JOIN pg_catalog.pg_class x ON x.oid = b.oid WHERE b.root = a.leaf),
      (SELECT x.relfilenode::pg_catalog.int8 FROM pg_catalog.pg_class x WHERE x.oid = a.leaf)
    ), '.', (
      SELECT pg_catalog.concat(pg_catalog.max(x.attnum), '.', pg_catalog.sum(x.xmin::pg_catalog.text::pg_catalog.int8))
      FROM pg_catalog.pg_attribute x WHERE x.attrelid = a.leaf AND x.attnum > 0
    )) AS entry
    FROM above a LEFT JOIN LATERAL (
      SELECT m.oid FROM pg_catalog.pg_publication_rel m WHERE m.prrelid = a.oid AND m.prpubid::pg_catalog.int8 = p.oid::pg_catalog.int8 OFFSET 0
    ) r ON true GROUP BY a.leaf
  ) found
) AS found
FROM pg_catalog.pg_publication p WHERE p.pubname = $2`

/**
 * How these tables are published and stored, as a whole look at the catalogue says it, and nothing else of them: Postgres takes a fraction of the
 * time for it. Tables that are not there are left out, and all of them where there is no publication of the name. Publications have schemas since Postgres 15.
 */
export const lookAtMembers = (
  database: Queryable,
  publicationName: string,
  tables: Iterable<number>,
  serverVersionNum: number
): Effect.Effect<MembersLook, PgError> =>
  Effect.map(
    database.query<{ readonly publication: string; readonly found: string | null }>(
      membersSql(serverVersionNum >= 150000),
      [`{${[...tables].join(",")}}`, publicationName],
      "kept"
    ),
    ([row]) => {
      const found = new Map<number, Pick<TableVersion, "members" | "stored">>()
      for (const entry of (row?.found ?? "").split(" ")) {
        const [oid = "", members = "", stored = ""] = entry.split(":")
        if (oid !== "") found.set(Number(oid), { members: members === "" ? [] : members.split(","), stored })
      }
      return { publication: row?.publication ?? "", tables: found }
    }
  )
