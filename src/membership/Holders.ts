/** Up to so many stand in a list; more are in a set. */
const mostListed = 64

const nobody: ReadonlyArray<number> = []

/** For each of many ids, numbers of those who have it: mostly one, at times very many. */
export class Holders {
  /** Nobody: 0. One: its number and 1. Several: where they are, below 0. */
  private only = new Int32Array(16)
  private readonly several: Array<Array<number> | Set<number>> = []
  private readonly free: Array<number> = []

  has(id: number): boolean {
    return (this.only[id] ?? 0) !== 0
  }

  /** Not to be kept. */
  of(id: number): Iterable<number> {
    const only = this.only[id] ?? 0
    return only === 0 ? nobody : only > 0 ? [only - 1] : (this.several[-only - 1] ?? nobody)
  }

  /** One who has it not. */
  add(id: number, holder: number): void {
    const only = this.only[id] ?? 0
    if (only === 0) this.set(id, holder + 1)
    else if (only > 0) {
      const at = this.free.pop() ?? this.several.length
      this.several[at] = [only - 1, holder]
      this.set(id, -at - 1)
    } else {
      const holders = this.several[-only - 1]
      if (!Array.isArray(holders)) holders?.add(holder)
      else if (holders.length < mostListed) this.several[-only - 1] = [...holders, holder]
      else this.several[-only - 1] = new Set(holders).add(holder)
    }
  }

  /** One who has it. */
  remove(id: number, holder: number): void {
    const only = this.only[id] ?? 0
    if (only >= 0) {
      this.set(id, 0)
      return
    }
    const at = -only - 1
    const holders = this.several[at]
    if (Array.isArray(holders)) {
      const rest = holders.filter((one) => one !== holder)
      this.several[at] = rest
      if (rest.length > 1) return
      this.several[at] = []
      this.free.push(at)
      this.set(id, (rest[0] ?? -1) + 1)
    } else if (holders !== undefined) {
      holders.delete(holder)
      if (holders.size <= mostListed / 2) this.several[at] = Array.from(holders)
    }
  }

  private set(id: number, only: number): void {
    if (id >= this.only.length) {
      const larger = new Int32Array(Math.max(id + 1, Math.ceil(this.only.length * 1.5)))
      larger.set(this.only)
      this.only = larger
    }
    this.only[id] = only
  }
}
