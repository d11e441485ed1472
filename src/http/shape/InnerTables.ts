import { Effect } from "effect"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import { couldBeName, tableDoesNotExist, type TableName } from "../../postgres/Identifiers.ts"
import {
  type CatalogueUnavailable,
  catalogueUnavailable,
  type ConditionRefused,
  conditionRefused
} from "./Conditions.ts"
import type { Facts } from "./OnFreshFacts.ts"

type Lookup = Pick<Inspector["Service"], "table" | "tableNow" | "whyAbsent" | "remembered" | "isFresh">

/** The tables that sub-selects of conditions name, as the catalogue has them. */
export class InnerTables {
  private readonly lookup: Lookup
  private readonly tellOperator: (error: PgError) => Effect.Effect<void>

  constructor(lookup: Lookup, tellOperator: (error: PgError) => Effect.Effect<void>) {
    this.lookup = lookup
    this.tellOperator = tellOperator
  }

  /** Refused, but not for good, where there is none that its rows could be followed of. */
  find(facts: Facts, name: TableName): Effect.Effect<TableInfo, ConditionRefused | CatalogueUnavailable> {
    if (!couldBeName(name.schema) || !couldBeName(name.name)) return absent(tableDoesNotExist(name))
    return Effect.matchEffect(this.ask(facts, name), {
      onFailure: (error) => Effect.andThen(this.tellOperator(error), Effect.fail(catalogueUnavailable)),
      onSuccess: (table) =>
        table !== undefined && table.columns.length > 0 ? Effect.succeed(table) : this.refuse(name)
    })
  }

  /** Afterwards what is remembered of these tables is what there is, as far as the catalogue could be asked. */
  lookAt(facts: Facts, tables: ReadonlyArray<TableInfo>): Effect.Effect<void> {
    const inDoubt = tables.filter(({ oid }) => facts !== "remembered" || !this.lookup.isFresh(oid))
    return Effect.forEach(inDoubt, (table) => Effect.ignore(this.ask(facts, table)), { discard: true })
  }

  /** The descriptions are those that are remembered now, and not in question. */
  areFresh(tables: ReadonlyArray<TableInfo>): boolean {
    return this.areSame(tables) && tables.every(({ oid }) => this.lookup.isFresh(oid))
  }

  areSame(tables: ReadonlyArray<TableInfo>): boolean {
    return tables.every((table) => this.lookup.remembered(table.schema, table.name) === table)
  }

  private ask(facts: Facts, { name, schema }: TableName): Effect.Effect<TableInfo | undefined, PgError> {
    return facts === "remembered" ? this.lookup.table(schema, name) : this.lookup.tableNow(schema, name)
  }

  private refuse(name: TableName): Effect.Effect<never, ConditionRefused> {
    return Effect.flatMap(
      Effect.catch(this.lookup.whyAbsent(name.schema, name.name), () => Effect.undefined),
      (reason) => absent(reason === undefined ? tableDoesNotExist(name) : `${reason} ${alsoInside}`)
    )
  }
}

const alsoInside = "The same holds for tables that sub-selects of the where clause name."

const absent = (message: string) => Effect.fail(conditionRefused("table", message, false))
