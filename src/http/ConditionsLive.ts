import { Effect, Layer, Result } from "effect"
import { Config } from "../config/BatonConfig.ts"
import type { TableInfo } from "../postgres/TableInfo.ts"
import {
  Catalogue,
  type CompiledWhere,
  compileOrderBy,
  compileWhere,
  loadParser,
  type TypeCatalogue,
  type WhereError
} from "../where/index.ts"
import {
  type CatalogueUnavailable,
  catalogueUnavailable,
  conditionRefused,
  Conditions
} from "./Conditions.ts"

/** Conditions by the expression engine of `src/where`. */
export const conditionsLayer: Layer.Layer<Conditions, never, Catalogue | Config> = Layer.effect(
  Conditions,
  Effect.gen(function* () {
    const catalogue = yield* Catalogue
    const { limits } = yield* Config

    /** A name that is not known may be younger than the catalogue: it is read again once. */
    const compile = <A>(
      run: (types: TypeCatalogue) => Result.Result<A, WhereError>
    ): Effect.Effect<A, ReturnType<typeof conditionRefused> | CatalogueUnavailable> =>
      Effect.gen(function* () {
        // The parser takes memory that a service without conditions never needs.
        yield* loadParser
        const first = run(yield* Effect.mapError(catalogue.get, () => catalogueUnavailable))
        if (Result.isSuccess(first)) return first.success
        const error = first.failure
        const second = error.unknownName
          ? run(yield* Effect.mapError(catalogue.reload, () => catalogueUnavailable))
          : first
        if (Result.isSuccess(second)) return second.success
        return yield* Effect.fail(conditionRefused(second.failure.parameter, second.failure.message))
      })

    const where = (
      table: TableInfo,
      sql: string,
      params: Readonly<Record<string, string>>,
      more: { readonly queryableColumns?: ReadonlyArray<string>; readonly onlyInQueries?: boolean } = {}
    ): Effect.Effect<CompiledWhere, ReturnType<typeof conditionRefused> | CatalogueUnavailable> =>
      compile((types) => compileWhere({ sql, params, table, catalogue: types, limits, ...more }))

    return Conditions.of({
      where,
      renew: Effect.ignore(catalogue.reload),
      subset: (table, queryable, subset) =>
        Effect.gen(function* () {
          const condition =
            subset.where === undefined
              ? undefined
              : yield* where(table, subset.where, subset.params, {
                  queryableColumns: queryable,
                  onlyInQueries: true
                })
          const { orderBy } = subset
          const order =
            orderBy === undefined
              ? undefined
              : yield* compile(() => compileOrderBy(orderBy, table, queryable, limits))
          return { where: condition, orderBy: order, limit: subset.limit, offset: subset.offset }
        })
    })
  })
)
