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

  remove(id: number): void {
    const at = this.positionOf(id)
    if (at < 0) return
    const lastId = this.ids.pop()
    const lastConstants = this.constants.pop()
    this.positions?.delete(id)
    if (lastId === undefined || lastConstants === undefined || at === this.ids.length) return
    this.ids[at] = lastId
    this.constants[at] = lastConstants
    this.positions?.set(lastId, at)
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
    this.size--
    if (exact) {
      this.decided.delete(id)
      return
    }
    const group = this.groups.get(compiled)
    group?.remove(id)
    if (group?.ids.length === 0) this.groups.delete(compiled)
  }
}

/**
 * Cells by key. The commonest cell by far, one shape that the key alone decides, is kept as its bare number.
 */
export class CellMap {
  readonly map = new Map<unknown, number | Cell>()

  add(key: unknown, id: number, exact: boolean, compiled: Compiled, constants: ReadonlyArray<unknown>): void {
    const known = this.map.get(key)
    if (known === undefined && exact) {
      this.map.set(key, id)
      return
    }
    let cell: Cell
    if (known === undefined || typeof known === "number") {
      cell = new Cell()
      if (known !== undefined) cell.add(known, true, compiled, constants)
      this.map.set(key, cell)
    } else cell = known
    cell.add(id, exact, compiled, constants)
  }

  remove(key: unknown, id: number, exact: boolean, compiled: Compiled): void {
    const known = this.map.get(key)
    if (known === undefined) return
    if (typeof known === "number") {
      if (known === id) this.map.delete(key)
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
