import { evaluated } from "./Cell.ts"

/** One clause's bounds on a probed value; `undefined` is unbounded. */
export interface Interval {
  readonly id: number
  readonly lower: unknown
  readonly lowerInclusive: boolean
  readonly upper: unknown
  readonly upperInclusive: boolean
  /** Whoever holds the value is decided by that. */
  readonly exact: boolean
}

type Compare = (a: unknown, b: unknown) => number

/** Of a node, which is split when it would have more. */
const mostEntries = 48
/** Neighbours with no more than this together become one. */
const fewEntries = 24

const lowerInclusive = 1
const upperInclusive = 2
const exact = 4

const flagsOf = (interval: Interval): number =>
  (interval.lowerInclusive ? lowerInclusive : 0) |
  (interval.upperInclusive ? upperInclusive : 0) |
  (interval.exact ? exact : 0)

/**
 * Entries stand in the order of their lower bounds, and of their ids where these are equal, in lists side by side: a search touches a few
 * nodes that the cache holds, where an object for each interval would be a miss each.
 */
interface Entries {
  /** Of the interval; of a child, no more than the lowest in it. */
  readonly lowers: Array<unknown>
  readonly ids: Array<number>
  /** Of the interval; of a child, the greatest in it. `undefined` is unbounded. */
  readonly uppers: Array<unknown>
}

interface Leaf extends Entries {
  readonly flags: Array<number>
  readonly children: undefined
}

interface Inner extends Entries {
  readonly flags: undefined
  readonly children: Array<Node>
}

type Node = Leaf | Inner

const newLeaf = (): Leaf => ({ lowers: [], ids: [], uppers: [], flags: [], children: undefined })
const newInner = (): Inner => ({ lowers: [], ids: [], uppers: [], flags: undefined, children: [] })

/**
 * Finds all intervals that hold a value: a B+ tree by lower bound, in which each node knows the greatest upper bound below each of its
 * children. Adding and removing take logarithmic time, finding logarithmic time plus what is found.
 */
export class IntervalTree {
  private root: Node = newLeaf()
  private readonly compare: Compare
  size = 0
  constructor(compare: Compare) {
    this.compare = compare
  }

  add(interval: Interval): void {
    this.size++
    const split = this.insert(this.root, interval)
    if (split === undefined) return
    const root = newInner()
    this.putChild(root, 0, this.root)
    this.putChild(root, 1, split)
    this.root = root
  }

  /** Removes an interval that was added with these bounds; nothing happens when it is not there. */
  remove(interval: Interval): void {
    if (!this.delete(this.root, interval)) return
    this.size--
    while (this.root.children?.length === 1) this.root = this.root.children[0] as Node
  }

  /** Appends the ids of all intervals that hold `value`, each as `shapeIn` (Cell.ts) reads it. */
  find(value: unknown, found: Array<number>): void {
    this.stab(this.root, value, found)
  }

  private orderOf(lower: unknown, id: number, otherLower: unknown, otherId: number): number {
    if (lower === undefined || otherLower === undefined) {
      if (lower !== otherLower) return lower === undefined ? -1 : 1
    } else {
      const order = this.compare(lower, otherLower)
      if (order !== 0) return order
    }
    return id - otherId
  }

