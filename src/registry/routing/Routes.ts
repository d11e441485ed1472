import { Effect } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import { inTurns, type Pieces } from "../../shared/InTurns.ts"
import { affectedTemplate, isAffectedBy } from "../../shapes/SchemaChange.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { MemberSink } from "./MemberSink.ts"
import type { RouterOptions } from "./RouterOptions.ts"
import { RouteTarget, type TableRoute } from "./TableRoute.ts"

type Options = Pick<RouterOptions, "engine" | "makeMatcher" | "prepared" | "shapes"> & {
  readonly members: Pick<MemberSink, "has" | "shapes">
}

/** Conditions are made ready for so long before everything else has its turn. */
const turnMillis = 5

/**
 * How the rows of each relation of the stream find their shapes: those of the table itself, and of the tables that it is a
 * partition of. Shapes that cannot take rows of a relation are its *misfits*; what becomes of them the router decides.
 */
export class Routes {
  private readonly options: Options
  private readonly routes = new Map<number, TableRoute>()
  /** Relations whose rows are rows of a table: itself, and what is below it. */
  private readonly relationsOf = new Map<number, Set<number>>()

  constructor(options: Options) {
    this.options = options
  }

  /** Asked for each row. */
  of(oid: number): TableRoute | undefined {
    return this.routes.get(oid)
  }

  /** Those of which no row has come. */
  *unknown(oids: Iterable<number>): Iterable<number> {
    for (const oid of oids) if (!this.routes.has(oid)) yield oid
  }

  /**
   * To be run before `make`, which does what is left at once: the stream waits for the conditions of a million shapes, which take some
   * ten seconds, and nobody else does.
   */
  readonly prepare = (relation: Relation, ancestors: ReadonlyArray<number>): Effect.Effect<void> =>
    Effect.suspend(() => inTurns(this.preparing(relation, ancestors), this.options.engine.timers, turnMillis))

  private *preparing(relation: Relation, ancestors: ReadonlyArray<number>): Pieces {
    for (const oid of [relation.oid, ...ancestors]) {
      const shapes = this.on(oid)
      const affected = this.affected(oid, relation)
      const fit = affected.size === 0 ? shapes : new Set([...shapes].filter((shape) => !affected.has(shape)))
      yield* this.options.prepared.complete(oid, relation, fit)
    }
  }

  /** The route of a relation that is new, or another one than before, with all shapes that there are. */
  make(relation: Relation, ancestors: ReadonlyArray<number>): TableRoute {
    const { engine, makeMatcher, prepared, shapes } = this.options
    const oids = [relation.oid, ...ancestors]
    const taken = oids.map((oid) => {
      const live = this.on(oid)
      const all = live === shapes.on(oid) ? engine.store : undefined
      const known = prepared.take(oid, relation, live, all)
      return { live, target: known?.target ?? new RouteTarget(oid, relation, makeMatcher), known }
    })
    const route = { relation, targets: taken.map(({ target }) => target) }
    this.set(route)
    for (const { known, live, target } of taken) this.fill(target, relation, live, known?.belowId)
    return route
  }

  /**
   * Gives the target, which has none but live shapes, those that are missing. What was made ready lacks few of them or none: they are
   * not all looked at, because the stream waits. `belowId`: only with this id and higher ones.
   */
  private fill(
    target: RouteTarget,
    relation: Relation,
    live: ReadonlySet<ShapeState>,
    belowId: number | undefined
  ): void {
    const affected = this.affected(target.tableOid, relation)
    if (belowId !== undefined && affected.size === 0) {
      for (const shape of this.options.engine.store.all(belowId))
        if (live.has(shape) && !target.add(shape)) misplace(target, shape)
      if (target.size + target.misfits.size === live.size) return
    }
    for (const shape of live) if (affected.has(shape) || !target.add(shape)) misplace(target, shape)
  }

  private affected(tableOid: number, relation: Relation): ReadonlySet<ShapeState> {
    return new Set(this.options.shapes.onWhere(tableOid, affectedTemplate(relation)))
  }

  private set(route: TableRoute): void {
    const { oid } = route.relation
    this.forgetTable(oid)
    this.routes.set(oid, route)
    for (const { tableOid } of route.targets) {
      const relations = this.relationsOf.get(tableOid)
      if (relations === undefined) this.relationsOf.set(tableOid, new Set([oid]))
      else relations.add(oid)
    }
  }

