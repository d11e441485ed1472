import { publicationCodes } from "../postgres/publication/PublicationCodes.ts"
import { Effect, Exit, type Scope } from "effect"
import { Gather } from "../shared/Gather.ts"
import { lookAtMembers } from "../postgres/catalogue/MembersLook.ts"
import type { Inspector } from "../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import type { Queryable } from "../postgres/connection/SessionPool.ts"
import { quoteTable, type TableName } from "../postgres/Identifiers.ts"
import { type Facts, lookAtObjects } from "../postgres/ObjectLook.ts"
import type { Publication } from "../postgres/publication/Publication.ts"
import type { PublicationError } from "../postgres/publication/PublicationError.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import { SnapshotFailed } from "../registry/ShapeRegistry.ts"
import { isMadeFrom } from "../shapes/MakeDefinition.ts"
import { isAffectedBy, isMemberAffectedBy } from "../shapes/SchemaChange.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import { notice } from "../telemetry/Notices.ts"
import type { MemberTable } from "../where/index.ts"
import type { CatalogueRecord } from "./duties/CatalogueRecord.ts"

interface TableServices {
  readonly admin: Queryable
  readonly inspector: Pick<
    Inspector["Service"],
    "invalidate" | "isFresh" | "rememberedByOid" | "serverVersionNum" | "tableByOid"
  >
  readonly publication: Pick<Publication["Service"], "publish">
  readonly publicationName: string
  readonly record: Pick<CatalogueRecord, "add" | "addObjects" | "covers">
  /** Looks belong to it. */
  readonly scope: Scope.Scope
}

/** Whether `table` is still what the definition says, as far as its rows depend on it. */
export const stillHolds = (definition: ShapeDefinition, table: TableInfo | undefined): table is TableInfo =>
  table !== undefined && (isMadeFrom(definition, table) || !isAffectedBy(definition, table))

/** Whether rows of the shape, or its condition, have columns that the publication may leave out. */
export const readsGenerated = (definition: ShapeDefinition, table: TableInfo): boolean =>
  table.columns.some(
    ({ generated, name }) =>
      generated !== "no" &&
      (definition.columns.includes(name) || definition.whereColumns?.includes(name) === true)
  )

/** A table of which the shape needs every change: its own, or one that sub-selects of its condition read. */
interface Needed {
  readonly oid: number
  /** What the shape uses of it is what it was when the shape was defined. */
  readonly holds: (table: TableInfo | undefined) => table is TableInfo
  /** Of what it uses, the publication may leave something out. */
  readonly readsGenerated: (table: TableInfo) => boolean
  readonly isInner: boolean
}

const ownTable = (definition: ShapeDefinition): Needed => ({
  oid: definition.table.oid,
  holds: (table) => stillHolds(definition, table),
  readsGenerated: (table) => readsGenerated(definition, table),
  isInner: false
})

const innerTable = (member: MemberTable): Needed => ({
  oid: member.table.oid,
  holds: (table): table is TableInfo => table !== undefined && !isMemberAffectedBy(member, table),
  readsGenerated: () => member.columns.some(({ generated }) => generated === true),
  isInner: true
})

/** A sub-select may read the shape's own table. */
const neededBy = (definition: ShapeDefinition): ReadonlyArray<Needed> => [
  ownTable(definition),
  ...(definition.where?.members ?? []).map(innerTable)
]

const tableChanged = new SnapshotFailed({
  kind: "schemaChanged",
  message: "The table has changed meanwhile"
})

const unavailable = (error: { readonly message: string }): SnapshotFailed =>
  new SnapshotFailed({ kind: "unavailable", message: error.message })

/** Shapes whose tables are noted at the same time. */
const notedAtOnce = 256

const nothing: ReadonlyMap<string, Facts> = new Map()

/** Tables of one shape that are dealt with at the same time. */
const tablesAtOnce = 4

/** Most shapes need one table, and a fiber for it costs more than the rest. */
const atOnce = <E>(all: ReadonlyArray<Effect.Effect<unknown, E>>): Effect.Effect<unknown, E> => {
  const [only, ...more] = all
  return only !== undefined && more.length === 0
    ? only
    : Effect.all(all, { concurrency: tablesAtOnce, discard: true })
}

/** What has to be true of the tables of a shape before its first rows are read. */
export class TableOfShape {
  /** Tables with shapes are watched while this instance is active: what is known of them is hardly ever outdated. */
  watched: RegistrySession["shapes"] | undefined
  private readonly services: TableServices

  private readonly notes: Gather<ReadonlyArray<number>, void, SnapshotFailed>

