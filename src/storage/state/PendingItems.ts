/**
 * The messages of a transaction whose end has not been seen: where each stands and which shapes it belongs to, in
 * flat arrays that are used again for the next transaction.
 */
export class PendingItems {
  items = 0
  private words = new Uint32Array(4 * 256)
  private ids = new Uint32Array(1024)
  private idCount = 0
  private lastOp = -1
  /** False once an item came whose op is below the one before it: Postgres was asked about it and answered late. */
  inOrder = true
  /** Shapes that get nothing of all this. */
  readonly retracted = new Set<number>()

  private push(op: number, position: number, length: number): void {
    const at = this.items++ * 4
    if (at + 4 > this.words.length) this.words = grown(this.words, at + 4)
    const words = this.words
    words[at] = op
    words[at + 1] = position
    words[at + 2] = length
    words[at + 3] = this.idCount
    if (op < this.lastOp) this.inOrder = false
    this.lastOp = op
  }

  add(op: number, position: number, length: number, ids: Uint32Array, from: number, count: number): void {
    if (this.idCount + count > this.ids.length) this.ids = grown(this.ids, this.idCount + count)
    for (let i = 0; i < count; i++) this.ids[this.idCount + i] = ids[from + i] as number
    this.idCount += count
    this.push(op, position, length)
  }

  addFromBuffer(
    op: number,
    position: number,
    length: number,
    buffer: Buffer,
    at: number,
    count: number
  ): void {
    if (this.idCount + count > this.ids.length) this.ids = grown(this.ids, this.idCount + count)
    for (let i = 0; i < count; i++) this.ids[this.idCount + i] = buffer.readUInt32LE(at + 4 * i)
    this.idCount += count
    this.push(op, position, length)
  }

  // Fields of item `i`, which is below `items`.
  op(i: number): number {
    return this.words[i * 4] as number
  }
  position(i: number): number {
    return this.words[i * 4 + 1] as number
  }
  length(i: number): number {
    return this.words[i * 4 + 2] as number
  }
  /** Its shapes are those from this on, up to `idsEnd`. */
  idsStart(i: number): number {
    return i === 0 ? 0 : (this.words[(i - 1) * 4 + 3] as number)
  }
  idsEnd(i: number): number {
    return this.words[i * 4 + 3] as number
  }
  id(i: number): number {
    return this.ids[i] as number
  }

  /** Of all items. */
  shapeIds(): Uint32Array {
    return this.ids.subarray(0, this.idCount)
  }

  /** The items' numbers in the order of their ops. */
  byOp(): Uint32Array {
    const numbers = Array.from({ length: this.items }, (_, i) => i)
    numbers.sort((a, b) => this.op(a) - this.op(b) || a - b)
    return Uint32Array.from(numbers)
  }

  clear(): void {
    this.items = 0
    this.lastOp = -1
    this.inOrder = true
    this.idCount = 0
    if (this.retracted.size > 0) this.retracted.clear()
    // A huge transaction must not leave its arrays behind for ever.
    if (this.words.length > 1 << 20) this.words = new Uint32Array(4 * 256)
    if (this.ids.length > 1 << 20) this.ids = new Uint32Array(1024)
  }
}

const grown = (array: Uint32Array, needed: number): Uint32Array<ArrayBuffer> => {
  let capacity = array.length
  while (capacity < needed) capacity *= 2
  const larger = new Uint32Array(capacity)
  larger.set(array)
  return larger
}
