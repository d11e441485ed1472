import { IntTable } from "../../shared/tables/IntTable.ts"
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
export const evaluated = (id: number): number => -1 - id
/** The shape of such a number. */
export const shapeIn = (number: number): number => (number < 0 ? -1 - number : number)

/** What is registered of a shape, for as long as it is in a `CellMap`. */
interface Registered {
  readonly compiled: Compiled
  readonly constants: ReadonlyArray<unknown>
}

const isInt = (key: unknown): key is number => typeof key === "number" && (key | 0) === key
/** The lowest id that an `IntTable` has no room for. */
const firstLargeId = 0x7fffffff

/**
 * Cells by key. The commonest cell by far, a single shape, is kept as a bare number: its own where the key alone decides it, a
 * negative one where it remains to be evaluated (`shapeIn`). The commonest of these are under whole numbers: they stand in
 * a table that takes less than a `Map`.
 */
export class CellMap {
  /** Shapes that are alone under a whole number: as above, 1 more where that is not negative. */
  private readonly alone = new IntTable()
  /** Everything else. */
  private others: Map<unknown, number | Cell> | undefined
  private readonly registered: (id: number) => Registered | undefined

  constructor(registered: (id: number) => Registered | undefined) {
    this.registered = registered
  }

  /** How many keys there are. */
  get size(): number {
    return this.others === undefined ? this.alone.size : this.alone.size + this.others.size
  }

  /** All keys but whole numbers under which a single shape stands. */
  protected otherKeys(): Iterable<unknown> {
    return this.others?.keys() ?? []
  }

  get(key: unknown): number | Cell | undefined {
    if (isInt(key)) {
      const number = this.alone.get(key)
      if (number !== 0) return number > 0 ? number - 1 : number
    }
    return this.others?.get(key)
  }

  add(key: unknown, id: number, exact: boolean, compiled: Compiled, constants: ReadonlyArray<unknown>): void {
    const known = this.get(key)
    const alone = exact ? id : evaluated(id)
    if (known === undefined) {
      if (isInt(key) && id < firstLargeId) this.alone.set(key, alone >= 0 ? alone + 1 : alone)
      else this.setOther(key, alone)
      return
    }
    // One may be found by the same key in two ways.
    if (known === alone) return
    let cell = known
    if (typeof cell === "number") {
      const before = cell
      cell = new Cell()
      this.move(before, cell)
      if (isInt(key)) this.alone.delete(key)
      this.setOther(key, cell)
    }
    cell.add(id, exact, compiled, constants)
  }

  private setOther(key: unknown, cell: number | Cell): void {
    this.others ??= new Map()
    this.others.set(key, cell)
  }

  private move(number: number, cell: Cell): void {
    const id = shapeIn(number)
    const known = this.registered(id)
    if (known !== undefined) cell.add(id, number >= 0, known.compiled, known.constants)
  }

  remove(key: unknown, id: number, exact: boolean, compiled: Compiled): void {
    const known = this.get(key)
    if (known === undefined) return
    if (typeof known === "number") {
      if (shapeIn(known) === id) this.forget(key)
      return
    }
    known.remove(id, exact, compiled)
    if (known.size === 0) this.forget(key)
  }

  private forget(key: unknown): void {
    if (isInt(key) && this.alone.delete(key)) return
    this.others?.delete(key)
    if (this.others?.size === 0) this.others = undefined
  }

  sizeOf(key: unknown): number {
    const known = this.get(key)
    return known === undefined ? 0 : typeof known === "number" ? 1 : known.size
  }
}
