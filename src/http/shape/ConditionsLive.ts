import { Effect, Layer, Result } from "effect"
import { Config } from "../../config/BatonConfig.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import {
  Catalogue,
  CompileAside,
  type CompiledWhere,
  compileOrderBy,
  loadParser,
  type NamedTable,
  practiceRequest,
  tableKey,
  type TypeCatalogue,
  type WhereError,
  type WhereRequest
} from "../../where/index.ts"
import {
  type CatalogueUnavailable,
  catalogueUnavailable,
  type ConditionRefused,
  conditionRefused,
  Conditions
} from "./Conditions.ts"

/** Values of stored generated columns can be in the stream. */
const generatedColumnsSince = 180000

/** In which tables without a schema are, as everywhere in the API. */
const defaultSchema = "public"

/** What a subset may name is what the shape's queryable columns are: of other tables nobody has said anything. */
const withoutTables = (
  named: Effect.Effect<ReadonlyArray<NamedTable>, ConditionRefused>
): Effect.Effect<void, ConditionRefused> =>
  Effect.flatMap(named, ([table]) =>
    table === undefined
      ? Effect.void
      : Effect.fail(
          conditionRefused(
            "where",
            "the condition of a subset must not have a sub-select: it stands in the where clause of the shape, whose rows " +
              "the subset is taken of"
          )
        )
  )

/** Does nothing while the database cannot be asked: the first condition waits then. */
const makeKeepReady = (catalogue: Catalogue["Service"], aside: CompileAside): Effect.Effect<void> =>
  Effect.gen(function* () {
    const known = catalogue.loaded()
    const now = yield* catalogue.renewed
    if (now !== known) yield* aside.compile(practiceRequest(now))
  }).pipe(Effect.ignore)

/** Conditions by the expression engine of `src/where`. */
export const conditionsLayer: Layer.Layer<Conditions, never, Catalogue | Config> = Layer.effect(
  Conditions,
  Effect.gen(function* () {
    const catalogue = yield* Catalogue
    const { limits } = yield* Config
    const aside = yield* CompileAside.make

    /**
     * What the catalogue of the last look does not know, or knows otherwise, may be younger: nothing is refused before it
     * was made sure that nothing has changed.
     */
    const compile = <A>(
      run: (types: TypeCatalogue) => Effect.Effect<Result.Result<A, WhereError>>
    ): Effect.Effect<A, ConditionRefused | CatalogueUnavailable> =>
      Effect.gen(function* () {
        const known = yield* Effect.mapError(catalogue.get, () => catalogueUnavailable)
        let result = yield* run(known)
        if (Result.isFailure(result) && !result.failure.final) {
          const now = yield* Effect.mapError(catalogue.renewed, () => catalogueUnavailable)
          if (now !== known) result = yield* run(now)
        }
        if (Result.isSuccess(result)) return result.success
        const { final, message, parameter } = result.failure
        return yield* Effect.fail(conditionRefused(parameter, message, final))
      })

    const named = (sql: string) =>
      Effect.flatMap(aside.tables(sql, limits), (found) =>
        Result.isSuccess(found)
          ? Effect.succeed(found.success)
          : Effect.fail(conditionRefused(found.failure.parameter, found.failure.message))
      )

    const where = (
      table: TableInfo,
      sql: string,
      params: Readonly<Record<string, string>>,
      more: Pick<WhereRequest, "queryableColumns" | "onlyInQueries" | "tables"> = {}
    ): Effect.Effect<CompiledWhere, ConditionRefused | CatalogueUnavailable> =>
      compile((types) =>
        aside.compile({
          sql,
          params,
          table,
          catalogue: types,
          limits,
          // The publication is looked at when the shape is made, and sees to it if it may.
          generatedColumnsReplicated: types.serverVersion >= generatedColumnsSince,
          ...more
        })
      )

    return Conditions.of({
      where: (table, sql, params, findTable) =>
        Effect.gen(function* () {
          const tables = new Map<string, TableInfo>()
          for (const { name, schema = defaultSchema } of yield* named(sql)) {
            const found = yield* findTable({ schema, name })
            tables.set(tableKey({ schema, name }), found)
          }
          return yield* where(table, sql, params, tables.size === 0 ? {} : { tables })
        }),
      renew: Effect.ignore(catalogue.renewed),
      keepReady: makeKeepReady(catalogue, aside),
      subset: (table, queryable, subset) =>
        Effect.gen(function* () {
          const condition = yield* Effect.result(
            subset.where === undefined
              ? Effect.undefined
              : Effect.andThen(
                  withoutTables(named(subset.where)),
                  where(table, subset.where, subset.params, {
                    queryableColumns: queryable,
                    onlyInQueries: true
                  })
                )
          )
          const { orderBy } = subset
          const order = yield* Effect.result(
            orderBy === undefined
              ? Effect.undefined
              : compile(() => Effect.map(loadParser, () => compileOrderBy(orderBy, table, queryable, limits)))
          )
          if (Result.isFailure(condition)) {
            const refused = condition.failure
            if (refused._tag !== "ConditionRefused" || Result.isSuccess(order))
              return yield* Effect.fail(refused)
            const also = order.failure
            if (also._tag !== "ConditionRefused") return yield* Effect.fail(also)
            return yield* Effect.fail({ ...refused, final: refused.final && also.final, also })
          }
          if (Result.isFailure(order)) return yield* Effect.fail(order.failure)
          return {
            where: condition.success,
            orderBy: order.success,
            limit: subset.limit,
            offset: subset.offset
          }
        })
    })
  })
)
