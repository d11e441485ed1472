import { standardLimits, type Limits } from "../../config/Limits.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { ArrayValue } from "../values/Arrays.ts"
import type { Closure } from "../evaluate/Closures.ts"
import type { Compiled } from "../evaluate/Compile.ts"
import {
  type LinkKey,
  type Membership,
  membershipInUse,
  type SubselectKind,
  subselectKind,
  useMembership
} from "../evaluate/Membership.ts"
import { linkOf } from "../evaluate/Subselects.ts"
import { readerOf, type ClauseColumn, type RunnableClause } from "../evaluate/RunnableClause.ts"
import type { RowReader } from "../evaluate/RowReader.ts"
import { EvaluationError, Undecided } from "../values/Failure.ts"
import { spend } from "../values/Work.ts"
import type { Codec } from "../values/Codec.ts"
import { useZones, type Zones, zonesOfRuntime } from "../zones/Zones.ts"
import { CellMap, Group, shapeIn, type Cell } from "./Cell.ts"
import { IntervalTree } from "./IntervalTree.ts"
import { Burst, RowCosts } from "./Costs.ts"
import { pushMatch, type MatchList } from "./MatchList.ts"
import {
  alternativesFor,
  intervalOf,
  keysOf,
  nullKey,
  nullKeys,
  type Alternative,
  type PlannedPath
} from "./Paths.ts"
import { PrefixMap } from "./PrefixMap.ts"
import { registeredKeys, Registrations, type Registration } from "./Registration.ts"

/** What a probed value of a row is looked up in. */
interface Probe {
  readonly key: string
  readonly value: Closure
  readonly codec: Codec
  readonly equal: CellMap
  /** Clauses that need an element of the value, which is an array. */
  readonly elements: CellMap
  readonly nulls: CellMap
  /** Clauses that need a text to begin with something. */
  readonly prefixes: PrefixMap
  readonly ranges: IntervalTree
  /** Clauses with a sub-select of `kind`, by its constants: the value is a link of its rows. */
  readonly members: CellMap
  readonly kind: SubselectKind | undefined
  users: number
}

const noConstants: ReadonlyArray<unknown> = []

/**
 * Finds the shapes of one relation that a row belongs to.
 *
 * Shapes whose clause compares the row with constants are found by looking the row's values up; the number of
 * shapes does not matter. What remains of a clause is evaluated for those found, and clauses without such a
 * comparison for every row. The result is exactly that of evaluating every clause, except that an error in a
 * part of a clause goes unnoticed when another part already rules the row out.
 *
 * What a row may cost is bounded: whatever is above it is undecided, and `burst` says which shapes have to go.
 */
export class FilterIndex {
  private readonly reader: RowReader
  private readonly everyRow = new Set<number>()
  private readonly registrations = new Registrations()
  private readonly registered = (id: number): Registration | undefined => this.registrations.get(id)
  private readonly probes = new Map<string, Probe>()
  private readonly scanned = new Map<Compiled, Group>()
  /** Shapes that one row may find more than once: none of their paths is exact, so each is evaluated. */
  private readonly repeated = new Set<number>()
  private readonly seen = new Set<number>()

  private readonly costs: RowCosts
  private readonly burst: Burst
  private readonly zones: Zones
  private readonly membership: Membership | undefined

  /** `membership`: what sub-selects give; where it is left out, the caller says so before rows are matched (`useMembership`). */
  constructor(
    relationColumns: ReadonlyArray<ClauseColumn>,
    limits: Limits = standardLimits,
    burst = new Burst(limits),
    zones = zonesOfRuntime,
    membership?: Membership
  ) {
    this.membership = membership
    this.zones = zones
    this.reader = readerOf(relationColumns)
    this.costs = new RowCosts(limits, burst)
    this.burst = burst
  }

  get size(): number {
    return this.registrations.size + this.everyRow.size
  }

  /** No shape has a clause. */
  get matchesAll(): boolean {
    return this.registrations.size === 0
  }

