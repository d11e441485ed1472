import { quoteLiteral } from "../Identifiers.ts"
import type { KnownPublished } from "./CatalogueLook.ts"

/** What a publication has, by the identities of the rows of the catalogue that say it, as `CatalogueLook` has them. */
export interface Published {
  /** Empty when there is none of that name. */
  readonly publication: string
  /** It carries all operations. */
  readonly isComplete: boolean
  readonly members: ReadonlySet<string>
}

/** One row, as in `PublishedRow`, or none. */
const sqlOf = (name: string, hasSchemas: boolean): string => `
SELECT pg_catalog.concat(p.oid, '/', p.xmin, ':', p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate) AS publication,
  pg_catalog.concat_ws(',',
    (SELECT pg_catalog.string_agg(r.oid::pg_catalog.text, ',') FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid)${
      hasSchemas
        ? `,
    (SELECT pg_catalog.string_agg(pg_catalog.concat('s', s.oid), ',')
      FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid)`
        : ""
    }
  ) AS members
FROM pg_catalog.pg_publication p WHERE p.pubname = ${quoteLiteral(name)}`

export interface PublishedRow {
  readonly publication: string
  readonly members: string
}

/**
 * One small statement without parameters, whatever tables there are: without their definitions, a whole look costs many times as
 * much. Publications have schemas since Postgres 15.
 */
export const publishedSql = (publicationName: string, serverVersionNum: number): string =>
  sqlOf(publicationName, serverVersionNum >= 150000)

/** What the statement has answered; it gives no row where there is no publication of the name. */
export const publishedIn = (row: PublishedRow | undefined): Published => ({
  publication: row?.publication ?? "",
  isComplete: row?.publication.endsWith(":t") ?? false,
  members: new Set(row === undefined || row.members === "" ? [] : row.members.split(","))
})

interface NamedTable {
  readonly oid: number
  readonly schema: string
  readonly name: string
}

/** How tables were published before a look at the publication began. */
export interface PublishedBefore {
  readonly publication: string
  readonly tables: ReadonlyArray<{
    readonly oid: number
    readonly name: string
    readonly members: ReadonlyArray<string>
  }>
}

/**
 * To be taken down before the look: what is known goes on, and of a table that was published meanwhile an older look would show
 * that it is not.
 */
export const publishedBefore = (known: KnownPublished, tables: Iterable<NamedTable>): PublishedBefore => ({
  publication: known.publication,
  tables: Array.from(tables, ({ name, oid, schema }) => ({
    oid,
    name: `${schema}.${name}`,
    members: known.membersOf(oid) ?? []
  }))
})

const named = 5

/** A table whose rows of the catalogue have all gone, whatever has come instead: it was not published for some time, or is gone itself. */
export type LostTable = PublishedBefore["tables"][number]

export const lostBetween = (before: PublishedBefore, now: Published): ReadonlyArray<LostTable> =>
  now.publication === ""
    ? []
    : before.tables.filter(
        ({ members }) => members.length > 0 && !members.some((member) => now.members.has(member))
      )

/** Gives those of the tables that are there, as `oid`. */
export const presentSql = (tables: ReadonlyArray<LostTable>): string =>
  `SELECT c.oid::pg_catalog.text AS oid FROM pg_catalog.pg_class c WHERE c.oid IN (${tables.map(({ oid }) => oid).join(", ")})`

/**
 * What changes may be missing, for operators, and `undefined` if none. `lost` are tables that were not published for some time, and are
 * there. A publication that lacks operations now is left to its watch, which mends it first.
 */
export const missedBetween = (
  before: PublishedBefore,
  now: Published,
  lost: ReadonlyArray<LostTable>
): string | undefined => {
  if (now.publication === "") return undefined
  const names = lost.map(({ name }) => name)
  if (names.length > 0)
    return `not published for some time: ${names.slice(0, named).join(", ")}${names.length > named ? `, and ${names.length - named} more` : ""}`
  return isAltered(before, now) && now.isComplete
    ? "the publication was altered, and may have lacked changes for some time"
    : undefined
}

const isAltered = (before: PublishedBefore, now: Published): boolean =>
  before.publication !== "" && before.publication !== now.publication

/** It lacks changes just now, which its watch is about to notice. */
export const lacksChanges = (before: PublishedBefore, now: Published): boolean =>
  isAltered(before, now) && !now.isComplete
