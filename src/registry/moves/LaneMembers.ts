import type { InnerTarget } from "../../membership/InnerTarget.ts"
import type { MembershipState } from "../../membership/MembershipState.ts"
import { constantsIn, nestedIn, type Subselect, subselectsOf } from "../../membership/Subselect.ts"
import type { Subscription } from "../../membership/Subscription.ts"
import type { Relation } from "../../postgres/Relation.ts"
import { affectedAmong } from "../../shapes/SchemaChange.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import {
  type ClauseColumn,
  columnsOf,
  isStoredExpression,
  type Plan,
  type StoredExpression,
  type SubselectKind
} from "../../where/index.ts"
import type { MakeMatcher } from "../routing/Matcher.ts"
import { LaneTable } from "./LaneTable.ts"
import { type Probe, probesOf } from "./Probes.ts"
import { type Reach, type Reaches, reachesOf } from "./Reach.ts"

/** The condition of a shape, if it has sub-selects. */
const memberExpression = ({ where }: ShapeDefinition): StoredExpression | undefined =>
  where !== undefined && isStoredExpression(where.expression) && subselectsOf(where.expression).length > 0
    ? where.expression
    : undefined

/** The shape has sub-selects in its condition. */
export const hasSubselects = (definition: ShapeDefinition): boolean =>
  memberExpression(definition) !== undefined

/** Oids of the tables that the shape has to do with, partitions included. */
export const tablesOf = (definition: ShapeDefinition): ReadonlyArray<number> => {
  const { leafOids, table, where } = definition
  const oids = new Set([table.oid, ...(leafOids ?? [])])
  const expression = memberExpression(definition)
  const enter = (subselects: ReadonlyArray<Subselect>) => {
    for (const one of subselects) {
      oids.add(one.kind.plan.table.oid)
      enter(nestedIn(one))
    }
  }
  if (expression !== undefined) enter(subselectsOf(expression))
  for (const member of where?.members ?? []) for (const leaf of member.leafOids ?? []) oids.add(leaf)
  return [...oids]
}

/** Everything that one shape needs of the lane. */
export interface Reservation {
  readonly own: LaneTable
  readonly subselects: ReadonlyArray<Subselect>
  /** With those inside of each other, the deepest first. */
  readonly subscriptions: ReadonlyArray<Subscription>
  readonly tables: ReadonlyArray<LaneTable>
  readonly probes: ReadonlyArray<readonly [LaneTable, Probe]>
  readonly reaches: ReadonlyArray<Reach>
  /** Once there is one. */
  shape: ShapeState | undefined
  isReleased: boolean
}

/** Where a kind is asked. */
export interface Place {
  readonly table: LaneTable
  readonly probe: Probe
}

interface UsedPlace extends Place {
  users: number
}

interface UsedReach {
  readonly reach: Reach
  users: number
}

/** What shapes with sub-selects have to do with tables, and with each other. */
export class LaneMembers implements Reaches {
  readonly state: MembershipState
  readonly tables = new Map<number, LaneTable>()
  private readonly makeMatcher: MakeMatcher
  private readonly byShape = new Map<number, Reservation>()
  private readonly reservations = new Set<Reservation>()
  private readonly places = new Map<SubselectKind, Map<string, UsedPlace>>()
  private readonly reaches = new Map<SubselectKind, Map<string, UsedReach>>()
  /** Tables that the rows of a relation are rows of, the relation itself aside. */
  private readonly above = new Map<number, Set<number>>()
  private readonly routes = new Map<number, ReadonlyArray<LaneTable>>()

  constructor(state: MembershipState, makeMatcher: MakeMatcher) {
    this.state = state
    this.makeMatcher = makeMatcher
  }

  get isEmpty(): boolean {
    return this.reservations.size === 0
  }

  all(): Iterable<Reservation> {
    return this.reservations
  }

  reservationOf(shape: ShapeState): Reservation | undefined {
    return this.byShape.get(shape.id)
  }

