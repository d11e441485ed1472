import { Context, Effect, Schema } from "effect"
import { makeFreshLook, SingleFlight } from "../../shared/Coalesce.ts"
import * as queries from "./CatalogueQueries.ts"
import {
  TypeCatalogue,
  type CastEntry,
  type CatalogueData,
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
    /**
     * The catalogue as of the last load; the first call loads it. What an earlier run has loaded stands in for it as long
     * as the database cannot be asked.
     */
    readonly get: Effect.Effect<TypeCatalogue, CatalogueUnavailable>
    /** The catalogue if it was loaded in this process. */
    readonly loaded: () => TypeCatalogue | undefined
    /** Loads again. Concurrent calls share one load. */
    readonly reload: Effect.Effect<TypeCatalogue, CatalogueUnavailable>
    /**
     * The catalogue as it is now, for what `get` does not know: asks whether anything has changed (some milliseconds, ten
     * times a second at most, for all who ask at once), and loads again if so. The object that `get` gives otherwise.
     */
    readonly renewed: Effect.Effect<TypeCatalogue, CatalogueUnavailable>
  }
>()("baton/where/Catalogue") {}

interface Settings {
  readonly serverVersion: number
  readonly searchPath: ReadonlyArray<string>
  readonly encoding: string
  readonly provider: string
  readonly locale: string
}

const list = <A>(query: CatalogueQuery, sql: string): Effect.Effect<ReadonlyArray<A>, CatalogueUnavailable> =>
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

const versionOf = (query: CatalogueQuery): Effect.Effect<string | undefined, CatalogueUnavailable> =>
  Effect.map(list<string>(query, queries.versionQuery), ([version]) => version)

/** Reads all of the catalogue that clauses need: seven queries, some hundred milliseconds at most. */
export const loadTypeCatalogue = (
  query: CatalogueQuery
): Effect.Effect<TypeCatalogue, CatalogueUnavailable> =>
  Effect.gen(function* () {
    // First: what changes while the rest is read shows at the next look.
    const version = yield* versionOf(query)
    const settings = (yield* list<Settings>(query, queries.settingsQuery))[0]
    const types = yield* list<TypeEntry>(query, queries.typesQuery)
    const operators = yield* list<OperatorEntry>(query, queries.operatorsQuery)
    const functions = yield* list<FunctionEntry>(query, queries.functionsQuery)
    const casts = yield* list<CastEntry>(query, queries.castsQuery)
    const collations = yield* list<CollationEntry>(query, queries.collationsQuery)
    return new TypeCatalogue({
      ...(version === undefined ? {} : { version }),
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

/** Between two looks whether the catalogue has changed. */
const lookSpacingMillis = 100

/** How long the catalogue is waited for when one from before can stand in for it. */
const patienceMillis = 2000

/**
 * A `Catalogue` over a query function: loads lazily, remembers, and never runs two loads at once. `earlier` gives the data
 * of a catalogue that was loaded before this process began, if there is any.
 */
export const makeTypeCatalogue = (
  query: CatalogueQuery,
  earlier: Effect.Effect<unknown> = Effect.succeed(undefined)
): Effect.Effect<Catalogue["Service"]> =>
  Effect.sync(() => {
    let current: TypeCatalogue | undefined
    const loads = new SingleFlight<TypeCatalogue, CatalogueUnavailable>()
    const loading = Effect.tap(loadTypeCatalogue(query), (loaded) =>
      Effect.sync(() => {
        current = loaded
      })
    )
    /** A caller that does not wait for the end of it leaves it to the next one. */
    const load = Effect.map(loads.join("", loading), ({ value }) => value)
    let recalled: { readonly from: unknown; readonly catalogue: TypeCatalogue } | undefined
    const recall = Effect.map(earlier, (data) => {
      if (data === undefined) return undefined
      // Written by `loaded` of an earlier run, and not read at all when it is damaged.
      if (recalled?.from !== data)
        recalled = { from: data, catalogue: new TypeCatalogue(data as CatalogueData) }
      return recalled.catalogue
    })
    const get = Effect.suspend(() => {
      if (current !== undefined) return Effect.succeed(current)
      const asked = Effect.catch(load, (error) =>
        Effect.flatMap(recall, (known) => (known === undefined ? Effect.fail(error) : Effect.succeed(known)))
      )
      const impatient = Effect.andThen(
        Effect.sleep(patienceMillis),
        Effect.flatMap(recall, (known) => (known === undefined ? Effect.never : Effect.succeed(known)))
      )
      return Effect.raceFirst(asked, impatient)
    })
    const renewed = makeFreshLook(
      Effect.flatMap(versionOf(query), (version) =>
        current !== undefined && version !== undefined && version === current.data.version
          ? Effect.succeed(current)
          : load
      ),
      lookSpacingMillis
    )
    return Catalogue.of({ get, loaded: () => current, reload: load, renewed })
  })
