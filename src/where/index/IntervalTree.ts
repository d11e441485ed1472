import type { Compiled } from "../evaluate/Compile.ts"

/** One clause's bounds on a probed value; `undefined` is unbounded. */
export interface Interval {
  readonly id: number
  readonly lower: unknown
  readonly lowerInclusive: boolean
  readonly upper: unknown
  readonly upperInclusive: boolean
  readonly exact: boolean
  readonly compiled: Compiled
  readonly constants: ReadonlyArray<unknown>
}

interface Node {
  interval: Interval
  priority: number
  /** The greatest upper bound below this node; `undefined` is unbounded. */
  greatest: unknown
  left: Node | undefined
  right: Node | undefined
}

/**
 * Finds all intervals that hold a value: a treap by lower bound, each node knows the greatest upper bound below
 * it. Adding and removing take logarithmic time, finding logarithmic time plus what is found.
 */
export class IntervalTree {
  private root: Node | undefined
  private readonly compare: (a: unknown, b: unknown) => number
  private seed = 2463534242
  size = 0
  constructor(compare: (a: unknown, b: unknown) => number) {
    this.compare = compare
  }

  add(interval: Interval): void {
    this.size++
    // xorshift: priorities need to be spread, not secret.
    this.seed ^= this.seed << 13
    this.seed ^= this.seed >>> 17
    this.seed ^= this.seed << 5
    const node: Node = {
      interval,
      priority: this.seed,
      greatest: interval.upper,
      left: undefined,
      right: undefined
    }
    this.root = this.insert(this.root, node)
  }

  remove(interval: Interval): void {
    this.root = this.delete(this.root, interval)
  }

  /** Calls `visit` with every interval that holds `value`. */
  find(value: unknown, visit: (interval: Interval) => void): void {
    this.stab(this.root, value, visit)
  }

  each(visit: (interval: Interval) => void): void {
    const walk = (node: Node | undefined): void => {
      if (node === undefined) return
      walk(node.left)
      visit(node.interval)
      walk(node.right)
    }
    walk(this.root)
  }

  private order(a: Interval, b: Interval): number {
    if (a.lower === undefined || b.lower === undefined) {
      if (a.lower !== b.lower) return a.lower === undefined ? -1 : 1
    } else {
      const order = this.compare(a.lower, b.lower)
      if (order !== 0) return order
    }
    return a.id - b.id
  }

  private refresh(node: Node): Node {
    let greatest = node.interval.upper
    for (const child of [node.left, node.right]) {
      if (child === undefined || greatest === undefined) continue
      if (child.greatest === undefined || this.compare(child.greatest, greatest) > 0)
        greatest = child.greatest
    }
    node.greatest = greatest
    return node
  }

  private insert(node: Node | undefined, added: Node): Node {
    if (node === undefined) return added
    if (this.order(added.interval, node.interval) < 0) {
      node.left = this.insert(node.left, added)
      if (node.left.priority > node.priority) {
        const { left } = node
        node.left = left.right
        left.right = this.refresh(node)
        return this.refresh(left)
      }
    } else {
      node.right = this.insert(node.right, added)
      if (node.right.priority > node.priority) {
        const { right } = node
        node.right = right.left
        right.left = this.refresh(node)
        return this.refresh(right)
      }
    }
    return this.refresh(node)
  }

  private delete(node: Node | undefined, interval: Interval): Node | undefined {
    if (node === undefined) return undefined
    const order = this.order(interval, node.interval)
    if (order === 0 && node.interval.id === interval.id) {
      this.size--
      return this.merge(node.left, node.right)
    }
    if (order < 0) node.left = this.delete(node.left, interval)
    else node.right = this.delete(node.right, interval)
    return this.refresh(node)
  }

  private merge(a: Node | undefined, b: Node | undefined): Node | undefined {
    if (a === undefined) return b
    if (b === undefined) return a
    if (a.priority > b.priority) {
      a.right = this.merge(a.right, b)
      return this.refresh(a)
    }
    b.left = this.merge(a, b.left)
    return this.refresh(b)
  }

  private stab(node: Node | undefined, value: unknown, visit: (interval: Interval) => void): void {
    if (node === undefined) return
    if (node.greatest !== undefined && this.compare(node.greatest, value) < 0) return
    this.stab(node.left, value, visit)
    const { interval } = node
    const low = interval.lower === undefined ? -1 : this.compare(interval.lower, value)
    if (low > 0) return
    if (low < 0 || interval.lowerInclusive) {
      const high = interval.upper === undefined ? 1 : this.compare(interval.upper, value)
      if (high > 0 || (high === 0 && interval.upperInclusive)) visit(interval)
    }
    this.stab(node.right, value, visit)
  }
}
