import { Effect } from "effect"
import type { PgError } from "../errors/PgError.ts"
import type { Queryable } from "../connection/SessionPool.ts"
import { changedSql, lookSql, mostSentAlways, snapshotSql } from "./CatalogueSql.ts"
import { mayHaveOtherValues, type StoredForm } from "./RewriteLook.ts"

/** What the catalogue says of a table, as far as shapes depend on it: equal as long as nobody has altered anything. */
export interface TableVersion {
  readonly definition: string
  /** Rows of the catalogue by which the publication has the table: a table that leaves and comes back has others. */
  readonly members: ReadonlyArray<string>
  readonly stored: StoredForm
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

/**
 * Texts of `oid:version` with blanks in between. Of tables a third part is their file, and a fourth says that the publication has their schema;
 * of columns it is the highest number, and of trees the sum of their files.
 */
interface LookRow extends Record<
  "around" | "columns" | "keys" | "members" | "tables" | "trees",
  string | null
> {
  readonly snapshot: string
  readonly version: string
  readonly types: string | null
  readonly publication: string | null
}

const entriesOf = (text: string | null): ReadonlyArray<ReadonlyArray<string>> =>
  text === null || text === "" ? [] : text.split(" ").map((entry) => entry.split(":"))

const partsOf = (text: string | null): ReadonlyMap<string, ReadonlyArray<string>> =>
  new Map(entriesOf(text).map(([oid = "", ...parts]) => [oid, parts]))

/** Joined here: Postgres does not know how many tables there will be, and would compare each with each. */
const parseLook = (row: LookRow): CatalogueLook => {
  const columns = partsOf(row.columns)
  const keys = partsOf(row.keys)
  const trees = partsOf(row.trees)
  const members = partsOf(row.members)
  const tables = new Map<number, TableVersion>()
  for (const [oid = "", own = "", file = "", schema = ""] of entriesOf(row.tables)) {
    const [named = ""] = members.get(oid) ?? []
    const [version = "", highest = ""] = columns.get(oid) ?? []
    const [key = ""] = keys.get(oid) ?? []
    const [tree = "", files = file] = trees.get(oid) ?? []
    tables.set(Number(oid), {
      definition: [own, version, key, tree].join("/"),
      members: [...(named === "" ? [] : named.split(",")), ...(schema === "" ? [] : [schema])],
      stored: `${files}.${highest}.${version}`
    })
  }
  const publication = row.publication ?? ""
  return {
    snapshot: row.snapshot,
    version: row.version,
    around: (row.around ?? "").split(",").filter(Boolean).map(Number),
    tables,
    types: new Map(entriesOf(row.types).map(([oid, rows = ""]) => [Number(oid), rows])),
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
    // So many OIDs are only sent when there is a reason to.
    if (before !== undefined && at.tables.length > mostSentAlways) {
      const [now] = yield* database.query<{ readonly snapshot: string }>(snapshotSql, [], "kept")
      if (now?.snapshot === before.snapshot) return before
    }
    if (before !== undefined) {
      const [now] = yield* database.query<{ readonly snapshot: string; readonly version: string | null }>(
        changedSql(hasTypes, hasSchemas),
        [
          tables,
          at.publicationName,
          `{${before.around.join(",")}}`,
          before.snapshot,
          ...(hasTypes ? [types] : [])
        ],
        "kept"
      )
      if (now !== undefined && (now.version === null || now.version === before.version))
        return { ...before, snapshot: now.snapshot }
    }
    const [row] = yield* database.query<LookRow>(
      lookSql(hasTypes, hasSchemas),
      [tables, at.publicationName, types],
      "kept"
    )
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
  /** Tables whose rows may have got other values, of which no change tells, with how they were stored before. */
  readonly rewritten: ReadonlyMap<number, StoredForm>
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

/** What tables were like then. */
export interface KnownTables extends KnownPublished {
  /** How the rows of the table were stored when shapes had all of their values; `undefined` when it is not known. */
  readonly storedOf: (oid: number) => StoredForm | undefined
}

const asOf = (look: CatalogueLook | undefined): KnownTables => ({
  publication: look?.publication ?? "",
  membersOf: (oid) => look?.tables.get(oid)?.members,
  storedOf: (oid) => look?.tables.get(oid)?.stored
})

/**
 * What has happened between two looks. Whatever was not in the first one counts as changed; what is published of it is
 * compared with what is known from before.
 */
export const newsBetween = (
  before: CatalogueLook | undefined,
  now: CatalogueLook,
  at: LookedAt,
  known: KnownTables = asOf(before)
): CatalogueNews => {
  const tables = new Set<number>()
  const unpublished = new Set<number>()
  const rewritten = new Map<number, StoredForm>()
  let altered = false
  for (const oid of at.tables) {
    const was = before?.tables.get(oid)
    const is = now.tables.get(oid)
    if (was === undefined || is === undefined || was.definition !== is.definition) tables.add(oid)
    if (was !== undefined && was.definition !== is?.definition) altered = true
    const stored = known.storedOf(oid)
    if (is !== undefined && stored !== undefined && mayHaveOtherValues(stored, is.stored))
      rewritten.set(oid, stored)
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
    rewritten,
    publicationAltered: known.publication !== "" && known.publication !== now.publication,
    publicationIsComplete: now.isComplete
  }
}
