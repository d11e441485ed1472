import { Effect } from "effect"
import {
  type CatalogueLook,
  type CatalogueNews,
  type LookedAt,
  lookAtCatalogue,
  newsBetween
} from "../../postgres/catalogue/CatalogueLook.ts"
import { alteredAmong } from "../../postgres/catalogue/RewriteLook.ts"
import { lookAtObjects } from "../../postgres/ObjectLook.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Queryable } from "../../postgres/connection/SessionPool.ts"
import type { Timers } from "../../shared/Timers.ts"
import type { StorageFault } from "../../storage/disk/DiskFault.ts"
import type { NotWriting } from "../../storage/NotWriting.ts"
import type { CatalogueRecord } from "./CatalogueRecord.ts"

/**
 * Looks take at most this share of the time: with thousands of tables they are further apart. Two in a row must have taken
 * long for that: on a busy machine one may just have waited for its turn.
 */
const shareOfTime = 1 / 20

const sameItems = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a === b || (a.length === b.length && a.every((item, i) => item === b[i]))

/**
 * Looks at the catalogue at once and then every `everyMillis`, whether the tables in use, the types that they use, and what
 * is published of them are still what they were: so whatever is altered is noticed within seconds and without any write.
 * Costs one small query, as long as nothing is altered; the full comparison follows for tables that are new here or
 * altered. Looks at nothing while there are no tables. Never ends; while the database cannot be asked it waits for the
 * next round.
 */
export const watchTables = (options: {
  readonly everyMillis: number
  readonly admin: Queryable
  readonly timers: Pick<Timers, "nowMillis">
  readonly publicationName: string
  readonly serverVersionNum: () => number
  /** How tables were published before: what is found is compared with it, and stands in it afterwards. */
  readonly record: CatalogueRecord
  /** In order. */
  readonly tables: () => ReadonlyArray<number>
  /** OIDs of types, each with the tables that use it. */
  readonly types: () => ReadonlyMap<number, ReadonlyArray<number>>
  /** What conditions use besides; see `WhereClause.uses`. */
  readonly usedObjects: () => ReadonlyArray<string>
  /** Told which of these are not what they were. As `found`. */
  readonly alteredObjects: (keys: ReadonlyArray<string>) => Effect.Effect<unknown, NotWriting | StorageFault>
  /** Whether shapes that this table concerns are still being compared with the database. */
  readonly isBeingCompared: (oid: number) => boolean
  /** Told what a look has found, if it found anything. Succeeds when that is taken care of: it is told again otherwise. */
  readonly found: (news: CatalogueNews) => Effect.Effect<unknown, PgError | NotWriting | StorageFault>
}): Effect.Effect<never> =>
  Effect.gen(function* () {
    let before: { readonly at: LookedAt; readonly look: CatalogueLook } | undefined
    let pauseMillis = 0
    let tookBeforeMillis = 0
    for (; ; yield* Effect.sleep(pauseMillis)) {
      pauseMillis = options.everyMillis
      const tables = options.tables()
      if (tables.length === 0) {
        before = undefined
        continue
      }
      const users = options.types()
      const at: LookedAt = {
        publicationName: options.publicationName,
        tables,
        types: [...users.keys()].toSorted((a, b) => a - b)
      }
      const alike =
        before !== undefined && sameItems(before.at.tables, at.tables) && sameItems(before.at.types, at.types)
      const began = options.timers.nowMillis()
      const round = Effect.gen(function* () {
        const look = yield* lookAtCatalogue(
          options.admin,
          at,
          options.serverVersionNum(),
          alike ? before?.look : undefined
        )
        yield* options.record.compared(options.isBeingCompared)
        const tookMillis = options.timers.nowMillis() - began
        pauseMillis = Math.max(pauseMillis, Math.min(tookMillis, tookBeforeMillis) / shareOfTime)
        tookBeforeMillis = tookMillis
        // Its tables are the same object where nothing has changed.
        if (look.tables !== before?.look.tables) {
          const changed = newsBetween(before?.look, look, at, options.record)
          const news = yield* withRewritten(options.admin, withTablesOf(changed, users))
          if (news.publicationAltered || news.tables.size + news.unpublished.size > 0)
            yield* options.found(news)
          const keys = options.usedObjects()
          const objects = yield* lookAtObjects(options.admin, keys, options.serverVersionNum())
          const altered = options.record.altered(objects)
          if (altered.length > 0) yield* options.alteredObjects(altered)
          yield* options.record.replace(look, objects, news.rewritten.keys())
        }
        before = { at, look }
      })
      yield* Effect.catch(round, (error) =>
        Effect.logDebug(`Tables are not watched at the moment: ${error.message}`)
      )
    }
  })

/** A column that was added, with a default for which the table was written anew, leaves other values alone. */
const withRewritten = (admin: Queryable, news: CatalogueNews): Effect.Effect<CatalogueNews, PgError> =>
  Effect.map(alteredAmong(admin, news.rewritten), (altered) => ({
    ...news,
    rewritten: new Map([...news.rewritten].filter(([oid]) => altered.has(oid)))
  }))

/** A table is in doubt with the types of its columns. */
const withTablesOf = (
  news: CatalogueNews,
  users: ReadonlyMap<number, ReadonlyArray<number>>
): CatalogueNews => {
  if (news.types.size === 0) return news
  const tables = new Set(news.tables)
  for (const type of news.types) for (const oid of users.get(type) ?? []) tables.add(oid)
  return { ...news, tables }
}