  /** Makes known what the shape needs. Not while rows are at hand, or a transaction is open in the state. */
  reserve(definition: ShapeDefinition): Reservation {
    const expression = memberExpression(definition)
    const subselects = expression === undefined ? [] : subselectsOf(expression)
    const subscriptions = new Set<Subscription>()
    for (const { asked, constants: own, kind } of subselects)
      for (const one of this.state.subscribe(kind, own, asked)) subscriptions.add(one)
    const tables = new Set<LaneTable>()
    const probes: Array<readonly [LaneTable, Probe]> = []
    const use = (table: LaneTable, columns: Iterable<ClauseColumn>, found: ReadonlyArray<Probe>) => {
      if (!tables.has(table)) {
        tables.add(table)
        table.users++
      }
      table.need(columns)
      for (const probe of found) {
        probes.push([table, probe])
        table.addProbe(probe)
        this.addPlace(table, probe)
      }
    }
    const own = this.tableOf(definition.table, definition.leafOids)
    const needs = expression === undefined ? noNeeds : needsOf(expression)
    const reaches = [...needs.reaches]
    use(own, neededColumns(definition), needs.probes)
    const leaves = new Map(definition.where?.members?.map(({ leafOids, table }) => [table.oid, leafOids]))
    for (const { constants: texts, kind } of subscriptions) {
      const { moves: deeper, plan: inner, table } = kind.plan
      const innerTable = this.tableOf(table, leaves.get(table.oid))
      reaches.push(...reachesOf(inner, constantsIn(texts)))
      use(innerTable, inner.columns, probesOf(inner, constantsIn(texts), deeper))
    }
    for (const reach of reaches) this.addReach(reach)
    const reservation = {
      own,
      subselects,
      subscriptions: [...subscriptions].toSorted((a, b) => a.of.depth - b.of.depth),
      tables: [...tables],
      probes,
      reaches,
      shape: undefined,
      isReleased: false
    }
    this.reservations.add(reservation)
    return reservation
  }

  private tableOf(
    named: { readonly oid: number; readonly schema: string; readonly name: string },
    leafOids: ReadonlyArray<number> | undefined
  ): LaneTable {
    const { state } = this
    let table = this.tables.get(named.oid)
    if (table === undefined) {
      table = new LaneTable(named, {
        makeMatcher: this.makeMatcher,
        makeInner: (oid, columns) => state.target(oid, columns),
        releaseInner: (target: InnerTarget) => state.release(target)
      })
      this.tables.set(named.oid, table)
      this.routes.clear()
    }
    if (leafOids !== undefined) table.isPartitioned = true
    for (const leaf of leafOids ?? []) this.attach(leaf, named.oid)
    return table
  }

  private addPlace(table: LaneTable, probe: Probe): void {
    let places = this.places.get(probe.kind)
    if (places === undefined) this.places.set(probe.kind, (places = new Map<string, UsedPlace>()))
    const key = `${table.oid} ${probe.key}`
    const known = places.get(key)
    if (known === undefined) places.set(key, { table, probe, users: 1 })
    else known.users++
  }

  private removePlace(table: LaneTable, probe: Probe): void {
    const places = this.places.get(probe.kind)
    const key = `${table.oid} ${probe.key}`
    const known = places?.get(key)
    if (known === undefined || --known.users > 0) return
    places?.delete(key)
    if (places?.size === 0) this.places.delete(probe.kind)
  }

  private addReach(reach: Reach): void {
    const reaches = this.reaches.get(reach.from) ?? new Map<string, UsedReach>()
    const known = reaches.get(reach.key)
    if (known === undefined) reaches.set(reach.key, { reach, users: 1 })
    else known.users++
    this.reaches.set(reach.from, reaches)
  }

  private removeReach({ from, key }: Reach): void {
    const reaches = this.reaches.get(from)
    const known = reaches?.get(key)
    if (known === undefined || --known.users > 0) return
    reaches?.delete(key)
    if (reaches?.size === 0) this.reaches.delete(from)
  }

  *reachesFrom(kind: SubselectKind): Iterable<Reach> {
    for (const { reach } of this.reaches.get(kind)?.values() ?? []) yield reach
  }

  *allReaches(): Iterable<Reach> {
    for (const kind of this.reaches.keys()) yield* this.reachesFrom(kind)
  }

  /** Where sub-selects of the kind are asked. */
  placesOf(kind: SubselectKind): Iterable<Place> {
    return this.places.get(kind)?.values() ?? []
  }

  allPlaces(): ReadonlyArray<Place> {
    return [...this.places.values()].flatMap((places) => [...places.values()])
  }

