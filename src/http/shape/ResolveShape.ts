import { Effect, Result } from "effect"
import { BoundedMap } from "../../shared/BoundedMap.ts"
import { selectColumns } from "../../postgres/catalogue/ColumnSelection.ts"
import {
  checkColumnNames,
  couldBeName,
  parseColumnList,
  parseTableName,
  tableDoesNotExist,
  type TableName
} from "../../postgres/Identifiers.ts"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import { makeDefinition } from "../../shapes/MakeDefinition.ts"
import { shapeIdentity, type ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import { columnsOf, mayHaveTables } from "../../where/index.ts"
import { notice } from "../../telemetry/Notices.ts"
import type { Conditions, FindTable } from "./Conditions.ts"
import { InnerTables } from "./InnerTables.ts"
import { catalogueUnreadable, invalidRequest, type Failure } from "../reply/Failures.ts"
import { type Facts, type Outdated, outdatedTable } from "./OnFreshFacts.ts"
import type { ShapeSelection } from "../request/ShapeParams.ts"

/** A shape as a request means it, checked against the catalogue. */
export interface ResolvedShape {
  readonly definition: ShapeDefinition
  readonly identity: string
  /** Undefined when only the definition stored with the shape could be asked. */
  readonly table: TableInfo | undefined
  /** Names of the columns that conditions may use. */
  readonly queryable: ReadonlyArray<string>
}

/** What resolving asks of the catalogue. */
type TableLookup = Pick<
  Inspector["Service"],
  "table" | "tableNow" | "whyAbsent" | "remembered" | "isFresh" | "serverVersionNum"
>

/** What all shapes have in common that select alike from one table: made, and held in memory, once. */
interface Selected {
  readonly definition: ShapeDefinition
  readonly queryable: ReadonlyArray<string>
}

interface Cached {
  readonly name: TableName
  readonly resolved: ResolvedShape
  readonly table: TableInfo
  /** Those that sub-selects of the clause name. */
  readonly inner: ReadonlyArray<TableInfo>
}

const cacheSize = 4096
/** Of what is remembered, in characters: conditions may be long. */
const cacheCharacters = 16_000_000
/** Ways to select from one table that are remembered. */
const selectionsPerTable = 256

const one = (parameter: string, message: string): Failure => invalidRequest({ [parameter]: [message] })

const columnNames = (
  parameter: "columns" | "queryable_columns",
  given: string | ReadonlyArray<string> | undefined
): Result.Result<ReadonlyArray<string> | undefined, Failure> => {
  if (given === undefined) return Result.succeed(undefined)
  const names = typeof given === "string" ? parseColumnList(given) : checkColumnNames(given)
  return Result.mapError(names, (message) => one(parameter, message))
}

const sameSet = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((name) => b.includes(name))

/**
 * Whether a shape that exists is what the request means, judged without the catalogue. Only says yes where it is
 * sure; a condition is compared by text that was resolved before, which is the cache's business.
 */
const storedMatches = (
  definition: ShapeDefinition,
  table: TableName,
  columns: ReadonlyArray<string> | undefined,
  selection: ShapeSelection
): boolean =>
  definition.table.schema === table.schema &&
  definition.table.name === table.name &&
  definition.replica === (selection.replica ?? "default") &&
  definition.log === (selection.log ?? "full") &&
  selection.where === undefined &&
  definition.where === undefined &&
  selection.queryable_columns === undefined &&
  (columns === undefined
    ? definition.selectsAllColumns
    : !definition.selectsAllColumns && sameSet(columns, definition.columns))

/**
 * Checks table, columns and condition of requests, in this order, and says which shape they mean. Remembers what
 * it found for as long as the catalogue hands out the same description of the table.
 */
export class ShapeResolver {
  private readonly lookup: TableLookup
  private readonly conditions: Conditions["Service"]
  private readonly inner: InnerTables
  private readonly cache = new BoundedMap<string, Cached>(cacheCharacters, charactersOf)
  private readonly selected = new WeakMap<TableInfo, BoundedMap<string, Selected>>()
  /** The same entries by the object that a parsed request carries: requests with the same text share it. */
  private readonly recent = new WeakMap<ShapeSelection, Cached>()

  /** Why requests were refused on remembered facts, for those that are being looked through again. */
  private readonly refused = new WeakMap<
    ShapeSelection,
    { readonly table: TableInfo; readonly refusal: Failure }
  >()

  constructor(lookup: TableLookup, conditions: Conditions["Service"]) {
    this.lookup = lookup
    this.conditions = conditions
    this.inner = new InnerTables(lookup, (error) => this.tellOperator(error))
  }

  /**
   * `known` is the live shape that the request's handle names, if any: when the catalogue cannot be read, the
   * definition stored with it is enough to go on. Columns and conditions are not refused on remembered facts: the request
   * is `Outdated` then, and to be resolved again. `facts` other than remembered ones are read from the catalogue.
   */
  resolve(
    selection: ShapeSelection,
    known: ShapeDefinition | undefined
  ): Effect.Effect<ResolvedShape, Failure>
  resolve(
    selection: ShapeSelection,
    known: ShapeDefinition | undefined,
    facts: Facts
  ): Effect.Effect<ResolvedShape, Failure | Outdated>
  resolve(
    selection: ShapeSelection,
    known: ShapeDefinition | undefined,
    facts: Facts = "table"
  ): Effect.Effect<ResolvedShape, Failure | Outdated> {
    const recent = this.recent.get(selection)
    if (recent !== undefined) return this.lookUp(selection, recent.name, known, facts)
    if (selection.table === undefined) return Effect.fail(one("table", "can't be blank"))
    const name = parseTableName(selection.table)
    if (Result.isFailure(name)) return Effect.fail(one("table", name.failure))
    const { schema, name: relation } = name.success
    if (!couldBeName(schema) || !couldBeName(relation))
      return Effect.fail(one("table", tableDoesNotExist(name.success)))
    return this.lookUp(selection, name.success, known, facts)
  }

  /** What `resolve` gives for a selection that was resolved before and whose table is not in question. */
  resolveNow(selection: ShapeSelection): ResolvedShape | undefined {
    const known = this.recent.get(selection) ?? this.cache.get(cacheKey(selection))
    if (known === undefined || !this.lookup.isFresh(known.table.oid)) return undefined
    const table = this.lookup.remembered(known.name.schema, known.name.name)
    if (table === undefined || !this.isFresh(known, table)) return undefined
    if (!this.inner.areFresh(known.inner)) return undefined
    this.recent.set(selection, known)
    return known.resolved
  }

  private lookUp(
    selection: ShapeSelection,
    name: TableName,
    known: ShapeDefinition | undefined,
    facts: Facts
  ): Effect.Effect<ResolvedShape, Failure | Outdated> {
    if (facts !== "remembered") return this.lookUpNow(selection, name, known, facts)
    return Effect.matchEffect(this.lookup.table(name.schema, name.name), {
      onFailure: (error) =>
        Effect.andThen(this.tellOperator(error), this.withoutCatalogue(selection, name, known)),
      onSuccess: (table) => {
        if (table === undefined || table.columns.length === 0) return this.absent(name)
        return Effect.mapError(this.withTable(selection, name, table, facts), (refusal) => {
          // What asks to come back has nothing to do with the table.
          if (refusal.status !== 400) return refusal
          // What is wrong may be another table, which a sub-select names.
          if (selection.where === undefined || !mayHaveTables(selection.where))
            this.refused.set(selection, { table, refusal })
          return { ...outdatedTable, otherwise: refusal }
        })
      }
    })
  }

  private absent(name: TableName): Effect.Effect<never, Failure> {
    return Effect.flatMap(
      Effect.catch(this.lookup.whyAbsent(name.schema, name.name), () => Effect.succeed(undefined)),
      (reason) => Effect.fail(one("table", reason ?? tableDoesNotExist(name)))
    )
  }

  private tellOperator({ message }: PgError): Effect.Effect<void> {
    return notice("BATON-DB-CATALOGUE", `The catalogue cannot be read: ${message}`)
  }

  private lookUpNow(
    selection: ShapeSelection,
    name: TableName,
    known: ShapeDefinition | undefined,
    facts: "table" | "condition"
  ): Effect.Effect<ResolvedShape, Failure> {
    return Effect.matchEffect(this.lookup.tableNow(name.schema, name.name), {
      onFailure: (error) =>
        Effect.andThen(
          this.tellOperator(error),
          Effect.catch(this.withoutCatalogue(selection, name, known), () => Effect.fail(catalogueUnreadable))
        ),
      onSuccess: (table) =>
        table === undefined || table.columns.length === 0
          ? this.absent(name)
          : this.withTableNow(selection, name, table, facts)
    })
  }

  private withTableNow(
    selection: ShapeSelection,
    name: TableName,
    table: TableInfo,
    facts: "table" | "condition"
  ): Effect.Effect<ResolvedShape, Failure> {
    if (facts === "table") {
      const refused = this.refused.get(selection)
      // Nothing has changed, so it need not be looked through again.
      return refused?.table === table
        ? Effect.fail(refused.refusal)
        : this.withTable(selection, name, table, facts)
    }
    this.recent.delete(selection)
    this.cache.delete(cacheKey(selection))
    return Effect.andThen(this.conditions.renew ?? Effect.void, this.withTable(selection, name, table, facts))
  }

  private withTable(
    selection: ShapeSelection,
    name: TableName,
    table: TableInfo,
    facts: Facts
  ): Effect.Effect<ResolvedShape, Failure> {
    const key = cacheKey(selection)
    const recent = this.recent.get(selection)
    const cached = this.cache.get(key)
    const inner = (recent ?? cached)?.inner ?? []
    return Effect.flatMap(this.inner.lookAt(facts, inner), () => {
      for (const known of [recent, cached]) {
        if (known === undefined || !this.isFresh(known, table)) continue
        this.recent.set(selection, known)
        return Effect.succeed(known.resolved)
      }
      return this.make(selection, key, name, table, facts)
    })
  }

  private make(
    selection: ShapeSelection,
    key: string,
    name: TableName,
    table: TableInfo,
    facts: Facts
  ): Effect.Effect<ResolvedShape, Failure> {
    const selected = this.select(selection, table)
    if (Result.isFailure(selected)) return Effect.fail(selected.failure)
    const { definition: common, queryable } = selected.success
    const inner: Array<TableInfo> = []
    const finish = (where: ShapeDefinition["where"]): ResolvedShape => {
      const definition = where === undefined ? common : { ...common, where, whereColumns: columnsOf(where) }
      const resolved: ResolvedShape = { definition, identity: shapeIdentity(definition), table, queryable }
      const entry: Cached = { name, resolved, table, inner }
      this.cache.set(key, entry)
      this.recent.set(selection, entry)
      return resolved
    }
    if (selection.where === undefined) return Effect.succeed(finish(undefined))
    const findTable: FindTable = (named) =>
      Effect.tap(this.inner.find(facts, named), (found) => Effect.sync(() => void inner.push(found)))
    return this.conditions.where(table, selection.where, selection.params ?? {}, findTable).pipe(
      Effect.map(finish),
      Effect.mapError((error) =>
        error._tag === "ConditionRefused" ? one(error.parameter, error.message) : catalogueUnreadable
      )
    )
  }

  private select(selection: ShapeSelection, table: TableInfo): Result.Result<Selected, Failure> {
    const { columns: wanted, queryable_columns: wantedQueryable } = selection
    const replica = selection.replica ?? "default"
    const log = selection.log ?? "full"
    let known = this.selected.get(table)
    if (known === undefined) this.selected.set(table, (known = new BoundedMap(selectionsPerTable)))
    const key = JSON.stringify([wanted, wantedQueryable, replica, log])
    const before = known.get(key)
    if (before !== undefined) return Result.succeed(before)
    const queryable = columnNames("queryable_columns", wantedQueryable)
    if (Result.isFailure(queryable)) return Result.fail(queryable.failure)
    const columns = columnNames("columns", wanted)
    if (Result.isFailure(columns)) return Result.fail(columns.failure)
    const selected = selectColumns(table, columns.success, queryable.success, this.lookup.serverVersionNum())
    if (Result.isFailure(selected))
      return Result.fail(one(selected.failure.parameter, selected.failure.message))
    const { columns: chosen, queryable: usable, selectsAll } = selected.success
    const made: Selected = {
      definition: makeDefinition(table, {
        selection: { columns: chosen, selectsAll },
        where: undefined,
        replica,
        log
      }),
      queryable: usable.map((column) => column.name)
    }
    known.set(key, made)
    return Result.succeed(made)
  }

  private withoutCatalogue(
    selection: ShapeSelection,
    table: TableName,
    known: ShapeDefinition | undefined
  ): Effect.Effect<ResolvedShape, Failure> {
    const cached = this.cache.get(cacheKey(selection))
    if (cached !== undefined) return Effect.succeed(cached.resolved)
    if (known === undefined) return Effect.fail(catalogueUnreadable)
    const columns = columnNames("columns", selection.columns)
    if (Result.isFailure(columns)) return Effect.fail(columns.failure)
    if (!storedMatches(known, table, columns.success, selection)) return Effect.fail(catalogueUnreadable)
    return Effect.succeed({
      definition: known,
      identity: shapeIdentity(known),
      table: undefined,
      queryable: known.columns
    })
  }

  /** Nothing that it was made of has become another. */
  private isFresh({ inner, table }: Cached, now: TableInfo): boolean {
    return table === now && this.inner.areSame(inner)
  }
}

/** The key, and the condition as text and as constants; what is short counts for its place. */
const charactersOf = ({ resolved }: Cached, key: string): number =>
  Math.max(cacheCharacters / cacheSize, key.length + 2 * (resolved.definition.where?.sql.length ?? 0))

const cacheKey = (selection: ShapeSelection): string =>
  JSON.stringify([
    selection.table,
    selection.where,
    selection.where === undefined ? undefined : selection.params,
    selection.columns,
    selection.queryable_columns,
    selection.replica,
    selection.log
  ])
