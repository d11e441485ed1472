import { Context, Effect, Layer } from "effect"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { TableName } from "../../postgres/Identifiers.ts"
import type { SubsetQuery } from "../../registry/subset/SubsetReader.ts"
import type { WhereClause } from "../../where/WhereClause.ts"
import type { SubsetParams } from "../request/SubsetParams.ts"

/** Why a condition is refused: the parameter that is at fault and the text for it. */
export interface ConditionRefused {
  readonly _tag: "ConditionRefused"
  /** `where`, `params`, `order_by`; `table` when a sub-select names a table that does not exist. */
  readonly parameter: string
  readonly message: string
  /** No newer description of the table could make it right. */
  readonly final: boolean
  /** What else is refused: the order of a subset, beside its condition. */
  readonly also?: ConditionRefused
}

/** The catalogue had to be asked and could not. */
export interface CatalogueUnavailable {
  readonly _tag: "CatalogueUnavailable"
}

export const conditionRefused = (parameter: string, message: string, final = true): ConditionRefused => ({
  _tag: "ConditionRefused",
  parameter,
  message,
  final
})

export const catalogueUnavailable: CatalogueUnavailable = { _tag: "CatalogueUnavailable" }

/**
 * The table that a sub-select names, as the request's facts have it. Refuses names for which there is none to make shapes of.
 */
export type FindTable = (name: TableName) => Effect.Effect<TableInfo, ConditionRefused | CatalogueUnavailable>

/** Turns the SQL of requests into checked conditions; what stands between this folder and `src/where`. */
export class Conditions extends Context.Service<
  Conditions,
  {
    readonly where: (
      table: TableInfo,
      sql: string,
      params: Readonly<Record<string, string>>,
      /** Asked for each table that sub-selects of the condition name. */
      findTable: FindTable
    ) => Effect.Effect<WhereClause, ConditionRefused | CatalogueUnavailable>
    /** Makes sure that types, functions and operators are known as they are now. Does nothing while that cannot be asked. */
    readonly renew?: Effect.Effect<void>
    /**
     * The same, and whatever else takes much longer the first time that a condition is checked. For an instance that may be asked to
     * at any moment, and is not yet.
     */
    readonly keepReady?: Effect.Effect<void>
    /** `queryable`: the only columns that condition and order may name. */
    readonly subset: (
      table: TableInfo,
      queryable: ReadonlyArray<string>,
      subset: SubsetParams
    ) => Effect.Effect<SubsetQuery, ConditionRefused | CatalogueUnavailable>
  }
>()("baton/http/Conditions") {
  /** A service without an expression engine: whole tables only. */
  static readonly layerNone = Layer.succeed(Conditions, {
    where: () => Effect.fail(conditionRefused("where", "is not supported by this service")),
    subset: (_table, _queryable, subset) =>
      subset.where !== undefined
        ? Effect.fail(conditionRefused("where", "is not supported by this service"))
        : subset.orderBy !== undefined
          ? Effect.fail(conditionRefused("order_by", "is not supported by this service"))
          : Effect.succeed({ where: undefined, orderBy: undefined, limit: undefined, offset: undefined })
  })
}
