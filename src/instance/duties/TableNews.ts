import { Effect } from "effect"
import type { CatalogueNews } from "../../postgres/catalogue/CatalogueLook.ts"
import type { Inspector } from "../../postgres/catalogue/Inspector.ts"
import { describeObject } from "../../postgres/ObjectLook.ts"
import type { RunErrand } from "../../shared/Duty.ts"
import type { PgError } from "../../postgres/errors/PgError.ts"
import type { Publication } from "../../postgres/publication/Publication.ts"
import type { PublicationReport } from "../../postgres/publication/PublicationReport.ts"
import type { TableChange } from "../../postgres/catalogue/TableChange.ts"
import type { TableInfo } from "../../postgres/catalogue/TableInfo.ts"
import type { RegistrySession } from "../../registry/RegistrySession.ts"
import { affectedTemplate, gainedAttached, membersAffectedAmong } from "../../shapes/SchemaChange.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { StorageFault } from "../../storage/disk/DiskFault.ts"
import type { NotWriting } from "../../storage/NotWriting.ts"
import type { Catalogue } from "../../where/index.ts"

const attachedWithRows = "was given a partition with rows of its own"
const lostPartition = "has lost a partition, with rows of which no change tells"
const readingTypes = "Reading the types of the database again"
const hasOtherValues =
  "was written anew when the definition of a column was altered, with values of which no change tells"
const isGone = "is gone"
/** Types below this one come with Postgres. Source: `FirstNormalObjectId` of `access/transam.h`. */
const firstOwnOid = 16384

/** With ten thousand tables lists take milliseconds to make, several times a second: the last one stays while it is of the same. */
const memoised = <A extends ReadonlyArray<unknown>, B>(make: (...of: A) => B): ((...of: A) => B) => {
  let last: { readonly of: A; readonly made: B } | undefined
  return (...of) => {
    if (last === undefined || of.some((one, i) => one !== last?.of[i])) last = { of, made: make(...of) }
    return last.made
  }
}

/** A description never changes, and is asked for once a second. */
const ownTypes = new WeakMap<TableInfo, ReadonlyArray<number>>()

const ownTypesOf = (table: TableInfo): ReadonlyArray<number> => {
  const known = ownTypes.get(table)
  if (known !== undefined) return known
  const found = new Set<number>()
  for (const { baseTypeOid = 0, contents, element, typeOid } of table.columns) {
    for (const type of [typeOid, baseTypeOid, element?.typeOid ?? 0, ...Object.keys(contents ?? {})])
      if (Number(type) >= firstOwnOid) found.add(Number(type))
  }
  const types = [...found]
  ownTypes.set(table, types)
  return types
}

interface NewsServices {
  readonly session: RegistrySession
  readonly inspector: Inspector["Service"]
  readonly catalogue: Pick<Catalogue["Service"], "loaded" | "reload">
  readonly publication: Pick<Publication["Service"], "tablesChanged">
  /** The session is of no use any more: begin another one. */
  readonly beginAnew: Effect.Effect<void>
  /** Changes may be missing from the stream: shapes have to be compared with the database. Completes when that is durable. */
  readonly positionLost: (reason: string) => Effect.Effect<void, NotWriting | StorageFault>
  readonly run: RunErrand
}

/** What is to be done with the shapes of a session when their tables, types or publication turn out to be others. */
export class TableNews {
  private readonly session: RegistrySession
  private readonly inspector: Inspector["Service"]
  private readonly catalogue: NewsServices["catalogue"]
  private readonly publication: NewsServices["publication"]
  private readonly run: NewsServices["run"]
  private readonly positionLost: NewsServices["positionLost"]
  /** What the comparison of the publication has to be told, and what becomes of its reports. */
  readonly check: Parameters<Publication["Service"]["run"]>[0]
  /** Shapes were dropped for what the publication lacked, and no look since has shown it to be altered. */
  private tookCareOfPublication = false

