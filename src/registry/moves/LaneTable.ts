import type { InnerTarget } from "../../membership/InnerTarget.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { ClauseColumn } from "../../where/index.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import { RouteTarget } from "../routing/TableRoute.ts"
import { makeLinkReader, type ReadLink } from "./LinkReader.ts"
import type { Probe } from "./Probes.ts"

interface UsedProbe {
  readonly probe: Probe
  users: number
  readLink: ReadLink | undefined
}

/** What makes targets for the rows of a table, whenever its columns have become other ones. */
interface LaneTableOptions {
  readonly makeMatcher: MakeMatcher
  readonly makeInner: (tableOid: number, columns: ReadonlyArray<ClauseColumn>) => InnerTarget
  readonly releaseInner: (target: InnerTarget) => void
}

/**
 * A table that shapes with sub-selects are made of, or that their sub-selects read. Its rows are those columns that somebody
 * needs, in one order, whether they come from the stream (as rows of the table, or of one of its partitions) or from a query.
 */
export class LaneTable {
  readonly oid: number
  readonly schema: string
  readonly name: string
  isPartitioned = false
  columns: ReadonlyArray<ClauseColumn> = []
  /** Its own shapes. */
  own: RouteTarget
  /** Sub-selects that read it. */
  inner: InnerTarget
  readonly shapes = new Set<ShapeState>()
  readonly probes = new Map<string, UsedProbe>()
  /** Reservations that have to do with it. */
  users = 0
  private readonly options: LaneTableOptions
  private projections = new WeakMap<Relation, Int32Array>()

  constructor(
    { name, oid, schema }: { readonly oid: number; readonly schema: string; readonly name: string },
    options: LaneTableOptions
  ) {
    this.oid = oid
    this.schema = schema
    this.name = name
    this.options = options
    this.own = this.makeOwn()
    this.inner = options.makeInner(oid, this.columns)
  }

  private makeOwn(): RouteTarget {
    const { name, oid, schema } = this
    const columns = this.columns.map((column) => ({ ...column, typeModifier: -1, isKey: false }))
    return new RouteTarget(
      oid,
      { oid, schema, name, replicaIdentity: "f", columns },
      this.options.makeMatcher
    )
  }

  /** Its rows have these columns too, from now on. Not while any are at hand. */
  need(columns: Iterable<ClauseColumn>): void {
    const known = new Set(this.columns.map(({ name, typeOid }) => `${typeOid} ${name}`))
    const added: Array<ClauseColumn> = []
    for (const { name, typeOid } of columns) {
      const key = `${typeOid} ${name}`
      if (known.has(key)) continue
      known.add(key)
      added.push({ name, typeOid })
    }
    if (added.length > 0) this.refit([...this.columns, ...added])
  }

  private refit(columns: ReadonlyArray<ClauseColumn>): void {
    this.columns = columns
    this.projections = new WeakMap()
    this.options.releaseInner(this.inner)
    this.inner = this.options.makeInner(this.oid, columns)
    this.own = this.makeOwn()
    for (const shape of this.shapes) this.own.add(shape)
    for (const used of this.probes.values()) used.readLink = undefined
  }

  /** False when its rows lack what the shape needs. */
  addShape(shape: ShapeState): boolean {
    this.shapes.add(shape)
    return this.own.add(shape)
  }

  removeShape(shape: ShapeState): void {
    this.shapes.delete(shape)
    this.own.remove(shape)
  }

  addProbe(probe: Probe): void {
    const known = this.probes.get(probe.key)
    if (known === undefined) this.probes.set(probe.key, { probe, users: 1, readLink: undefined })
    else known.users++
  }

  removeProbe({ key }: Probe): void {
    const known = this.probes.get(key)
    if (known !== undefined && --known.users === 0) this.probes.delete(key)
  }

  readLink(probe: Probe): ReadLink {
    const known = this.probes.get(probe.key)
    if (known === undefined) return makeLinkReader(probe, this.columns)
    return (known.readLink ??= makeLinkReader(known.probe, this.columns))
  }

  /** Where its columns stand in rows of the relation; -1 for one that those lack, or have with another type. */
  indexesIn(relation: Relation): Int32Array {
    let known = this.projections.get(relation)
    if (known === undefined) {
      known = Int32Array.from(this.columns, ({ name, typeOid }) =>
        relation.columns.findIndex((one) => one.name === name && one.typeOid === typeOid)
      )
      this.projections.set(relation, known)
    }
    return known
  }

  close(): void {
    this.options.releaseInner(this.inner)
  }
}
