import type { MemberTable } from "../where/index.ts"
import { sharedClause, type DefinitionTemplate } from "./InternDefinition.ts"

type Table = DefinitionTemplate["common"]["table"]

/** The shapes on a table, and the templates that they have. */
interface OnTable<S> {
  readonly shapes: Set<S>
  readonly templates: Set<DefinitionTemplate>
}

/** Shapes of one template: all that is told apart here is the same for them. */
interface Kind<S> {
  readonly own: Set<S>
  /** By what their sub-selects read and their conditions use. */
  readonly others: ReadonlyArray<Set<S>>
  count: number
}

const membersOf = (template: DefinitionTemplate): ReadonlyArray<MemberTable> =>
  sharedClause(template)?.members ?? []
const usesOf = (template: DefinitionTemplate): ReadonlyArray<string> => sharedClause(template)?.uses ?? []

/**
 * Live shapes by the table they are on, by those that their sub-selects read, and by what their conditions use. Of a million shapes
 * most have a template in common: who asks about tables looks at those, and not at each shape.
 */
export class ShapesByTable<S extends { readonly template: DefinitionTemplate }> {
  private readonly byOid = new Map<number, OnTable<S>>()
  private readonly byInner = new Map<number, Set<S>>()
  private readonly byUse = new Map<string, Set<S>>()
  private readonly kinds = new Map<DefinitionTemplate, Kind<S>>()
  /** What was added last: the next one is of the same kind most of the time. */
  private last: { readonly template: DefinitionTemplate; readonly kind: Kind<S> } | undefined
  /** As long as no table comes to be in use, or is used no more. */
  private inUse: ReadonlyArray<Table> | undefined
  private inUseByName:
    | { readonly of: ReadonlyArray<Table>; readonly names: ReadonlyMap<string, ReadonlyArray<Table>> }
    | undefined

  /** `template` is the shape's, which must not become another one before the shape is removed. */
  add(shape: S, template = shape.template): void {
    if (this.last?.template !== template)
      this.last = { template, kind: this.kinds.get(template) ?? this.begin(template) }
    const { kind } = this.last
    const { size } = kind.own
    kind.own.add(shape)
    if (kind.own.size === size) return
    kind.count++
    for (const set of kind.others) set.add(shape)
  }

  private begin(template: DefinitionTemplate): Kind<S> {
    const before = this.sizes
    const own = this.onTable(template.common.table.oid)
    own.templates.add(template)
    const others = [
      ...usesOf(template).map((key) => setIn(this.byUse, key)),
      ...membersOf(template).map(({ table }) => setIn(this.byInner, table.oid))
    ]
    const kind = { own: own.shapes, others, count: 0 }
    this.kinds.set(template, kind)
    if (this.sizes !== before) this.inUse = undefined
    return kind
  }

  private onTable(oid: number): OnTable<S> {
    const known = this.byOid.get(oid)
    if (known !== undefined) return known
    const made = { shapes: new Set<S>(), templates: new Set<DefinitionTemplate>() }
    this.byOid.set(oid, made)
    return made
  }

  remove(shape: S): void {
    const { template } = shape
    const kind = this.kinds.get(template)
    if (kind?.own.delete(shape) !== true) return
    for (const set of kind.others) set.delete(shape)
    if (--kind.count === 0) this.end(template)
  }

  /** The last shape of the template is gone. */
  private end(template: DefinitionTemplate): void {
    this.kinds.delete(template)
    if (this.last?.template === template) this.last = undefined
    const before = this.sizes
    const { oid } = template.common.table
    this.byOid.get(oid)?.templates.delete(template)
    if (this.byOid.get(oid)?.shapes.size === 0) this.byOid.delete(oid)
    for (const key of usesOf(template)) forgetEmpty(this.byUse, key)
    for (const { table } of membersOf(template)) forgetEmpty(this.byInner, table.oid)
    if (this.sizes !== before) this.inUse = undefined
  }

  /** One kind only begins or only ends. */
  private get sizes(): number {
    return this.byOid.size + this.byInner.size
  }

  /** The shapes that hold rows of the table. */
  on(tableOid: number): ReadonlySet<S> {
    return this.byOid.get(tableOid)?.shapes ?? none
  }

  /** Those of them that were made by a template for which this is true: as a rule none, and then there is no look at each. */
  onWhere(tableOid: number, isMeant: (template: DefinitionTemplate) => boolean): ReadonlyArray<S> {
    const { shapes, templates } = this.byOid.get(tableOid) ?? nothing
    const meant = new Set([...templates].filter(isMeant))
    return meant.size === 0 ? [] : Array.from<S>(shapes).filter(({ template }) => meant.has(template))
  }

  /** What all shapes were made by. */
  templates(): Iterable<DefinitionTemplate> {
    return this.kinds.keys()
  }

  /** The shapes whose sub-selects read the table, at whatever level. One may be on the table as well. */
  withInner(tableOid: number): ReadonlySet<S> {
    return this.byInner.get(tableOid) ?? none
  }

  /** All that have sub-selects. */
  withMembers(): ReadonlySet<S> {
    const found = new Set<S>()
    for (const shapes of this.byInner.values()) for (const shape of shapes) found.add(shape)
    return found
  }

  /** Both: the shapes that need every change of the table. */
  needing(tableOid: number): ReadonlySet<S> {
    const inner = this.withInner(tableOid)
    return inner.size === 0 ? this.on(tableOid) : new Set([...this.on(tableOid), ...inner])
  }

  /** A table that sub-selects read, as reasons name it. */
  named(tableOid: number): string {
    const member = this.memberOn(tableOid)
    return member === undefined ? "a table" : `table ${member.table.schema}.${member.table.name}`
  }

  private memberOn(tableOid: number): MemberTable | undefined {
    const [shape] = this.withInner(tableOid)
    return shape === undefined
      ? undefined
      : membersOf(shape.template).find(({ table }) => table.oid === tableOid)
  }

  /** Some shape needs changes of the table. */
  isInUse(tableOid: number): boolean {
    return this.byOid.has(tableOid) || this.byInner.has(tableOid)
  }

  /** Shapes whose conditions use the object, which is one of `WhereClause.uses`. */
  using(key: string): ReadonlySet<S> {
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
    for (const [oid, { shapes }] of this.byOid) {
      yield oid
      const [shape] = shapes
      yield* shape?.template.common.leafOids ?? []
    }
    for (const oid of this.byInner.keys()) {
      if (!this.byOid.has(oid)) yield oid
      yield* this.memberOn(oid)?.leafOids ?? []
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
    const tables: Array<Table> = []
    for (const { shapes } of this.byOid.values()) {
      const [shape] = shapes
      if (shape !== undefined) tables.push(shape.template.common.table)
    }
    for (const oid of this.byInner.keys()) {
      const member = this.byOid.has(oid) ? undefined : this.memberOn(oid)
      if (member !== undefined) tables.push(member.table)
    }
    return tables
  }
}

const none: ReadonlySet<never> = new Set()
const nothing: OnTable<never> = { shapes: new Set(), templates: new Set() }

const setIn = <K, S>(map: Map<K, Set<S>>, key: K): Set<S> => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = new Set<S>()
  map.set(key, made)
  return made
}

const forgetEmpty = <K, S>(map: Map<K, Set<S>>, key: K): void => {
  if (map.get(key)?.size === 0) map.delete(key)
}

/** No name of Postgres has a NUL in it. */
const nameKey = (schema: string, name: string): string => `${schema}\0${name}`

const enterInto = <K, V>(map: Map<K, Array<V>>, key: K, value: V): void => {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
