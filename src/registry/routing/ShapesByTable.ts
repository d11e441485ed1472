import type { ShapeState } from "../../storage/state/ShapeState.ts"

/** Live shapes by the table they are on, and by what their conditions use. */
export class ShapesByTable {
  private readonly byOid = new Map<number, Set<ShapeState>>()
  private readonly byUse = new Map<string, Set<ShapeState>>()

  add(shape: ShapeState): void {
    for (const key of shape.uses) {
      const users = this.byUse.get(key)
      if (users === undefined) this.byUse.set(key, new Set([shape]))
      else users.add(shape)
    }
    const { oid } = shape.common.table
    const set = this.byOid.get(oid)
    if (set === undefined) this.byOid.set(oid, new Set([shape]))
    else set.add(shape)
  }

  remove(shape: ShapeState): void {
    for (const key of shape.uses) {
      const users = this.byUse.get(key)
      users?.delete(shape)
      if (users?.size === 0) this.byUse.delete(key)
    }
    const { oid } = shape.common.table
    const set = this.byOid.get(oid)
    if (set === undefined) return
    set.delete(shape)
    if (set.size === 0) this.byOid.delete(oid)
  }

  on(tableOid: number): ReadonlySet<ShapeState> {
    return this.byOid.get(tableOid) ?? none
  }

  /** Shapes whose conditions use the object, which is one of `WhereClause.uses`. */
  using(key: string): ReadonlySet<ShapeState> {
    return this.byUse.get(key) ?? none
  }

  usedObjects(): ReadonlyArray<string> {
    return [...this.byUse.keys()]
  }

  get isEmpty(): boolean {
    return this.byOid.size === 0
  }

  /** Tables that have shapes. */
  tables(): ReadonlyArray<{ readonly oid: number; readonly schema: string; readonly name: string }> {
    const tables: Array<{ readonly oid: number; readonly schema: string; readonly name: string }> = []
    for (const set of this.byOid.values())
      for (const shape of set) {
        tables.push(shape.common.table)
        break
      }
    return tables
  }
}

const none: ReadonlySet<ShapeState> = new Set()
