import type { Relation } from "../../postgres/Relation.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { ConcernedShapes } from "./ConcernedShapes.ts"
import type { RouterOptions } from "./RouterOptions.ts"
import type { Routes } from "./Routes.ts"

/** What becomes of shapes whose table the transaction at hand truncates. */
export class Truncations {
  private readonly options: Pick<RouterOptions, "engine" | "members" | "shapes">
  private readonly concerned: ConcernedShapes
  private readonly routes: Routes
  /** Tables that have lost all their rows, or those of some partitions. */
  private tables: Set<number> | undefined

  constructor(
    options: Pick<RouterOptions, "engine" | "members" | "shapes">,
    concerned: ConcernedShapes,
    routes: Routes
  ) {
    this.options = options
    this.concerned = concerned
    this.routes = routes
  }

  begin(): void {
    this.tables = undefined
  }

  of(relations: ReadonlyArray<Relation>, isReplayed: boolean): undefined {
    const { members, shapes } = this.options
    const { emptied, narrowed } = this.routes.truncated(relations)
    for (const oid of emptied) {
      const routed = [...shapes.on(oid)].filter((shape) => !members.has(shape))
      this.handOver(routed, isReplayed)
      this.compare(
        [...shapes.on(oid)].filter((shape) => !members.has(shape)),
        isReplayed
      )
    }
    // Which of their rows were those of the partitions no log says.
    for (const oid of narrowed) this.compare([...shapes.on(oid)], isReplayed)
    members.truncate([...emptied])
    if (isReplayed) return
    this.tables ??= new Set()
    for (const oid of [...narrowed, ...emptied]) this.tables.add(oid)
  }

  /** What they lose is worked out beside the stream: nothing of this transaction is in its ordinary record. */
  private handOver(shapes: ReadonlyArray<ShapeState>, isReplayed: boolean): void {
    const emptied = this.concerned.emptied(shapes)
    if (emptied.length === 0 || !this.options.members.adopt(emptied)) return
    for (const shape of emptied) this.routes.removeShape(shape)
    this.retract(emptied, isReplayed)
  }

  /** What they have lost only a comparison with the database tells. */
  private compare(shapes: ReadonlyArray<ShapeState>, isReplayed: boolean): void {
    const { members } = this.options
    const able = shapes.filter(
      (shape) =>
        this.concerned.canBeMended(shape) && (!isReplayed || (members.has(shape) && !members.hasPassed()))
    )
    if (able.length > 0) this.concerned.amend(able, truncated)
  }

  /** Takes back what stands of the shapes in the ordinary record of the transaction at hand. */
  retract(shapes: ReadonlyArray<ShapeState>, isReplayed: boolean): void {
    if (isReplayed || shapes.length === 0) return
    const { engine } = this.options
    const written = new Set(engine.store.pendingIds())
    const ids = shapes.flatMap(({ id }) => (written.has(id) ? [id] : []))
    if (ids.length > 0) engine.writing?.write({ t: "retracted", ids })
  }

  /** Only now, so that a shape made meanwhile is not missed; one whose snapshot shows the truncation stays. */
  commit(): void {
    if (this.tables === undefined) return
    const { members, shapes } = this.options
    for (const oid of this.tables)
      this.concerned.drop(
        [...shapes.on(oid)].filter((shape) => !members.has(shape)),
        truncated
      )
  }
}

const truncated = "its table was truncated"
