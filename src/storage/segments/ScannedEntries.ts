import { tailLastFlag, tailStride } from "../state/ShapeTail.ts"

const firstEntries = 1024
/** A huge transaction must not leave its arrays behind for ever. */
const keptEntries = 1 << 16

/** Entries of shapes in the form of `ShapeTail`, in the order of the journal, and the number of each one's shape. */
export class ScannedEntries {
  count = 0
  private words = new Uint32Array(tailStride * firstEntries)
  private slotOf = new Uint32Array(firstEntries)
  /** Of these entries, which are one transaction's, an op was below the one before it. */
  private inOrder = true

  private makeRoom(entries: number): void {
    if (entries <= this.slotOf.length) return
    const length = Math.max(entries, 2 * this.slotOf.length)
    const words = new Uint32Array(length * tailStride)
    words.set(this.words)
    this.words = words
    const slotOf = new Uint32Array(length)
    slotOf.set(this.slotOf)
    this.slotOf = slotOf
  }

  push(
    slot: number,
    txHigh: number,
    txLow: number,
    op: number,
    segment: number,
    position: number,
    length: number
  ): void {
    const n = this.count++
    this.makeRoom(this.count)
    const at = n * tailStride
    const { words } = this
    if (n > 0 && op < (words[at - tailStride + 2] as number)) this.inOrder = false
    words[at] = txHigh
    words[at + 1] = txLow
    words[at + 2] = op
    words[at + 3] = segment
    words[at + 4] = position
    words[at + 5] = length
    this.slotOf[n] = slot
  }

  slot(n: number): number {
    return this.slotOf[n] as number
  }

  /** What committing them as one transaction comes to: in the order of their ops, the last of each shape marked. Gives the shapes. */
  seal(): ReadonlySet<number> {
    if (!this.inOrder) this.sortByOp()
    const seen = new Set<number>()
    for (let n = this.count - 1; n >= 0; n--) {
      const slot = this.slotOf[n] as number
      if (seen.has(slot)) continue
      seen.add(slot)
      const at = n * tailStride + 5
      this.words[at] = ((this.words[at] as number) | tailLastFlag) >>> 0
    }
    return seen
  }

  private sortByOp(): void {
    const op = (n: number) => this.words[n * tailStride + 2] as number
    const order = Array.from({ length: this.count }, (_, i) => i)
    order.sort((a, b) => op(a) - op(b) || a - b)
    const words = this.words.slice(0, this.count * tailStride)
    const slotOf = this.slotOf.slice(0, this.count)
    order.forEach((n, i) => {
      this.words.set(words.subarray(n * tailStride, (n + 1) * tailStride), i * tailStride)
      this.slotOf[i] = slotOf[n] as number
    })
  }

  /** Adds those of another list, but for the shapes in `without`. */
  addAll(other: ScannedEntries, without: ReadonlySet<number>): void {
    this.makeRoom(this.count + other.count)
    if (without.size === 0) {
      this.words.set(other.words.subarray(0, other.count * tailStride), this.count * tailStride)
      this.slotOf.set(other.slotOf.subarray(0, other.count), this.count)
      this.count += other.count
      return
    }
    for (let n = 0; n < other.count; n++) {
      const slot = other.slotOf[n] as number
      if (without.has(slot)) continue
      other.copyTo(n, this.words, this.count * tailStride)
      this.slotOf[this.count++] = slot
    }
  }

  copyTo(n: number, words: Uint32Array, at: number): void {
    const from = n * tailStride
    for (let i = 0; i < tailStride; i++) words[at + i] = this.words[from + i] as number
  }

  clear(): void {
    this.count = 0
    this.inOrder = true
    if (this.slotOf.length <= keptEntries) return
    this.words = new Uint32Array(tailStride * firstEntries)
    this.slotOf = new Uint32Array(firstEntries)
  }
}