  constructor(services: NewsServices) {
    this.session = services.session
    this.inspector = services.inspector
    this.catalogue = services.catalogue
    this.publication = services.publication
    this.run = services.run
    this.positionLost = services.positionLost
    this.check = {
      tablesInUse: this.tables,
      onReport: (report) =>
        Effect.andThen(
          // Storage that cannot be written ends the turn, and the next one looks again.
          Effect.ignore(this.reported(report)),
          report.isMissing ? services.beginAnew : Effect.void
        )
    }
  }

  /** Tables that shapes need changes of, in order: the same list as long as they are the same. */
  readonly tables = (): ReadonlyArray<number> => this.oidsOf(this.session.shapes.tables())
  private readonly oidsOf = memoised((tables: ReturnType<RegistrySession["shapes"]["tables"]>) =>
    tables.map(({ oid }) => oid).toSorted((a, b) => a - b)
  )

  /** The types of the database's own make that the columns of these tables have, each with the tables that have it. */
  readonly types = (): ReadonlyMap<number, ReadonlyArray<number>> =>
    this.typesOf(this.tables(), this.inspector.all())
  private readonly typesOf = memoised((oids: ReadonlyArray<number>, known: ReadonlyArray<TableInfo>) => {
    const inUse = new Set(oids)
    const types = new Map<number, Array<number>>()
    for (const table of known) {
      if (!inUse.has(table.oid)) continue
      for (const type of ownTypesOf(table)) {
        const tables = types.get(type)
        if (tables === undefined) types.set(type, [table.oid])
        else tables.push(table.oid)
      }
    }
    return types
  })

  /** Rows that partitions have brought along are in none of these shapes. */
  private dropWithoutAttached(oid: number, table: TableInfo): void {
    const { mend, shapes } = this.session
    const lacks = ({ leafOids }: { readonly leafOids?: ReadonlyArray<number> }): boolean =>
      leafOids !== undefined && gainedAttached(leafOids, table)
    const own = shapes.onWhere(oid, ({ common }) => lacks(common))
    mend(own, `its table ${attachedWithRows}`)
    const inner = Array.from(shapes.withInner(oid)).filter(({ members }) =>
      members.some((member) => member.table.oid === oid && lacks(member))
    )
    mend(inner, `${shapes.named(oid)}, which its sub-selects read, ${attachedWithRows}`)
  }

  /** A look at the catalogue, for whatever reason, has shown a table to be another one than was known. */
  readonly changed = (change: TableChange): void => {
    const { session } = this
    this.publication.tablesChanged()
    if (change._tag === "Vanished") {
      session.sink.forgetTable(change.before.oid)
      return this.dropAffected(change.before.oid, undefined)
    }
    const { after, difference } = change
    // Labels of an enum may be among it: clauses go by what the catalogue said when they were resolved.
    if (difference.columnsAltered.length > 0 && this.catalogue.loaded() !== undefined)
      this.run(readingTypes, Effect.ignore(this.catalogue.reload))
    session.sink.detach(after.oid, difference.leavesRemoved)
    // It may be younger than the shapes, whose definitions do not know it then.
    if (difference.leavesAttached.length > 0) this.otherRows(after.oid, attachedWithRows)
    else if (difference.leavesRemoved.length > 0) this.otherRows(after.oid, lostPartition)
    else this.dropAffected(after.oid, after)
  }

  /** Rows have come or gone with a partition, or have other values. */
  private otherRows(oid: number, what: string): void {
    const { mend, shapes } = this.session
    mend([...shapes.on(oid)], `its table ${what}`)
    mend([...shapes.withInner(oid)], `${shapes.named(oid)}, which its sub-selects read, ${what}`)
  }

  /** The table was written anew with other values. */
  rewritten(oid: number): void {
    this.otherRows(oid, hasOtherValues)
  }

