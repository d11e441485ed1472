import type { Relation } from "../../postgres/Relation.ts"
import { affectedAmong, isAffectedBy } from "../../shapes/SchemaChange.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { RouterOptions } from "./RouterOptions.ts"
import { RouteTarget, type TableRoute } from "./TableRoute.ts"

/**
 * How the rows of each relation of the stream find their shapes: those of the table itself, and of the tables that it is a
 * partition of. Shapes that cannot take rows of a relation are its *misfits*; what becomes of them the router decides.
 */
export class Routes {
  private readonly options: Pick<RouterOptions, "makeMatcher" | "members" | "prepared" | "shapes">
  private readonly routes = new Map<number, TableRoute>()

  constructor(options: Pick<RouterOptions, "makeMatcher" | "members" | "prepared" | "shapes">) {
    this.options = options
  }

  /** Asked for each row. */
  of(oid: number): TableRoute | undefined {
    return this.routes.get(oid)
  }

  /** The route of a relation that is new, or another one than before, with all shapes that there are. */
  make(relation: Relation, ancestors: ReadonlyArray<number>): TableRoute {
    const targets = [relation.oid, ...ancestors].map(
      (oid) =>
        this.options.prepared.take(oid, relation, this.on(oid)) ??
        new RouteTarget(oid, relation, this.options.makeMatcher)
    )
    const route = { relation, targets }
    this.routes.set(relation.oid, route)
    for (const target of targets) {
      const shapes = this.on(target.tableOid)
      const affected = new Set(affectedAmong(shapes, relation))
      for (const shape of shapes) if (affected.has(shape) || !target.add(shape)) misplace(target, shape)
    }
    return route
  }

  /** The shapes of a table, those aside whose rows the router does not route. */
  private on(tableOid: number): ReadonlySet<ShapeState> {
    const all = this.options.shapes.on(tableOid)
    const own = new Set<ShapeState>()
    for (const shape of all) if (!this.options.members.has(shape)) own.add(shape)
    return own.size === all.size ? all : own
  }

  /** From now on the shape receives its changes. */
  addShape(shape: ShapeState): void {
    const { leafOids, table } = shape.common
    for (const [oid, route] of this.routes) {
      const target = route.targets.find(({ tableOid }) => tableOid === table.oid)
      if (target !== undefined) this.enter(target, route.relation, shape)
      else if (leafOids?.includes(oid) === true) this.attach(route, shape)
    }
  }

  /** The partition was attached since its route was made: Postgres says nothing of that, but sends the same columns again. */
  private attach({ relation, targets }: TableRoute, shape: ShapeState): void {
    const { oid } = shape.common.table
    const target = new RouteTarget(oid, relation, this.options.makeMatcher)
    this.routes.set(relation.oid, { relation, targets: [...targets, target] })
    for (const other of this.on(oid)) this.enter(target, relation, other)
    this.enter(target, relation, shape)
  }

  /** These are no longer partitions below the table: their rows are none of its rows. */
  detach(tableOid: number, leafOids: ReadonlyArray<number>): void {
    for (const oid of leafOids) {
      const route = this.routes.get(oid)
      if (route === undefined || oid === tableOid) continue
      const targets = route.targets.filter((target) => target.tableOid !== tableOid)
      this.routes.set(oid, { relation: route.relation, targets })
    }
  }

  /** No more rows of the table can come. */
  forgetTable(oid: number): void {
    this.routes.delete(oid)
  }

  removeShape(shape: ShapeState): void {
    for (const route of this.routes.values()) {
      for (const target of route.targets) {
        if (target.tableOid === shape.common.table.oid) target.remove(shape)
      }
    }
  }

  /** A relation of the past does not end a shape that is younger: only a row that is for its log does (`judgeMisfits`). */
  private enter(target: RouteTarget, relation: Relation, shape: ShapeState): void {
    if (isAffectedBy(shape.definition, relation) || !target.add(shape)) misplace(target, shape)
  }
}

const misplace = (target: RouteTarget, shape: ShapeState): void => {
  target.remove(shape)
  target.misfits.add(shape)
  target.misfitsJudgedAt = -1n
}
