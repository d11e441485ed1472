import { Effect } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { MakeMatcher } from "./Matcher.ts"
import { RouteTarget } from "./TableRoute.ts"

/** Shapes looked at before other work has its turn. */
const sliceShapes = 64

interface Prepared {
  readonly target: RouteTarget
  /** As the target knows them. */
  readonly shapes: Map<number, ShapeState>
}

/**
 * What a waiting instance can make ready of the work of the active one: the conditions of the shapes it follows, compiled
 * and indexed, by table. It need not be complete, nor up to date, since the session that takes it puts that right, which costs
 * little; compiling ten thousand conditions when the first change has already come would hold up every client.
 */
export class PreparedRoutes {
  private readonly byTable = new Map<number, Prepared>()
  private readonly makeMatcher: MakeMatcher

  constructor(makeMatcher: MakeMatcher) {
    this.makeMatcher = makeMatcher
  }

  /** What is ready is of definitions that do not hold any more. */
  forget(): void {
    this.byTable.clear()
  }

  /** Adds what is new among the shapes, a few at a time. Takes a look at every shape when there is nothing to do. */
  prepare(shapes: Iterable<ShapeState>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      let inSlice = 0
      for (const shape of Array.from(shapes)) {
        if (!shape.dropped && this.add(shape) && ++inSlice % sliceShapes === 0) yield* Effect.yieldNow
      }
      for (const [oid, prepared] of this.byTable) {
        for (const shape of prepared.shapes.values()) {
          if (!shape.dropped) continue
          prepared.target.remove(shape)
          prepared.shapes.delete(shape.id)
        }
        if (prepared.shapes.size === 0) this.byTable.delete(oid)
      }
    })
  }

  /** False when there was nothing to do. Rows of shapes with sub-selects are matched elsewhere. */
  private add(shape: ShapeState): boolean {
    if (shape.members.length > 0) return false
    const { table, tableColumns } = shape.common
    let prepared = this.byTable.get(table.oid)
    if (prepared === undefined) {
      const relation: Relation = {
        ...table,
        replicaIdentity: "f",
        columns: tableColumns.map(({ name, typeOid }) => ({
          name,
          typeOid,
          typeModifier: -1,
          isKey: false
        }))
      }
      const target = new RouteTarget(table.oid, relation, this.makeMatcher)
      this.byTable.set(table.oid, (prepared = { target, shapes: new Map() }))
    }
    if (prepared.shapes.get(shape.id)?.handle === shape.handle) return false
    if (prepared.target.add(shape)) prepared.shapes.set(shape.id, shape)
    return true
  }

  /**
   * What is ready for rows of this relation that belong to shapes of the table, if anything is; it is the caller's then.
   * Shapes that are not among `live` have been taken out, others may be missing.
   */
  take(tableOid: number, relation: Relation, live: ReadonlySet<ShapeState>): RouteTarget | undefined {
    const prepared = this.byTable.get(tableOid)
    if (prepared === undefined || !prepared.target.takesRowsOf(relation)) return undefined
    this.byTable.delete(tableOid)
    const handles = new Map(Array.from(live, ({ handle, id }) => [id, handle]))
    for (const [id, shape] of prepared.shapes)
      if (handles.get(id) !== shape.handle) prepared.target.remove(shape)
    return prepared.target
  }
}
