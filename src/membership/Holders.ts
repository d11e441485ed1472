import { emptyList, IntLists, longestList } from "./IntLists.ts"

const nobody: ReadonlyArray<number> = []

/** For each of many ids, numbers of those who have it: mostly few, at times very many. */
export class Holders {
  /** Nobody: 0. One: its number and 1. Several: a list of `lists`, or a place in `many`, as a number below 0. */
  private only = new Int32Array(16)
  private lists = new IntLists()
  private readonly many = new Map<number, Set<number>>()

  /** Of the lists: four bytes each. */
  get cells(): number {
    return this.lists.cells
  }

  has(id: number): boolean {
    return (this.only[id] ?? 0) !== 0
  }

  /** Not to be kept. */
  of(id: number): Iterable<number> {
    const only = this.only[id] ?? 0
    if (only === 0) return nobody
    if (only > 0) return [only - 1]
    return only === inSet ? (this.many.get(id) ?? nobody) : this.lists.toArray(-only)
  }

  /** One who has it not. */
  add(id: number, holder: number): void {
    const only = this.only[id] ?? 0
    if (only === 0) this.set(id, holder + 1)
    else if (only > 0) this.set(id, -this.lists.add(this.lists.add(emptyList, only - 1), holder))
    else if (only === inSet) this.many.get(id)?.add(holder)
    else if (this.lists.lengthOf(-only) < longestList) this.set(id, -this.lists.add(-only, holder))
    else {
      this.many.set(id, new Set(this.lists.toArray(-only)).add(holder))
      this.lists.give(-only)
      this.set(id, inSet)
    }
  }

  /** One who has it. */
  remove(id: number, holder: number): void {
    const only = this.only[id] ?? 0
    if (only >= 0) {
      this.set(id, 0)
      return
    }
    let list = -only
    if (only === inSet) {
      const holders = this.many.get(id) ?? new Set<number>()
      holders.delete(holder)
      if (holders.size > longestList / 2) return
      this.many.delete(id)
      list = emptyList
      for (const one of holders) list = this.lists.add(list, one)
    } else list = this.lists.remove(list, holder)
    if (this.lists.lengthOf(list) > 1) this.set(id, -list)
    else {
      this.set(id, this.lists.at(list, 0) + 1)
      this.lists.give(list)
    }
  }

  /** Gives back memory, if it is worth it. */
  tidy(): void {
    if (!this.lists.isSparse) return
    const before = this.lists
    this.lists = new IntLists()
    for (let id = 0; id < this.only.length; id++) {
      const only = this.only[id] ?? 0
      if (only < 0 && only !== inSet) this.only[id] = -this.lists.copyOf(-only, before)
    }
  }

  private set(id: number, only: number): void {
    if (id >= this.only.length) {
      const larger = new Int32Array(Math.max(id + 1, Math.ceil(this.only.length * 1.25)))
      larger.set(this.only)
      this.only = larger
    }
    this.only[id] = only
  }
}

/** No list is there. */
const inSet = -0x80000000