  /** The watch has found something. Fails, to be told again, before anything has been done. */
  readonly found = (news: CatalogueNews): Effect.Effect<void, PgError | NotWriting | StorageFault> =>
    Effect.gen({ self: this }, function* () {
      yield* this.inspector.readAgain([...news.tables])
      // Shapes may have been made of a description that was outdated, so it is not enough to see what has changed in it.
      // And those from storage may be older than changes that nobody was there to see.
      for (const oid of news.tables) {
        const table = yield* this.inspector.tableByOid(oid)
        this.dropAffected(oid, table)
        if (table !== undefined) this.dropWithoutAttached(oid, table)
        if (table !== undefined && news.rewritten.has(oid)) this.rewritten(oid)
      }
      const unpublished = [...news.unpublished].filter((oid) => this.session.shapes.isInUse(oid))
      if (unpublished.length > 0) yield* this.positionLost(this.notPublished(unpublished))
      if (news.altered || news.publicationAltered) this.publication.tablesChanged()
      if (news.publicationAltered && this.isAllWellAgain(news.publicationIsComplete))
        yield* this.positionLost("the publication was altered, and may have lacked changes for some time")
    })

  /** Objects that conditions use are not what they were. */
  readonly alteredObjects = (keys: ReadonlyArray<string>): Effect.Effect<void> =>
    Effect.sync(() => {
      if (this.catalogue.loaded() !== undefined) this.run(readingTypes, Effect.ignore(this.catalogue.reload))
      for (const key of keys) {
        const shapes = Array.from(this.session.shapes.using(key))
        for (const { common, members } of shapes)
          for (const { table } of [common, ...members]) this.inspector.invalidate(table.oid)
        this.session.drop(
          shapes,
          `${describeObject(key)}, which its condition uses, is not what it was when the shape was made`
        )
      }
    })

  /** What was missing meanwhile nobody can tell. What is missing now the comparison finds. */
  private isAllWellAgain(isComplete: boolean): boolean {
    if (!isComplete) return false
    const isNews = !this.tookCareOfPublication
    this.tookCareOfPublication = false
    return isNews
  }

  private notPublished(oids: ReadonlyArray<number>): string {
    const names = this.session.shapes.tables().filter(({ oid }) => oids.includes(oid))
    const which = names.slice(0, 5).map(({ name, schema }) => `${schema}.${name}`)
    return `not published for some time: ${which.join(", ")}${names.length > 5 ? `, and ${names.length - 5} more` : ""}`
  }

  private dropAffected(oid: number, table: TableInfo | undefined): void {
    const { dropTables, shapes } = this.session
    if (table === undefined) return dropTables([oid], isGone)
    const affected = shapes.onWhere(oid, affectedTemplate(table))
    this.session.mend(affected, "the definition of its table has changed")
    const reading = membersAffectedAmong(shapes.withInner(oid), oid, table)
    const why = `${shapes.named(oid)}, which its sub-selects read, has changed in what they use`
    if (shapes.named(oid) === `table ${table.schema}.${table.name}`) this.session.mend(reading, why)
    else this.session.drop(reading, why)
  }

  /** Shapes whose changes may be missing from the stream are fetched again, even if the publication is right again. */
  private reported(report: PublicationReport): Effect.Effect<void, NotWriting | StorageFault> {
    if (report.operationsLost.length > 0 || report.generatedColumnsLost) this.tookCareOfPublication = true
    const lost: Array<number> = []
    for (const { oid, problem } of report.tables) {
      if (problem === "identityNotFull") continue
      // Who comes back at once must not be given the table as it was.
      this.inspector.invalidate(oid)
      if (problem === "vanished") this.session.dropTables([oid], isGone)
      else if (this.session.shapes.isInUse(oid)) lost.push(oid)
    }
    if (report.generatedColumnsLost) this.dropGenerated()
    if (report.operationsLost.length > 0)
      return this.positionLost("the publication did not carry all operations")
    return lost.length > 0 ? this.positionLost(this.notPublished(lost)) : Effect.void
  }

  private dropGenerated(): void {
    const affected: Array<ShapeState> = []
    for (const oid of this.tables()) {
      for (const shape of this.session.shapes.withInner(oid))
        if (shape.members.some(({ columns }) => columns.some((column) => column.generated === true)))
          affected.push(shape)
      for (const shape of this.session.shapes.on(oid)) {
        const generated = new Set(
          shape.common.tableColumns.filter((c) => c.generated === true).map((c) => c.name)
        )
        const { columns, whereColumns = [] } = shape.common
        if ([...columns, ...whereColumns].some((name) => generated.has(name))) affected.push(shape)
      }
    }
    this.session.drop(affected, "the publication did not carry generated columns")
  }
}
