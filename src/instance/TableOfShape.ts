import { Effect } from "effect"
import { lookAtCatalogue } from "../postgres/catalogue/CatalogueLook.ts"
import type { Inspector } from "../postgres/catalogue/Inspector.ts"
import type { TableInfo } from "../postgres/catalogue/TableInfo.ts"
import type { Queryable } from "../postgres/connection/SessionPool.ts"
import { quoteTable, type TableName } from "../postgres/Identifiers.ts"
import { lookAtObjects } from "../postgres/ObjectLook.ts"
import type { Publication } from "../postgres/publication/Publication.ts"
import type { PublicationError } from "../postgres/publication/PublicationError.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import { SnapshotFailed } from "../registry/ShapeRegistry.ts"
import { isMadeFrom } from "../shapes/MakeDefinition.ts"
import { isAffectedBy } from "../shapes/SchemaChange.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import { Notices } from "../telemetry/Notices.ts"
import type { CatalogueRecord } from "./duties/CatalogueRecord.ts"

interface TableServices {
  readonly admin: Queryable
  readonly inspector: Pick<Inspector["Service"], "invalidate" | "serverVersionNum" | "tableByOid">
  readonly publication: Pick<Publication["Service"], "publish">
  readonly publicationName: string
  readonly record: Pick<CatalogueRecord, "add" | "covers">
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

const unavailable = (error: { readonly message: string }): SnapshotFailed =>
  new SnapshotFailed({ kind: "unavailable", message: error.message })

/** What has to be true of a table before the first rows of a shape are read. */
export class TableOfShape {
  /** Tables with shapes are watched while this instance is active: what is known of them is hardly ever outdated. */
  watched: RegistrySession["shapes"] | undefined
  private readonly services: TableServices
  private readonly notices = new Notices()

  constructor(services: TableServices) {
    this.services = services
  }

  /** Completes when all changes of the table are published from now on, and it is still what the definition says. */
  publish(definition: ShapeDefinition): Effect.Effect<void, SnapshotFailed> {
    return Effect.gen({ self: this }, function* () {
      const { inspector, publication } = this.services
      const { oid } = definition.table
      if (this.watched === undefined || this.watched.on(oid).size === 0) inspector.invalidate(oid)
      const table = yield* this.tableOf(definition)
      yield* publication.publish(table, { generatedColumns: readsGenerated(definition, table) }).pipe(
        Effect.tapError((error) => this.tellOperator(table, error)),
        Effect.mapError(({ kind, message }) => new SnapshotFailed({ kind, message }))
      )
      // That may have taken long, and shapes that are made are only told of what comes later.
      yield* Effect.all([this.tableOf(definition), this.noteCatalogue(definition)], {
        concurrency: 2,
        discard: true
      })
    }).pipe(
      // Nobody is given again what was known of it.
      Effect.tapError(({ kind }) =>
        Effect.sync(() => {
          if (kind === "schemaChanged") this.services.inspector.invalidate(definition.table.oid)
        })
      )
    )
  }

  /** The table, if the definition still holds for it. */
  private tableOf(definition: ShapeDefinition): Effect.Effect<TableInfo, SnapshotFailed> {
    return this.services.inspector.tableByOid(definition.table.oid).pipe(
      Effect.mapError(unavailable),
      Effect.flatMap((table) =>
        stillHolds(definition, table)
          ? Effect.succeed(table)
          : Effect.fail(
              new SnapshotFailed({ kind: "schemaChanged", message: "The table has changed meanwhile" })
            )
      )
    )
  }

  /** The rows of a shape are read after this: whatever is altered from then on is found out. */
  private noteCatalogue({ table: { oid }, where }: ShapeDefinition): Effect.Effect<void, SnapshotFailed> {
    const { admin, inspector, publicationName, record } = this.services
    const uses = where?.uses ?? []
    if (record.covers(oid, uses)) return Effect.void
    const version = inspector.serverVersionNum()
    const at = { publicationName, tables: [oid], types: [] }
    return Effect.all([lookAtCatalogue(admin, at, version), lookAtObjects(admin, uses, version)]).pipe(
      Effect.mapError(unavailable),
      Effect.flatMap(([look, objects]) => record.add(oid, look, objects))
    )
  }

  /** Clients that ask for a shape of the table are told to come back: the operator, who can mend it, has to know. */
  private tellOperator(
    table: TableName,
    { advice, kind, message, reason }: PublicationError
  ): Effect.Effect<void> {
    return kind === "schemaChanged"
      ? Effect.void
      : this.notices.warn(
          `Shapes of the table ${quoteTable(table)} cannot be made: ${message}.`.replace(/([.;])\.$/, "$1") +
            `${advice === undefined ? "" : ` ${advice}`} Clients ${kind === "refused" ? "get a 400" : "are told to come back (503)"}.`,
          `${quoteTable(table)} ${reason}`
        )
  }
}
