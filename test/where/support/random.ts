/** A small seeded generator: the same seed gives the same sequence on every machine. */
export class Random {
  private state: number
  constructor(seed: number) {
    this.state = seed >>> 0
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  pick<A>(values: ReadonlyArray<A>): A {
    return values[this.below(values.length)] as A // in range by construction
  }

  chance(p: number): boolean {
    return this.next() < p
  }
}
