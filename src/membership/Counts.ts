/** Ids that stand in a list; more of them are in a set. */
const mostListed = 64

/**
 * How many times each of some small integers is there. Made for millions of short ones: an id that is there once costs its
 * place in a list. A count may be below zero for a while, where what goes is told before what comes.
 */
export class Counts {
  private ids: Array<number> | Set<number> = none
  /** Where that is not 1. */
  private others: Map<number, number> | undefined

  /** Ids whose count is not 0. */
  get size(): number {
    return Array.isArray(this.ids) ? this.ids.length : this.ids.size
  }

  of(id: number): number {
    const has = Array.isArray(this.ids) ? this.ids.includes(id) : this.ids.has(id)
    return has ? (this.others?.get(id) ?? 1) : 0
  }

  /** Those whose count is not 0. Not to be changed meanwhile. */
  keys(): Iterable<number> {
    return this.ids
  }

  /** Whether some count is below zero, or has been made 0 by mistake. */
  get hasNegative(): boolean {
    if (this.others !== undefined) for (const count of this.others.values()) if (count < 0) return true
    return false
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
    this.ids = none
    this.others = undefined
  }

  private enter(id: number): void {
    const { ids } = this
    if (!Array.isArray(ids)) ids.add(id)
    // A list of just the length that it needs: most never change again.
    else if (ids.length < mostListed) this.ids = [...ids, id]
    else this.ids = new Set(ids).add(id)
  }

  private leave(id: number): void {
    const { ids } = this
    if (Array.isArray(ids)) this.ids = ids.length === 1 ? none : ids.filter((one) => one !== id)
    else {
      ids.delete(id)
      if (ids.size <= mostListed / 2) this.ids = Array.from(ids)
    }
  }
}

const none: Array<number> = []
