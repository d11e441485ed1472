import { Context, Effect, Schema, Semaphore } from "effect"
import * as queries from "./queries.ts"
import {
  TypeCatalogue,
  type CastEntry,
  type CollationEntry,
  type FunctionEntry,
  type OperatorEntry,
  type TypeEntry
} from "./TypeCatalogue.ts"

/** The catalogue could not be read; `cause` is the query's own error. Heals when the database answers again. */
export class CatalogueUnavailable extends Schema.TaggedError<CatalogueUnavailable>()("CatalogueUnavailable", {
  message: Schema.String,
  cause: Schema.Defect()
}) {}

/** Runs one parameterless query and returns its rows; any driver fits. */
export type CatalogueQuery = (
  sql: string
) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, unknown>

/** The type catalogue of the database that shapes are read from. */
export class Catalogue extends Context.Service<
  Catalogue,
  {
    /** The catalogue as of the last load; the first call loads it. */
    readonly get: Effect.Effect<TypeCatalogue, CatalogueUnavailable>
    /** Loads again, for names that were created after the last load. Concurrent calls share one load. */
    readonly reload: Effect.Effect<TypeCatalogue, CatalogueUnavailable>
  }
>()("baton/where/Catalogue") {}

interface Settings {
  readonly serverVersion: number
  readonly searchPath: ReadonlyArray<string>
  readonly encoding: string
  readonly provider: string
  readonly locale: string
}

/** Reads all of the catalogue that clauses need: six queries, some hundred milliseconds at most. */
export const loadTypeCatalogue = (
  query: CatalogueQuery
): Effect.Effect<TypeCatalogue, CatalogueUnavailable> => {
  const list = <A>(sql: string): Effect.Effect<ReadonlyArray<A>, CatalogueUnavailable> =>
    query(sql).pipe(
      Effect.map((rows) => JSON.parse(String(rows[0]?.["payload"] ?? "[]")) as ReadonlyArray<A>),
      Effect.mapError(
        (cause) =>
          new CatalogueUnavailable({
            message:
              "The type catalogue could not be read from the database. It is tried again with the next request.",
            cause
          })
      )
    )
  return Effect.gen(function* () {
    const settings = (yield* list<Settings>(queries.settingsQuery))[0]
    const types = yield* list<TypeEntry>(queries.typesQuery)
    const operators = yield* list<OperatorEntry>(queries.operatorsQuery)
    const functions = yield* list<FunctionEntry>(queries.functionsQuery)
    const casts = yield* list<CastEntry>(queries.castsQuery)
    const collations = yield* list<CollationEntry>(queries.collationsQuery)
    return new TypeCatalogue({
      serverVersion: settings?.serverVersion ?? 0,
      searchPath: settings?.searchPath ?? ["pg_catalog"],
      encoding: settings?.encoding ?? "UTF8",
      defaultCollation: { provider: settings?.provider ?? "c", locale: settings?.locale ?? "" },
      types,
      operators,
      functions,
      casts,
      collations
    })
  })
}

/** A `Catalogue` over a query function: loads lazily, remembers, and never runs two loads at once. */
export const makeTypeCatalogue = Effect.fnUntraced(function* (query: CatalogueQuery) {
  const lock = yield* Semaphore.make(1)
  let current: TypeCatalogue | undefined
  let loads = 0
  const load = Effect.map(loadTypeCatalogue(query), (loaded) => {
    current = loaded
    loads++
    return loaded
  })
  const get = Effect.suspend(() =>
    current !== undefined
      ? Effect.succeed(current)
      : lock.withPermits(1)(Effect.suspend(() => (current === undefined ? load : Effect.succeed(current))))
  )
  const reload = Effect.suspend(() => {
    const seen = loads
    return lock.withPermits(1)(
      Effect.suspend(() => (current !== undefined && loads > seen ? Effect.succeed(current) : load))
    )
  })
  return Catalogue.of({ get, reload })
})
