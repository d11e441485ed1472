import type { ShapeState } from "../../storage/state/ShapeState.ts"

type Table = ShapeState["common"]["table"]

/** Live shapes by the table they are on, by those that their sub-selects read, and by what their conditions use. */
export class ShapesByTable {
  private readonly byOid = new Map<number, Set<ShapeState>>()
  private readonly byInner = new Map<number, Set<ShapeState>>()
  private readonly byUse = new Map<string, Set<ShapeState>>()

  add(shape: ShapeState): void {
    for (const key of shape.uses) enter(this.byUse, key, shape)
    for (const { table } of shape.members) enter(this.byInner, table.oid, shape)
    enter(this.byOid, shape.common.table.oid, shape)
  }

  remove(shape: ShapeState): void {
    for (const key of shape.uses) leave(this.byUse, key, shape)
    for (const { table } of shape.members) leave(this.byInner, table.oid, shape)
    leave(this.byOid, shape.common.table.oid, shape)
  }

  /** The shapes that hold rows of the table. */
  on(tableOid: number): ReadonlySet<ShapeState> {
    return this.byOid.get(tableOid) ?? none
  }

  /** The shapes whose sub-selects read the table, at whatever level. One may be on the table as well. */
  withInner(tableOid: number): ReadonlySet<ShapeState> {
    return this.byInner.get(tableOid) ?? none
  }

  /** Both: the shapes that need every change of the table. */
  needing(tableOid: number): ReadonlySet<ShapeState> {
    const inner = this.withInner(tableOid)
    return inner.size === 0 ? this.on(tableOid) : new Set([...this.on(tableOid), ...inner])
  }

  /** A table that sub-selects read, as reasons name it. */
  named(tableOid: number): string {
    const [shape] = this.withInner(tableOid)
    const member = shape?.members.find(({ table }) => table.oid === tableOid)
    return member === undefined ? "a table" : `table ${member.table.schema}.${member.table.name}`
  }

  /** Some shape needs changes of the table. */
  isInUse(tableOid: number): boolean {
    return this.byOid.has(tableOid) || this.byInner.has(tableOid)
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

  /** Tables that are in use. */
  tables(): ReadonlyArray<Table> {
    const tables = new Map<number, Table>()
    for (const set of this.byOid.values())
      for (const shape of set) {
        tables.set(shape.common.table.oid, shape.common.table)
        break
      }
    for (const [oid, set] of this.byInner) {
      const [shape] = set
      const member = tables.has(oid) ? undefined : shape?.members.find(({ table }) => table.oid === oid)
      if (member !== undefined) tables.set(oid, member.table)
    }
    return [...tables.values()]
  }
}

const none: ReadonlySet<ShapeState> = new Set()

const enter = <K>(map: Map<K, Set<ShapeState>>, key: K, shape: ShapeState): void => {
  const set = map.get(key)
  if (set === undefined) map.set(key, new Set([shape]))
  else set.add(shape)
}

const leave = <K>(map: Map<K, Set<ShapeState>>, key: K, shape: ShapeState): void => {
  const set = map.get(key)
  set?.delete(shape)
  if (set?.size === 0) map.delete(key)
}