  /** Registers a shape; `undefined` matches every row. A shape that is registered already is replaced. */
  add(shapeId: number, clause: RunnableClause | undefined): void {
    this.remove(shapeId)
    if (clause === undefined) {
      this.everyRow.add(shapeId)
      return
    }
    const { compiled, constants } = clause
    const chosen = this.choose(clause)
    if (chosen === undefined) {
      let group = this.scanned.get(compiled)
      if (group === undefined) this.scanned.set(compiled, (group = new Group(compiled)))
      group.add(shapeId, constants)
      this.registrations.add(shapeId, clause, undefined, [])
      return
    }
    const { alternative, keys } = chosen
    let registered = 0
    for (const [i, one] of alternative.entries()) {
      const probe = this.probeFor(one, compiled)
      probe.users++
      const { kind, exact } = one.path
      if (kind === "range") {
        probe.ranges.add(intervalOf(one, clause, shapeId))
        registered++
        continue
      }
      const cells = cellsOf(probe, kind)
      for (const key of keys[i] ?? []) cells.add(key, shapeId, exact, compiled, constants)
      registered += kind === "containsAny" ? (keys[i]?.length ?? 0) : 1
    }
    if (registered > 1) this.repeated.add(shapeId)
    this.registrations.add(shapeId, clause, alternative, keys)
  }

  /** Removes a shape; nothing happens when it is not registered. */
  remove(shapeId: number): void {
    if (this.everyRow.delete(shapeId)) return
    const registration = this.registrations.delete(shapeId)
    if (registration === undefined) return
    this.repeated.delete(shapeId)
    const { alternative, compiled } = registration
    if (alternative === undefined) {
      const group = this.scanned.get(compiled)
      group?.remove(shapeId)
      if (group?.ids.length === 0) this.scanned.delete(compiled)
      return
    }
    for (const [i, one] of alternative.entries()) {
      const probe = this.probes.get(one.probeKey)
      if (probe === undefined) continue
      const { kind, exact } = one.path
      if (kind === "range") probe.ranges.remove(intervalOf(one, registration, shapeId))
      else
        for (const key of registeredKeys(registration, i, one))
          cellsOf(probe, kind).remove(key, shapeId, exact, compiled)
      if (--probe.users === 0) this.probes.delete(one.probeKey)
    }
  }

  /**
   * Appends all shapes whose clause is true for the row, and notes errors and what only Postgres can decide. Returns what
   * it has cost, in steps of some ten nanoseconds; what costs no more than a comparison does not count.
   */
  match(row: Tuple, out: MatchList): number {
    for (const id of this.everyRow) pushMatch(out, id)
    if (this.registrations.size === 0) return 0
    const { costs } = this
    this.reader.load(row)
    costs.begin(row)
    useZones(this.zones)
    if (this.membership !== undefined) useMembership(this.membership)
    if (this.seen.size > 0) this.seen.clear()
    for (const probe of this.probes.values()) this.lookUp(probe, out)
    for (const group of this.scanned.values()) this.evaluateGroup(group, out)
    costs.end()
    return costs.steps
  }

  private pay(shapeId: number, out: MatchList): void {
    const gone = this.costs.settle(shapeId)
    for (const id of gone) out.costly.push({ shapeId: id, message: this.burst.message })
  }

  /** Takes the alternative under which the fewest other shapes are found together with this one. */
  private choose(
    clause: RunnableClause
  ): { readonly alternative: Alternative; readonly keys: ReadonlyArray<ReadonlyArray<unknown>> } | undefined {
    let best: { alternative: Alternative; keys: Array<ReadonlyArray<unknown>> } | undefined
    let bestCrowd = Infinity
    for (const alternative of alternativesFor(clause.compiled)) {
      const keys: Array<ReadonlyArray<unknown>> = []
      let crowd = 0
      let possible = true
      for (const one of alternative) {
        const found = this.keysAndCrowd(one, clause)
        if (found === undefined) {
          possible = false
          break
        }
        keys.push(found.keys)
        crowd += found.crowd
      }
      // Alternatives come best first: a later one has to be clearly better.
      if (possible && (best === undefined || crowd * 2 + 1 < bestCrowd)) {
        best = { alternative, keys }
        bestCrowd = crowd
      }
    }
    return best
  }

