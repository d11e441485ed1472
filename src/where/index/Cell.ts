import type { Compiled } from "../evaluate/Compile.ts"

/** Clauses of one form that are found together: one compiled plan, constants side by side. */
export class Group {
  readonly compiled: Compiled
  readonly ids: Array<number> = []
  readonly constants: Array<ReadonlyArray<unknown>> = []
  private positions: Map<number, number> | undefined
  constructor(compiled: Compiled) {
    this.compiled = compiled
  }

  add(id: number, constants: ReadonlyArray<unknown>): void {
    this.positions?.set(id, this.ids.length)
    this.ids.push(id)
    this.constants.push(constants)
  }

  /** Whether it was there. */
  remove(id: number): boolean {
    const at = this.positionOf(id)
    if (at < 0) return false
    const lastId = this.ids.pop()
    const lastConstants = this.constants.pop()
    this.positions?.delete(id)
    if (lastId === undefined || lastConstants === undefined || at === this.ids.length) return true
    this.ids[at] = lastId
    this.constants[at] = lastConstants
    this.positions?.set(lastId, at)
    return true
  }

  /** Small groups are searched, large ones keep a map. */
  private positionOf(id: number): number {
    if (this.positions === undefined) {
      if (this.ids.length <= 32) return this.ids.indexOf(id)
      this.positions = new Map(this.ids.map((one, i) => [one, i]))
    }
    return this.positions.get(id) ?? -1
  }
}

/** Everything registered under one key: shapes that the key decides, and groups that remain to be evaluated. */
export class Cell {
  readonly decided = new Set<number>()
  readonly groups = new Map<Compiled, Group>()
  size = 0

  add(id: number, exact: boolean, compiled: Compiled, constants: ReadonlyArray<unknown>): void {
    this.size++
    if (exact) {
      this.decided.add(id)
      return
    }
    let group = this.groups.get(compiled)
    if (group === undefined) this.groups.set(compiled, (group = new Group(compiled)))
    group.add(id, constants)
  }

  remove(id: number, exact: boolean, compiled: Compiled): void {
    if (exact) {
      if (this.decided.delete(id)) this.size--
      return
    }
    const group = this.groups.get(compiled)
    if (group?.remove(id) === true) this.size--
    if (group?.ids.length === 0) this.groups.delete(compiled)
  }
}

/** A shape that is found alone, and remains to be evaluated: a negative number. */
const evaluated = (id: number): number => -1 - id
/** The shape of a number in a `CellMap`. */
export const shapeIn = (number: number): number => (number < 0 ? -1 - number : number)

/** What is registered of a shape, for as long as it is in a `CellMap`. */
interface Registered {
  readonly compiled: Compiled
  readonly constants: ReadonlyArray<unknown>
}

/**
 * Cells by key. The commonest cell by far, a single shape, is kept as a bare number: its own where the key alone decides it, a
 * negative one where it remains to be evaluated (`shapeIn`).
 */
export class CellMap {
  readonly map = new Map<unknown, number | Cell>()
  private readonly registered: (id: number) => Registered | undefined

  constructor(registered: (id: number) => Registered | undefined) {
    this.registered = registered
  }

  add(key: unknown, id: number, exact: boolean, compiled: Compiled, constants: ReadonlyArray<unknown>): void {
    const known = this.map.get(key)
    const alone = exact ? id : evaluated(id)
    if (known === undefined) {
      this.map.set(key, alone)
      return
    }
    // One may be found by the same key in two ways.
    if (known === alone) return
    let cell = known
    if (typeof cell === "number") {
      const before = cell
      cell = new Cell()
      this.move(before, cell)
      this.map.set(key, cell)
    }
    cell.add(id, exact, compiled, constants)
  }

  private move(number: number, cell: Cell): void {
    const id = shapeIn(number)
    const known = this.registered(id)
    if (known !== undefined) cell.add(id, number >= 0, known.compiled, known.constants)
  }

  remove(key: unknown, id: number, exact: boolean, compiled: Compiled): void {
    const known = this.map.get(key)
    if (known === undefined) return
    if (typeof known === "number") {
      if (shapeIn(known) === id) this.map.delete(key)
      return
    }
    known.remove(id, exact, compiled)
    if (known.size === 0) this.map.delete(key)
  }

  sizeOf(key: unknown): number {
    const known = this.map.get(key)
    return known === undefined ? 0 : typeof known === "number" ? 1 : known.size
  }
}
