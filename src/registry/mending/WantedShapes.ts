import type { ShapeState } from "../../storage/state/ShapeState.ts"

/** A shape that is to be compared with the database. */
export interface WantedShape {
  readonly shape: ShapeState
  /** What has happened to its table. */
  readonly reason: string
  /** Transactions of which its log may have a part only: what it is compared with has to contain them. */
  readonly xids: Array<number>
}

/** After so many comparisons at once something is wrong with the shape. */
const mostTries = 20

/** Shapes that wait for that, by table. */
export class WantedShapes {
  private readonly byTable = new Map<number, Map<ShapeState, WantedShape>>()
  private readonly tries = new Map<ShapeState, number>()
  /** Those that are about to be looked at. */
  private about: ReadonlyArray<WantedShape> = []

  get isEmpty(): boolean {
    return this.byTable.size === 0
  }

  has(shape: ShapeState): boolean {
    return this.byTable.get(shape.common.table.oid)?.has(shape) === true
  }

  /** Wanted, and not right since. */
  isUnderWay(shape: ShapeState): boolean {
    return this.tries.has(shape)
  }

  /** False where it was wanted too often without having been right in between. */
  add(shape: ShapeState, reason: string, xid: number | undefined): boolean {
    const about = this.about.find((one) => one.shape === shape)
    if (about !== undefined) {
      if (xid !== undefined) about.xids.push(xid)
      return true
    }
    const { oid } = shape.common.table
    let shapes = this.byTable.get(oid)
    if (shapes === undefined) this.byTable.set(oid, (shapes = new Map()))
    const known = shapes.get(shape)
    if (known !== undefined) {
      if (xid !== undefined) known.xids.push(xid)
      return true
    }
    const tries = (this.tries.get(shape) ?? 0) + 1
    this.tries.set(shape, tries)
    if (tries > mostTries) {
      this.remove(shape)
      return false
    }
    shapes.set(shape, { shape, reason, xids: xid === undefined ? [] : [xid] })
    return true
  }

  /** They are looked at next: what is wanted of them until `looking`, that look will show. */
  lookSoon(wanted: ReadonlyArray<WantedShape>): void {
    this.about = wanted
  }
  looking(): void {
    this.about = []
  }

  *all(): Iterable<WantedShape> {
    for (const shapes of this.byTable.values()) yield* shapes.values()
  }

  /** All of one table: nobody wants them any more. */
  takeTable(): { readonly oid: number; readonly wanted: ReadonlyArray<WantedShape> } | undefined {
    for (const [oid, shapes] of this.byTable) {
      this.byTable.delete(oid)
      return { oid, wanted: [...shapes.values()] }
    }
    return undefined
  }

  remove(shape: ShapeState): void {
    const { oid } = shape.common.table
    const shapes = this.byTable.get(oid)
    shapes?.delete(shape)
    if (shapes?.size === 0) this.byTable.delete(oid)
    this.tries.delete(shape)
  }

  /** It has all that there is, and goes on as others do. */
  isRight(shape: ShapeState): void {
    this.tries.delete(shape)
  }
}