  private keysAndCrowd(
    one: PlannedPath,
    clause: RunnableClause
  ): { readonly keys: ReadonlyArray<unknown>; readonly crowd: number } | undefined {
    const probe = this.probes.get(one.probeKey)
    const { kind } = one.path
    if (kind === "range") return { keys: [], crowd: (probe?.ranges.size ?? 0) / 4 }
    if (kind === "isNull") return { keys: nullKeys, crowd: probe?.nulls.sizeOf(nullKey) ?? 0 }
    const keys = keysOf(one, clause)
    if (keys === undefined || keys.length > 10_000) return undefined
    const cells = probe === undefined ? undefined : cellsOf(probe, kind)
    if (kind === "containsAll" && keys.length > 1) {
      // One element suffices to find the clause: the one that the fewest others are found by.
      let rarest: unknown = keys[0]
      let rarestCrowd = Infinity
      for (const key of keys) {
        const crowd = cells?.sizeOf(key) ?? 0
        if (crowd < rarestCrowd) {
          rarest = key
          rarestCrowd = crowd
        }
      }
      return { keys: [rarest], crowd: rarestCrowd }
    }
    let crowd = 0
    for (const key of keys) crowd += cells?.sizeOf(key) ?? 0
    return { keys, crowd: keys.length === 0 ? 0 : crowd / keys.length }
  }

  private probeFor(one: PlannedPath, compiled: Compiled): Probe {
    let probe = this.probes.get(one.probeKey)
    if (probe === undefined) {
      const form = one.path.probe
      const isMember = one.path.kind === "member" && "sub" in form
      probe = {
        key: one.probeKey,
        value: isMember
          ? linkOf(form, form.group.map(compiled.closureOf), form.probe.map(compiled.closureOf))
          : compiled.closureOf(form),
        codec: one.codec,
        equal: new CellMap(this.registered),
        elements: new CellMap(this.registered),
        nulls: new CellMap(this.registered),
        prefixes: new PrefixMap(this.registered),
        ranges: new IntervalTree(one.codec.compare ?? (() => 0)),
        members: new CellMap(this.registered),
        kind: isMember ? subselectKind(form.sub) : undefined,
        users: 0
      }
      this.probes.set(one.probeKey, probe)
    }
    return probe
  }

  private lookUp(probe: Probe, out: MatchList): void {
    const { equal, elements, nulls, prefixes, ranges, codec } = probe
    // Lists are made where they are needed: most rows are looked up by one value, and then nothing is allocated.
    let cell: Found
    let cells: ReadonlyArray<Found> = noCells
    let intervals: ReadonlyArray<number> = noIntervals
    try {
      const value = probe.value(noConstants)
      if (this.costs.owes) this.pay(-1, out)
      if (probe.kind !== undefined) cells = findMembers(probe.members, probe.kind, value)
      else if (value === null) cell = nulls.get(nullKey)
      else {
        if (equal.size > 0) cell = equal.get(codec.key?.(value))
        if (ranges.size > 0) intervals = findIntervals(ranges, value)
        if (prefixes.size > 0) cells = prefixes.find(value as string)
        if (elements.size > 0) cells = findElements(elements, codec, value as ArrayValue)
      }
    } catch (failure) {
      if (!(failure instanceof Undecided) && !(failure instanceof EvaluationError)) throw failure
      if (this.costs.owes) this.pay(-1, out)
      this.evaluateAll(probe, out)
      return
    }
    if (this.costs.owes) this.pay(-1, out)
    if (cell !== undefined) this.visit(cell, out)
    for (let i = 0; i < cells.length; i++) this.visit(cells[i], out)
    for (let i = 0; i < intervals.length; i++) this.visit(intervals[i], out)
  }

  /** The probed value cannot be computed: every clause that relies on it speaks for itself. */
  private evaluateAll(probe: Probe, out: MatchList): void {
    const { registrations } = this
    for (let i = 0; i < registrations.size; i++) {
      if (registrations.alternativeAt(i)?.some((one) => one.probeKey === probe.key) !== true) continue
      const shapeId = registrations.idAt(i)
      if (this.repeated.has(shapeId) && this.seen.has(shapeId)) continue
      if (this.repeated.has(shapeId)) this.seen.add(shapeId)
      this.evaluateOne(shapeId, registrations.compiledAt(i), registrations.constantsAt(i), out)
    }
  }