  constructor(services: TableServices) {
    this.services = services
    this.notes = new Gather(services.scope, notedAtOnce, (asked) =>
      Effect.map(this.noteTables(asked.flatMap(({ input }) => input)), () => {
        for (const { done } of asked) done(Exit.void)
      })
    )
  }

  /** Completes when all changes of these tables are published from now on, and they are still what the definition says. */
  publish(definition: ShapeDefinition): Effect.Effect<unknown, SnapshotFailed> {
    const needed = neededBy(definition)
    const published = atOnce(needed.map((one) => this.publishOne(one)))
    // That may have taken long, and shapes that are made are only told of what comes later.
    const looked = Effect.suspend(() => {
      const tables = needed.map((one) => this.tableOf(one))
      const noted = this.noteCatalogue(definition)
      return atOnce(noted === undefined ? tables : [...tables, noted])
    })
    return Effect.tapError(Effect.andThen(published, looked), ({ kind }) =>
      // Nobody is given again what was known of them.
      Effect.sync(() => {
        if (kind === "schemaChanged") for (const { oid } of needed) this.services.inspector.invalidate(oid)
      })
    )
  }

  private publishOne(needed: Needed): Effect.Effect<void, SnapshotFailed> {
    return Effect.gen({ self: this }, function* () {
      const { inspector } = this.services
      const known = inspector.rememberedByOid(needed.oid)
      if (this.watched?.isInUse(needed.oid) !== true) inspector.invalidate(needed.oid)
      const table = this.tableOf(needed)
      // There is nothing to wait for.
      if (inspector.isFresh(needed.oid)) return yield* this.publishAs(yield* table, needed)
      // It is looked at anew while it is published, and mostly is what it was.
      if (known !== undefined && needed.holds(known))
        yield* Effect.all([table, this.publishAs(known, needed)], { concurrency: 2, discard: true })
      else yield* this.publishAs(yield* table, needed)
    })
  }

  private publishAs(table: TableInfo, needed: Needed): Effect.Effect<void, SnapshotFailed> {
    return this.services.publication.publish(table, { generatedColumns: needed.readsGenerated(table) }).pipe(
      Effect.tapError((error) => this.tellOperator(table, needed, error)),
      Effect.mapError(({ kind, message }) => new SnapshotFailed({ kind, message }))
    )
  }

  /** The table, if the definition still holds for it. */
  private tableOf({ holds, oid }: Needed): Effect.Effect<TableInfo, SnapshotFailed> {
    return this.services.inspector.tableByOid(oid).pipe(
      Effect.mapError(unavailable),
      Effect.flatMap((table) => (holds(table) ? Effect.succeed(table) : Effect.fail(tableChanged)))
    )
  }

  /** The rows of a shape are read after this: whatever is altered from then on is found out. */
  private noteCatalogue({ table, where }: ShapeDefinition): Effect.Effect<void, SnapshotFailed> | undefined {
    const { admin, inspector, record } = this.services
    const uses = where?.uses ?? []
    const tables = [...new Set([table.oid, ...(where?.members ?? []).map((member) => member.table.oid)])]
    if (record.covers(tables, uses)) return undefined
    const look = lookAtObjects(admin, uses, inspector.serverVersionNum())
    const objects = uses.length === 0 ? Effect.succeed(nothing) : Effect.mapError(look, unavailable)
    return Effect.andThen(
      this.notes.ask(tables),
      Effect.flatMap(objects, (found) => (found.size === 0 ? Effect.void : record.addObjects(found)))
    )
  }

  /** One look, and one file written, for all shapes that are made at the same time. */
  private noteTables(tables: ReadonlyArray<number>): Effect.Effect<void, SnapshotFailed> {
    const { admin, inspector, publicationName, record } = this.services
    return lookAtMembers(admin, publicationName, new Set(tables), inspector.serverVersionNum()).pipe(
      Effect.mapError(unavailable),
      Effect.flatMap((look) => record.add(look))
    )
  }

  /** Clients that ask for a shape of the table are told to come back: the operator, who can mend it, has to know. */
  private tellOperator(
    table: TableName,
    { isInner }: Needed,
    { advice, kind, message, reason }: PublicationError
  ): Effect.Effect<void> {
    const which = isInner ? "Shapes whose sub-selects read" : "Shapes of"
    return kind === "schemaChanged"
      ? Effect.void
      : notice(
          publicationCodes[reason],
          `${which} the table ${quoteTable(table)} cannot be made: ${message}.`.replace(/([.;])\.$/, "$1") +
            `${advice === undefined ? "" : ` ${advice}`} Clients ${kind === "refused" ? "get a 400" : "are told to come back (503)"}.`,
          `${which} ${quoteTable(table)} ${reason}`
        )
  }
}
