import { Effect } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import type { Pieces } from "../../shared/InTurns.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { MakeMatcher } from "./Matcher.ts"
import { RouteTarget } from "./TableRoute.ts"

/** Shapes made ready, and shapes looked at, before other work has its turn. */
const sliceShapes = 64
const sliceLooks = 4096

/** With fewer, what is missing is made ready at once by whoever takes what is ready. */
const fewShapes = 256

/** The shapes that are followed: whoever is new among them has an id that nobody had before. */
interface FollowedShapes {
  readonly count: number
  /** Above all ids. */
  readonly nextId: number
  readonly all: (fromId: number) => Iterable<ShapeState>
}

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
  /** The shapes that were looked at, and how many there were of them. */
  private looked:
    { readonly shapes: FollowedShapes; readonly belowId: number; readonly count: number } | undefined

  constructor(makeMatcher: MakeMatcher) {
    this.makeMatcher = makeMatcher
  }

  /** What is ready is of definitions that do not hold any more. */
  forget(): void {
    this.byTable.clear()
    this.looked = undefined
  }

  /**
   * Adds what is new among the shapes, a few at a time, and takes out what is gone. There may be a million of them, and this is
   * asked again and again: each is looked at once, and all that are ready only when some are gone.
   */
  prepare(shapes: FollowedShapes): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const before = this.looked
      const looked = before?.shapes === shapes ? before : { shapes, belowId: 0, count: 0 }
      const { nextId } = shapes
      let { count } = looked
      let added = 0
      if (nextId > looked.belowId) {
        for (const shape of shapes.all(looked.belowId)) {
          count++
          if (!shape.dropped && this.add(shape)) added++
          if (added === sliceShapes || count % sliceLooks === 0) {
            added = 0
            yield* Effect.yieldNow
          }
        }
      }
      const isSomeGone = count > shapes.count
      this.looked = { shapes, belowId: nextId, count: isSomeGone ? shapes.count : count }
      if (isSomeGone || looked !== before) yield* this.removeDropped()
    })
  }

  private *removeDropped() {
    let count = 0
    for (const [oid, prepared] of this.byTable) {
      for (const shape of prepared.shapes.values()) {
        if (++count % sliceLooks === 0) yield* Effect.yieldNow
        if (!shape.dropped) continue
        prepared.target.remove(shape)
        prepared.shapes.delete(shape.id)
      }
      if (prepared.shapes.size === 0) this.byTable.delete(oid)
    }
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
    const known = prepared.shapes.get(shape.id)
    if (known === shape) return false
    if (known?.handle === shape.handle) {
      // Storage was loaded again.
      prepared.shapes.set(shape.id, shape)
      return false
    }
    if (prepared.target.add(shape)) prepared.shapes.set(shape.id, shape)
    return true
  }

  /**
   * What is missing for rows of this relation that belong to these shapes of the table, one shape after the other: nobody has
   * waited with an instance that is given the lock when it starts, and a table that was altered is another one.
   */
  *complete(tableOid: number, relation: Relation, shapes: ReadonlySet<ShapeState>): Pieces {
    const known = this.byTable.get(tableOid)
    const isFit = known?.target.takesRowsOf(relation) === true
    if (shapes.size - (isFit ? known.shapes.size : 0) < fewShapes) return
    const prepared = isFit
      ? known
      : {
          target: new RouteTarget(tableOid, relation, this.makeMatcher),
          shapes: new Map<number, ShapeState>()
        }
    this.byTable.set(tableOid, prepared)
    for (const shape of shapes) {
      if (!shape.dropped && prepared.target.add(shape)) prepared.shapes.set(shape.id, shape)
      yield
      // It was forgotten meanwhile: definitions have changed.
      if (this.byTable.get(tableOid) !== prepared) return
    }
  }

  /**
   * What is ready for rows of this relation that belong to shapes of the table, if anything is; it is the caller's then.
   * Shapes that are not among `live` have been taken out, others may be missing.
   */
  take(tableOid: number, relation: Relation, live: ReadonlySet<ShapeState>): RouteTarget | undefined {
    const prepared = this.byTable.get(tableOid)
    if (prepared === undefined || !prepared.target.takesRowsOf(relation)) return undefined
    this.byTable.delete(tableOid)
    const others: Array<ShapeState> = []
    for (const shape of prepared.shapes.values()) if (!live.has(shape)) others.push(shape)
    // Where storage was loaded again all are others.
    const handles = new Map(others.length === 0 ? [] : Array.from(live, ({ handle, id }) => [id, handle]))
    for (const shape of others) if (handles.get(shape.id) !== shape.handle) prepared.target.remove(shape)
    return prepared.target
  }
}