  private visit(cell: Found, out: MatchList): void {
    if (cell === undefined) return
    if (typeof cell === "number") {
      if (cell >= 0) pushMatch(out, cell)
      else this.evaluateAlone(shapeIn(cell), out)
      return
    }
    for (const id of cell.decided) pushMatch(out, id)
    for (const group of cell.groups.values()) this.evaluateGroup(group, out)
  }

  private evaluateAlone(id: number, out: MatchList): void {
    const { registrations } = this
    const position = registrations.positionOf(id)
    if (position >= 0)
      this.evaluateOnce(id, registrations.compiledAt(position), registrations.constantsAt(position), out)
  }

  /** The loop that most of the time is spent in: nothing but calls of one compiled plan. */
  private evaluateGroup(group: Group, out: MatchList): void {
    const { ids, constants, compiled } = group
    const { root } = compiled
    const { costs } = this
    if (this.repeated.size > 0) {
      for (let i = 0; i < ids.length; i++)
        this.evaluateOnce(ids[i] ?? 0, compiled, constants[i] ?? noConstants, out)
      return
    }
    let i = 0
    while (i < ids.length) {
      try {
        for (; i < ids.length; i++) {
          const verdict = root(constants[i] ?? noConstants)
          if (costs.owes) this.pay(ids[i] ?? 0, out)
          if (verdict === true) pushMatch(out, ids[i] ?? 0)
          else if (verdict === undefined) out.undecided.push(ids[i] ?? 0)
        }
      } catch (failure) {
        report(failure, ids[i] ?? 0, out)
        if (costs.owes) this.pay(ids[i] ?? 0, out)
        i++
      }
    }
  }

  private evaluateOnce(
    id: number,
    compiled: Compiled,
    constants: ReadonlyArray<unknown>,
    out: MatchList
  ): void {
    if (this.repeated.has(id)) {
      if (this.seen.has(id)) return
      this.seen.add(id)
    }
    this.evaluateOne(id, compiled, constants, out)
  }

  private evaluateOne(
    id: number,
    compiled: Compiled,
    constants: ReadonlyArray<unknown>,
    out: MatchList
  ): void {
    try {
      const verdict = compiled.root(constants)
      if (verdict === true) pushMatch(out, id)
      else if (verdict === undefined) out.undecided.push(id)
    } catch (failure) {
      report(failure, id, out)
    }
    if (this.costs.owes) this.pay(id, out)
  }
}

type Found = number | Cell | undefined

const noCells: ReadonlyArray<Found> = []
const noIntervals: ReadonlyArray<number> = []

const findMembers = (cells: CellMap, kind: SubselectKind, link: LinkKey): ReadonlyArray<Found> => {
  if (link === null) return noCells
  const found: Array<Found> = []
  for (const constants of membershipInUse().having(kind, link)) {
    spend(1)
    found.push(cells.get(constants))
  }
  return found
}

const findIntervals = (ranges: IntervalTree, value: unknown): ReadonlyArray<number> => {
  const found: Array<number> = []
  ranges.find(value, found)
  return found
}

const findElements = (cells: CellMap, codec: Codec, { elements }: ArrayValue): ReadonlyArray<Found> => {
  const keys = new Set<unknown>()
  spend(elements.length * 4)
  for (const element of elements) if (element !== null) keys.add(codec.key?.(element))
  return Array.from(keys, (key) => cells.get(key))
}

const cellsOf = (probe: Probe, kind: PlannedPath["path"]["kind"]): CellMap =>
  kind === "equal"
    ? probe.equal
    : kind === "isNull"
      ? probe.nulls
      : kind === "prefix"
        ? probe.prefixes
        : kind === "member"
          ? probe.members
          : probe.elements

const report = (failure: unknown, shapeId: number, out: MatchList): void => {
  if (failure instanceof Undecided) out.undecided.push(shapeId)
  else if (failure instanceof EvaluationError) out.errors.push({ shapeId, message: failure.message })
  else throw failure
}