  /** How many entries come before this one, or are it. */
  private countUpTo({ ids, lowers }: Entries, lower: unknown, id: number): number {
    let low = 0
    let high = ids.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.orderOf(lowers[middle], ids[middle] as number, lower, id) > 0) high = middle
      else low = middle + 1
    }
    return low
  }

  private greatestIn({ uppers }: Entries): unknown {
    let greatest = uppers[0]
    for (let i = 1; i < uppers.length && greatest !== undefined; i++) {
      const upper = uppers[i]
      if (upper === undefined || this.compare(upper, greatest) > 0) greatest = upper
    }
    return greatest
  }

  /** Gives the node that has its right half from now on, where it had to be split. */
  private insert(node: Node, interval: Interval): Node | undefined {
    const { id, lower, upper } = interval
    const after = this.countUpTo(node, lower, id)
    if (node.children === undefined) {
      node.lowers.splice(after, 0, lower)
      node.ids.splice(after, 0, id)
      node.uppers.splice(after, 0, upper)
      node.flags.splice(after, 0, flagsOf(interval))
    } else {
      const at = Math.max(0, after - 1)
      const child = node.children[at] as Node
      const split = this.insert(child, interval)
      this.lookAtChild(node, at, child)
      if (split !== undefined) this.putChild(node, at + 1, split)
    }
    return node.ids.length > mostEntries ? halved(node) : undefined
  }

  private putChild(node: Inner, at: number, child: Node): void {
    node.lowers.splice(at, 0, undefined)
    node.ids.splice(at, 0, 0)
    node.uppers.splice(at, 0, undefined)
    node.children.splice(at, 0, child)
    this.lookAtChild(node, at, child)
  }

  private lookAtChild(node: Inner, at: number, child: Node): void {
    node.lowers[at] = child.lowers[0]
    node.ids[at] = child.ids[0] as number // No child is empty.
    node.uppers[at] = this.greatestIn(child)
  }

  /** Whether it was there. */
  private delete(node: Node, interval: Interval): boolean {
    const at = this.countUpTo(node, interval.lower, interval.id) - 1
    if (at < 0) return false
    if (node.children === undefined) {
      if (node.ids[at] !== interval.id) return false
      node.flags.splice(at, 1)
      dropEntry(node, at)
      return true
    }
    const child = node.children[at] as Node
    if (!this.delete(child, interval)) return false
    if (child.ids.length === 0) {
      node.children.splice(at, 1)
      dropEntry(node, at)
      return true
    }
    this.lookAtChild(node, at, child)
    const left = at > 0 && this.joined(node, at - 1) ? at - 1 : at
    this.joined(node, left)
    return true
  }

  /** Makes one child of this one and the next, where that is a small one. */
  private joined(node: Inner, at: number): boolean {
    const child = node.children[at]
    const next = node.children[at + 1]
    if (child === undefined || next === undefined) return false
    if (child.ids.length + next.ids.length > fewEntries) return false
    moveEntries(next, 0, child)
    node.children.splice(at + 1, 1)
    dropEntry(node, at + 1)
    this.lookAtChild(node, at, child)
    return true
  }

  private stab(node: Node, value: unknown, found: Array<number>): void {
    const { compare } = this
    const { children, flags, ids, lowers, uppers } = node
    // Behind the last whose lower bound is not above the value, none holds it.
    let end = 0
    let high = ids.length
    while (end < high) {
      const middle = (end + high) >>> 1
      const lower = lowers[middle]
      if (lower !== undefined && compare(lower, value) > 0) high = middle
      else end = middle + 1
    }
    for (let i = 0; i < end; i++) {
      const upper = uppers[i]
      const order = upper === undefined ? 1 : compare(upper, value)
      if (order < 0) continue
      if (children !== undefined) {
        this.stab(children[i] as Node, value, found)
        continue
      }
      const flag = (flags as Array<number>)[i] as number // A leaf has flags.
      if (order === 0 && (flag & upperInclusive) === 0) continue
      const lower = lowers[i]
      if ((flag & lowerInclusive) === 0 && lower !== undefined && compare(lower, value) === 0) continue
      const id = ids[i] as number
      found.push((flag & exact) === 0 ? evaluated(id) : id)
    }
  }
}

const dropEntry = (node: Entries, at: number): void => {
  node.lowers.splice(at, 1)
  node.ids.splice(at, 1)
  node.uppers.splice(at, 1)
}

/** Nodes of one kind: siblings. */
const moveEntries = (from: Node, start: number, to: Node): void => {
  to.lowers.push(...from.lowers.splice(start))
  to.ids.push(...from.ids.splice(start))
  to.uppers.push(...from.uppers.splice(start))
  if (from.flags !== undefined) to.flags?.push(...from.flags.splice(start))
  if (from.children !== undefined) to.children?.push(...from.children.splice(start))
}

/** Leaves the left half of a node, and gives the right one. */
const halved = (node: Node): Node => {
  const right = node.children === undefined ? newLeaf() : newInner()
  moveEntries(node, node.ids.length >>> 1, right)
  return right
}