  /** The shapes of a table, those aside whose rows the router does not route. */
  private on(tableOid: number): ReadonlySet<ShapeState> {
    const { members, shapes } = this.options
    const all = shapes.on(tableOid)
    return haveCommon(all, members.shapes) ? new Set(Array.from(all).filter((one) => !members.has(one))) : all
  }

  /** From now on the shape receives its changes. */
  addShape(shape: ShapeState): void {
    const { leafOids = [], table } = shape.common
    const relations = this.relationsOf.get(table.oid)
    for (const oid of new Set([...(relations ?? []), ...leafOids])) {
      const route = this.routes.get(oid)
      if (route === undefined) continue
      const target = route.targets.find(({ tableOid }) => tableOid === table.oid)
      if (target === undefined) this.attach(route, shape)
      else this.enter(target, route.relation, shape)
    }
  }

  /** The partition was attached since its route was made: Postgres says nothing of that, but sends the same columns again. */
  private attach({ relation, targets }: TableRoute, shape: ShapeState): void {
    const { oid } = shape.common.table
    const target = new RouteTarget(oid, relation, this.options.makeMatcher)
    this.set({ relation, targets: [...targets, target] })
    for (const other of this.on(oid)) this.enter(target, relation, other)
    this.enter(target, relation, shape)
  }

  /** These are no longer partitions below the table: their rows are none of its rows. */
  detach(tableOid: number, leafOids: ReadonlyArray<number>): void {
    for (const oid of leafOids) {
      const route = this.routes.get(oid)
      if (route === undefined || oid === tableOid) continue
      const targets = route.targets.filter((target) => target.tableOid !== tableOid)
      this.set({ relation: route.relation, targets })
    }
  }

  /**
   * The tables that have no rows left when these relations are truncated, and those that have lost some of their partitions' rows. Of
   * a table that is truncated with all its partitions Postgres names these alone.
   */
  truncated(relations: ReadonlyArray<Relation>): {
    readonly emptied: ReadonlySet<number>
    readonly narrowed: ReadonlySet<number>
  } {
    const emptied = new Set(relations.map(({ oid }) => oid))
    const above = new Set<number>()
    for (const { oid } of relations)
      for (const { tableOid } of this.of(oid)?.targets ?? []) if (!emptied.has(tableOid)) above.add(tableOid)
    const narrowed = new Set(
      [...above].filter((oid) => [...this.leavesOf(oid)].some((leaf) => !emptied.has(leaf)))
    )
    for (const oid of above) if (!narrowed.has(oid)) emptied.add(oid)
    return { emptied, narrowed }
  }

  /** Partitions that the table had when some shape on it was made, or of which rows have come since. None: nobody knows them. */
  private leavesOf(tableOid: number): ReadonlySet<number> {
    const leaves = new Set<number>()
    for (const shape of this.options.shapes.on(tableOid))
      for (const leaf of shape.common.leafOids ?? []) leaves.add(leaf)
    if (leaves.size === 0) return new Set([tableOid])
    for (const oid of this.relationsOf.get(tableOid) ?? []) leaves.add(oid)
    leaves.delete(tableOid)
    return leaves
  }

  /** No more rows of the table can come. */
  forgetTable(oid: number): void {
    for (const { tableOid } of this.routes.get(oid)?.targets ?? []) {
      const relations = this.relationsOf.get(tableOid)
      relations?.delete(oid)
      if (relations?.size === 0) this.relationsOf.delete(tableOid)
    }
    this.routes.delete(oid)
  }

  removeShape(shape: ShapeState): void {
    const { oid: tableOid } = shape.common.table
    for (const oid of this.relationsOf.get(tableOid) ?? [])
      for (const target of this.of(oid)?.targets ?? []) if (target.tableOid === tableOid) target.remove(shape)
  }

  /** A relation of the past does not end a shape that is younger: only a row that is for its log does (`judgeMisfits`). */
  private enter(target: RouteTarget, relation: Relation, shape: ShapeState): void {
    if (isAffectedBy(shape.definition, relation) || !target.add(shape)) misplace(target, shape)
  }
}

const haveCommon = <A>(one: ReadonlySet<A>, other: ReadonlySet<A>): boolean => {
  const [few, many] = one.size < other.size ? [one, other] : [other, one]
  for (const item of few) if (many.has(item)) return true
  return false
}

const misplace = (target: RouteTarget, shape: ShapeState): void => {
  target.remove(shape)
  target.misfits.add(shape)
  target.misfitsJudgedAt = -1n
}