  /** From now on the shape receives its changes. False when its table is not what it was made for. */
  enter(reservation: Reservation, shape: ShapeState): boolean {
    reservation.shape = shape
    this.byShape.set(shape.id, reservation)
    return reservation.own.addShape(shape)
  }

  release(reservation: Reservation): void {
    if (reservation.isReleased) return
    reservation.isReleased = true
    this.reservations.delete(reservation)
    const { own, probes, reaches, shape, subselects, tables } = reservation
    if (shape !== undefined) {
      this.byShape.delete(shape.id)
      own.removeShape(shape)
    }
    for (const [table, probe] of probes) {
      table.removeProbe(probe)
      this.removePlace(table, probe)
    }
    for (const reach of reaches) this.removeReach(reach)
    for (const { asked, constants, kind } of subselects) this.state.unsubscribe(kind, constants, asked)
    for (const table of tables) {
      if (--table.users > 0) continue
      table.close()
      this.tables.delete(table.oid)
      this.routes.clear()
    }
  }

  // Relations

  /** Rows of the relation are rows of the table. */
  attach(relationOid: number, tableOid: number): void {
    if (relationOid === tableOid) return
    const tables = this.above.get(relationOid)
    if (tables === undefined) this.above.set(relationOid, new Set([tableOid]))
    else if (tables.has(tableOid)) return
    else tables.add(tableOid)
    this.routes.clear()
  }

  detach(tableOid: number, relationOids: ReadonlyArray<number>): void {
    for (const oid of relationOids) this.above.get(oid)?.delete(tableOid)
    this.routes.clear()
  }

  aboveOf(relationOid: number): ReadonlyArray<number> {
    const above = this.above.get(relationOid)
    return above === undefined ? [] : [...above]
  }

  /** The tables whose rows those of the relation are. Asked for each row. */
  tablesOf(relationOid: number): ReadonlyArray<LaneTable> {
    let known = this.routes.get(relationOid)
    if (known === undefined) {
      const oids = [relationOid, ...(this.above.get(relationOid) ?? [])]
      known = oids.flatMap((oid) => this.tables.get(oid) ?? [])
      this.routes.set(relationOid, known)
    }
    return known
  }

  /** Shapes on tables of the relation that cannot take rows like these. */
  affectedBy(relation: Relation): ReadonlyArray<ShapeState> {
    return this.tablesOf(relation.oid).flatMap((table) => affectedAmong(table.shapes, relation))
  }

  /** Shapes whose conditions ask the sub-select, or one around it. */
  shapesAsking(subscription: Subscription): ReadonlyArray<ShapeState> {
    return this.shapesWith(({ subscriptions }) => subscriptions.includes(subscription))
  }

  /** Shapes that have to do with the table. */
  shapesAbout(table: LaneTable): ReadonlyArray<ShapeState> {
    return this.shapesWith(({ tables }) => tables.includes(table))
  }

  /** Takes back what was reserved about the table for shapes that are not there yet. */
  releaseAbout(table: LaneTable): void {
    for (const one of this.reservations)
      if (one.shape === undefined && one.tables.includes(table)) this.release(one)
  }

  /** Of those, the ones of which it is not known what their sub-selects give. */
  shapesLacking(table: LaneTable): ReadonlyArray<ShapeState> {
    return this.shapesWith(
      ({ subscriptions, tables }) => tables.includes(table) && subscriptions.some((one) => !one.isKnown)
    )
  }

  private shapesWith(holds: (reservation: Reservation) => boolean): ReadonlyArray<ShapeState> {
    const found: Array<ShapeState> = []
    for (const one of this.reservations) if (one.shape !== undefined && holds(one)) found.push(one.shape)
    return found
  }
}

const needsOf = ({ constants, moves, plan }: StoredExpression) => {
  const root = JSON.parse(plan) as Plan
  return { reaches: [...reachesOf(root, constants)], probes: probesOf(root, constants, moves) }
}
const noNeeds: ReturnType<typeof needsOf> = { reaches: [], probes: [] }

/** What of the rows of its own table a shape needs. */
const neededColumns = (definition: ShapeDefinition): ReadonlyArray<ClauseColumn> => {
  const { columns, keyColumns, tableColumns, where } = definition
  const names = new Set([...columns, ...keyColumns, ...(where === undefined ? [] : columnsOf(where))])
  return tableColumns.filter(({ name }) => names.has(name))
}
