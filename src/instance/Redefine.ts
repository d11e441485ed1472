import { Effect } from "effect"
import type { Conditions } from "../http/shape/Conditions.ts"
import type { Outdated } from "../http/shape/OnFreshFacts.ts"
import { ShapeResolver } from "../http/shape/ResolveShape.ts"
import type { Failure } from "../http/reply/Failures.ts"
import type { Inspector } from "../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import { ownPgError, type PgError } from "../postgres/errors/PgError.ts"
import { quoteTable, type TableName } from "../postgres/Identifiers.ts"
import type { Redefinition } from "../registry/Redefinition.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import { continuationOf } from "../shapes/Continuation.ts"
import { isAffectedBy, isMemberAffectedBy } from "../shapes/SchemaChange.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"

interface RedefineServices {
  readonly inspector: Inspector["Service"]
  readonly conditions: Conditions["Service"]
}

/** Tables that are asked about at the same time. */
const askedAtOnce = 4

/**
 * Before shapes are compared with a database whose tables are not the ones that they were made of: it may be of another
 * cluster (`isOther`), or made anew, or a table was. Shapes follow the tables that have the names of theirs now, with conditions
 * resolved once more. One whose table there is not, or whose readers would notice, is dropped with a reason. Gives how many
 * have become others; doing it again changes nothing.
 */
export const redefineShapes = (
  { conditions, inspector }: RedefineServices,
  session: Pick<RegistrySession, "drop" | "redefine" | "shapes">,
  isOther: boolean
): Effect.Effect<number, PgError> =>
  Effect.gen(function* () {
    const { shapes } = session
    const known = shapes.tables()
    const now = new Map<string, TableInfo | undefined>()
    const ask = (name: TableName) =>
      Effect.map(inspector.tableNow(name.schema, name.name), (table) => now.set(quoteTable(name), table))
    yield* Effect.forEach(known, ask, { concurrency: askedAtOnce, discard: true })
    const outdated = new Set<ShapeState>()
    for (const table of known) {
      const found = now.get(quoteTable(table))
      for (const shape of shapes.on(table.oid))
        if (isOther || found === undefined || isAffectedBy(shape.definition, found)) outdated.add(shape)
      for (const shape of shapes.withInner(table.oid))
        if (isOther || found === undefined || readsOther(shape, found)) outdated.add(shape)
    }
    if (outdated.size === 0) return 0
    // Types and functions may be others, too.
    yield* conditions.renew ?? Effect.void
    const resolver = new ShapeResolver(inspector, conditions)
    const changes: Array<Redefinition> = []
    for (const shape of outdated) {
      const before = shape.definition
      const after = yield* definedAnew(resolver, before)
      if (typeof after === "string") session.drop([shape], after)
      else if (JSON.stringify(after) !== JSON.stringify(before)) changes.push({ shape, definition: after })
    }
    if (changes.length === 0) return 0
    session.redefine(changes)
    yield* Effect.logInfo(
      `${changes.length} shapes follow other tables than before, which have the names of theirs: the database, or the tables in it, have been made anew.`
    )
    return changes.length
  })

/** Whether sub-selects of the shape read a table of that name, and it is another one. */
const readsOther = ({ members }: ShapeState, found: TableInfo): boolean =>
  members.some(
    (member) =>
      member.table.schema === found.schema &&
      member.table.name === found.name &&
      isMemberAffectedBy(member, found)
  )

/** For single shapes, while the service runs. What is known of types and functions is read again first. */
export const anewDefinition = ({
  conditions,
  inspector
}: RedefineServices): Effect.Effect<
  (before: ShapeDefinition) => Effect.Effect<ShapeDefinition | string, PgError>
> =>
  Effect.map(conditions.renew ?? Effect.void, () => {
    const resolver = new ShapeResolver(inspector, conditions)
    return (before) => definedAnew(resolver, before)
  })

/** What the shape is of the tables that there are now, under its handle, or why it cannot be continued. */
const definedAnew = (
  resolver: ShapeResolver,
  before: ShapeDefinition
): Effect.Effect<ShapeDefinition | string, PgError> => {
  const { columns, log, replica, selectsAllColumns, table, where } = before
  const selection = {
    table: quoteTable(table),
    where: where?.sql,
    columns: selectsAllColumns ? undefined : columns,
    replica,
    log
  }
  return Effect.matchEffect(resolver.resolve(selection, undefined, "remembered"), {
    onFailure: (error) => refused(error, before),
    onSuccess: ({ definition }) =>
      Effect.sync(() => {
        const same = { ...definition, table: { ...definition.table, oid: table.oid } }
        const next = continuationOf(before, same)
        return "reason" in next ? next.reason : { ...next, table: definition.table }
      })
  })
}

const refused = (error: Failure | Outdated, { table }: ShapeDefinition): Effect.Effect<string, PgError> => {
  const { body, status } = error._tag === "Outdated" ? error.otherwise : error
  if (status >= 500)
    return Effect.fail(ownPgError("connection_timeout", "The catalogue cannot be read. It is tried again."))
  const { errors = {} } = JSON.parse(body) as { readonly errors?: Readonly<Record<string, unknown>> }
  if ("table" in errors)
    return Effect.succeed(`its table ${table.schema}.${table.name}, or one that its condition reads, is gone`)
  const why = Object.values(errors).flat().map(String).join(". ")
  return Effect.succeed(
    "columns" in errors
      ? `the definition of table ${table.schema}.${table.name} is another one: ${why}`
      : `its condition fails in the database that there is now: ${why}`
  )
}
