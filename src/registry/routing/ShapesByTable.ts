import type { ShapeState } from "../../storage/state/ShapeState.ts"

type Table = ShapeState["common"]["table"]

/** Live shapes by the table they are on, by those that their sub-selects read, and by what their conditions use. */
export class ShapesByTable {
  private readonly byOid = new Map<number, Set<ShapeState>>()
  private readonly byInner = new Map<number, Set<ShapeState>>()
  private readonly byUse = new Map<string, Set<ShapeState>>()
  /** As long as no table comes to be in use, or is used no more. */
  private inUse: ReadonlyArray<Table> | undefined
  private inUseByName:
    | { readonly of: ReadonlyArray<Table>; readonly names: ReadonlyMap<string, ReadonlyArray<Table>> }
    | undefined

  add(shape: ShapeState): void {
    for (const key of shape.uses) enter(this.byUse, key, shape)
    const before = this.sizes
    for (const { table } of shape.members) enter(this.byInner, table.oid, shape)
    enter(this.byOid, shape.common.table.oid, shape)
    if (this.sizes !== before) this.inUse = undefined
  }

  remove(shape: ShapeState): void {
    for (const key of shape.uses) leave(this.byUse, key, shape)
    const before = this.sizes
    for (const { table } of shape.members) leave(this.byInner, table.oid, shape)
    leave(this.byOid, shape.common.table.oid, shape)
    if (this.sizes !== before) this.inUse = undefined
  }

  /** One shape only adds or only removes. */
  private get sizes(): number {
    return this.byOid.size + this.byInner.size
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

  /** Tables that are in use, and the partitions that rows of theirs stand in. */
  *tablesBelow(): Iterable<number> {
    for (const shapes of this.byOid.values())
      for (const { common } of shapes) {
        yield common.table.oid
        yield* common.leafOids ?? []
        break
      }
    for (const [oid, shapes] of this.byInner) {
      if (!this.byOid.has(oid)) yield oid
      const [shape] = shapes
      yield* shape?.members.find(({ table }) => table.oid === oid)?.leafOids ?? []
    }
  }

  /** Tables that are in use: the same list as long as they are the same. */
  tables(): ReadonlyArray<Table> {
    return (this.inUse ??= this.findTables())
  }

  /** Those of them that had the name when their shapes were made. Asked for each table that the stream describes: by name, however many there are. */
  tablesNamed(schema: string, name: string): ReadonlyArray<Table> {
    const tables = this.tables()
    if (this.inUseByName?.of !== tables) {
      const names = new Map<string, Array<Table>>()
      for (const table of tables) enterInto(names, nameKey(table.schema, table.name), table)
      this.inUseByName = { of: tables, names }
    }
    return this.inUseByName.names.get(nameKey(schema, name)) ?? []
  }

  private findTables(): ReadonlyArray<Table> {
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

/** No name of Postgres has a NUL in it. */
const nameKey = (schema: string, name: string): string => `${schema}\0${name}`

const enterInto = <K, V>(map: Map<K, Array<V>>, key: K, value: V): void => {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
