import { emptyList, type IntLists, longestList } from "./IntLists.ts"

/**
 * How many times each of some small integers is there. Made for millions of short ones: an id that is there once costs its
 * place in a list. A count may be below zero for a while, where what goes is told before what comes.
 */
export class Counts {
  private lists: IntLists
  /** A list, or what is too long for one. */
  private ids: number | Set<number> = emptyList
  /** Where that is not 1. */
  private others: Map<number, number> | undefined

  constructor(lists: IntLists) {
    this.lists = lists
  }

  /** Ids whose count is not 0. */
  get size(): number {
    return typeof this.ids === "number" ? this.lists.lengthOf(this.ids) : this.ids.size
  }

  of(id: number): number {
    const { ids } = this
    const has = typeof ids === "number" ? this.lists.indexOf(ids, id) >= 0 : ids.has(id)
    return has ? (this.others?.get(id) ?? 1) : 0
  }

  /** Those whose count is not 0. */
  keys(): Iterable<number> {
    return typeof this.ids === "number" ? this.lists.toArray(this.ids) : this.ids
  }

  /** Whether some count is below zero. */
  get hasNegative(): boolean {
    if (this.others !== undefined) for (const count of this.others.values()) if (count < 0) return true
    return false
  }

  /** The list is in these from now on. */
  moveTo(lists: IntLists): void {
    if (typeof this.ids === "number") this.ids = lists.copyOf(this.ids, this.lists)
    this.lists = lists
  }

  /** Every one that is not 0 is 1. */
  get areOnes(): boolean {
    return this.others === undefined
  }

  /** Returns what the count was before. */
  add(id: number, delta: number): number {
    const before = this.of(id)
    const after = before + delta
    if (after === before) return before
    if (before === 0) this.enter(id)
    else if (after === 0) this.leave(id)
    if (after === 0 || after === 1) {
      if (this.others?.delete(id) === true && this.others.size === 0) this.others = undefined
    } else (this.others ??= new Map()).set(id, after)
    return before
  }

  clear(): void {
    if (typeof this.ids === "number") this.lists.give(this.ids)
    this.ids = emptyList
    this.others = undefined
  }

  private enter(id: number): void {
    const { ids, lists } = this
    if (typeof ids !== "number") ids.add(id)
    else if (lists.lengthOf(ids) < longestList) this.ids = lists.add(ids, id)
    else {
      this.ids = new Set(lists.toArray(ids)).add(id)
      lists.give(ids)
    }
  }

  private leave(id: number): void {
    const { ids, lists } = this
    if (typeof ids === "number") this.ids = lists.remove(ids, id)
    else {
      ids.delete(id)
      if (ids.size > longestList / 2) return
      let list = emptyList
      for (const one of ids) list = lists.add(list, one)
      this.ids = list
    }
  }
}
