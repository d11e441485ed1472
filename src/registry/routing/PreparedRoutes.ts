import { Effect, type Scope } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import type { Pieces } from "../../shared/InTurns.ts"
import type { EngineListeners } from "../../storage/EngineListeners.ts"
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
  /** Above all ids. */
  readonly nextId: number
  /** How often one of them was given another definition. */
  readonly redefinitions: number
  readonly get: (id: number) => ShapeState | undefined
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
  /** The shapes that were looked at, with ids below this. */
  private looked: { readonly shapes: FollowedShapes; readonly belowId: number } | undefined
  /** How these shapes were defined when they were looked at first: before anything of theirs was made ready. */
  private defined: { readonly shapes: FollowedShapes; readonly redefinitions: number } | undefined
  /** All that is ready is of these, and live. */
  private exactOf: FollowedShapes | undefined

  constructor(makeMatcher: MakeMatcher) {
    this.makeMatcher = makeMatcher
  }

  /** What is ready is of definitions that do not hold any more. */
  forget(): void {
    this.byTable.clear()
    this.looked = undefined
    this.defined = undefined
    this.exactOf = undefined
  }

  /** To be told of every shape that goes, as long as anything may be ready. */
  readonly dropped = (shape: ShapeState): void => {
    const { oid } = shape.common.table
    const prepared = this.byTable.get(oid)
    if (prepared?.shapes.get(shape.id) !== shape) return
    prepared.target.remove(shape)
    prepared.shapes.delete(shape.id)
    if (prepared.shapes.size === 0) this.byTable.delete(oid)
  }

  /** Adds what is new among the shapes, a few at a time. There may be a million of them, and this is asked again and again: each is looked at once. */
  prepare(shapes: FollowedShapes): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const { nextId, redefinitions } = shapes
      this.forgetRedefined(shapes)
      this.defined = { shapes, redefinitions }
      const before = this.looked
      const isOther = before?.shapes !== shapes
      const fromId = isOther ? 0 : before.belowId
      let added = 0
      let count = 0
      if (nextId > fromId) {
        for (const shape of shapes.all(fromId)) {
          count++
          if (!shape.dropped && this.add(shape)) added++
          if (added === sliceShapes || count % sliceLooks === 0) {
            added = 0
            yield* Effect.yieldNow
          }
        }
      }
      this.looked = { shapes, belowId: nextId }
      // Whoever is interrupted in it begins it again.
      if (this.exactOf !== shapes) yield* this.removeOthers(shapes)
      this.exactOf = shapes
    })
  }

  private forgetRedefined(shapes: FollowedShapes): void {
    const { defined } = this
    if (defined?.shapes === shapes && defined.redefinitions !== shapes.redefinitions) this.forget()
  }

  /** Storage was loaded again: what is ready of shapes that are not there any more is of no use. */
  private *removeOthers(shapes: FollowedShapes) {
    let count = 0
    for (const [oid, prepared] of this.byTable) {
      for (const shape of prepared.shapes.values()) {
        if (++count % sliceLooks === 0) yield* Effect.yieldNow
        if (shapes.get(shape.id) === shape) continue
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
    if (known !== undefined) {
      // Storage was loaded again.
      if (known.handle === shape.handle && known.template === shape.template) {
        prepared.shapes.set(shape.id, shape)
        return false
      }
      prepared.target.remove(known)
      prepared.shapes.delete(shape.id)
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
   * What is ready for rows of this relation that belong to shapes of the table, if anything is; it is the caller's then. It has none but
   * those in `live`, of which others may be missing: where `belowId` is given, hardly any with a lower id. `of`: all shapes, where
   * `live` are those of them that are on the table.
   */
  take(
    tableOid: number,
    relation: Relation,
    live: ReadonlySet<ShapeState>,
    of?: FollowedShapes
  ): { readonly target: RouteTarget; readonly belowId: number | undefined } | undefined {
    if (of !== undefined) this.forgetRedefined(of)
    const prepared = this.byTable.get(tableOid)
    if (prepared === undefined || !prepared.target.takesRowsOf(relation)) return undefined
    this.byTable.delete(tableOid)
    const { target } = prepared
    if (of !== undefined && of === this.exactOf) return { target, belowId: this.looked?.belowId }
    const others: Array<ShapeState> = []
    for (const shape of prepared.shapes.values()) if (!live.has(shape)) others.push(shape)
    // Where storage was loaded again all are others.
    const handles = new Map(others.length === 0 ? [] : Array.from(live, ({ handle, id }) => [id, handle]))
    for (const shape of others) if (handles.get(shape.id) !== shape.handle) target.remove(shape)
    return { target, belowId: undefined }
  }
}

/** Told of every shape that goes, until the scope ends. */
export const makePreparedRoutes = (
  makeMatcher: MakeMatcher,
  { dropped }: Pick<EngineListeners, "dropped">
): Effect.Effect<PreparedRoutes, never, Scope.Scope> =>
  Effect.suspend(() => {
    const routes = new PreparedRoutes(makeMatcher)
    const told = Effect.acquireRelease(
      Effect.sync(() => dropped.subscribe(routes.dropped)),
      (unsubscribe) => Effect.sync(unsubscribe)
    )
    return Effect.as(told, routes)
  })
