/** All bits of a number, mixed: 32 bits that tell numbers apart which are near each other. */
export const mixedBits = (number: number): number => {
  let hash = number
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** FNV-1a, with its bits mixed at the end. */
export const hashOfText = (key: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return mixedBits(hash)
}

const firstSlots = 16

/**
 * Which thing has a key, by its id: eight bytes a slot, outside of V8's heap; the keys themselves stand only with the things.
 * Open addressing with linear probing; at most three quarters of the slots are taken.
 */
export class KeyIndex {
  size = 0
  /** Hash and id of each slot; the id of an empty one is 0, which no thing has. */
  private slots = new Uint32Array(2 * firstSlots)
  private readonly keyOf: (id: number) => string | undefined
  private readonly hashOf: (key: string) => number

  /** `keyOf`: the key of a thing that the index was told of. `hashOf`: 32 bits that follow from a key. */
  constructor(keyOf: (id: number) => string | undefined, hashOf: (key: string) => number) {
    this.keyOf = keyOf
    this.hashOf = hashOf
  }

  get(key: string): number | undefined {
    const id = this.slots[2 * this.slotOf(this.hashOf(key), key) + 1] as number
    return id === 0 ? undefined : id
  }

  /** Takes the place of what had the key before. */
  set(key: string, id: number): void {
    this.makeRoom()
    const hash = this.hashOf(key)
    const slot = this.slotOf(hash, key)
    if (this.slots[2 * slot + 1] === 0) this.size++
    this.slots[2 * slot] = hash
    this.slots[2 * slot + 1] = id
  }

  /**
   * The same for a thing whose key is not at hand as a text, but what `hashOf` gives for it, and which can say its key already.
   * Of two that have one key the higher id keeps it.
   */
  setHashed(hash: number, id: number): void {
    this.makeRoom()
    const { slots } = this
    const mask = slots.length / 2 - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const known = slots[2 * slot + 1] as number
      if (known !== 0) {
        if (slots[2 * slot] !== hash || this.keyOf(known) !== this.keyOf(id)) continue
        if (known > id) return
      } else this.size++
      slots[2 * slot] = hash
      slots[2 * slot + 1] = id
      return
    }
  }

  /** That so many will be there: it need not grow on the way. */
  expect(count: number): void {
    let slotCount = this.slots.length / 2
    while (4 * count > 3 * slotCount) slotCount *= 2
    if (2 * slotCount > this.slots.length) this.resize(slotCount)
  }

  private makeRoom(): void {
    if (4 * (this.size + 1) > 3 * (this.slots.length / 2)) this.resize(this.slots.length)
  }

  /** Forgets the key if this thing has it. The thing still says what its key is. */
  delete(key: string, id: number): void {
    const slot = this.slotOf(this.hashOf(key), key)
    if (this.slots[2 * slot + 1] !== id) return
    this.size--
    this.close(slot)
  }

  /** The slot that has the key, or the empty one that it would get. */
  private slotOf(hash: number, key: string): number {
    const { slots } = this
    const mask = slots.length / 2 - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = slots[2 * slot + 1] as number
      if (id === 0 || (slots[2 * slot] === hash && this.keyOf(id) === key)) return slot
    }
  }

  /** Empties a slot, and moves up what stands behind it because it was taken. */
  private close(slot: number): void {
    const { slots } = this
    const mask = slots.length / 2 - 1
    let empty = slot
    for (let next = (slot + 1) & mask; slots[2 * next + 1] !== 0; next = (next + 1) & mask) {
      const wanted = (slots[2 * next] as number) & mask
      if (((next - wanted) & mask) < ((next - empty) & mask)) continue
      slots[2 * empty] = slots[2 * next] as number
      slots[2 * empty + 1] = slots[2 * next + 1] as number
      empty = next
    }
    slots[2 * empty] = 0
    slots[2 * empty + 1] = 0
  }

  private resize(slotCount: number): void {
    const before = this.slots
    const slots = new Uint32Array(2 * slotCount)
    const mask = slotCount - 1
    for (let i = 0; i < before.length; i += 2) {
      if (before[i + 1] === 0) continue
      let slot = (before[i] as number) & mask
      while (slots[2 * slot + 1] !== 0) slot = (slot + 1) & mask
      slots[2 * slot] = before[i] as number
      slots[2 * slot + 1] = before[i + 1] as number
    }
    this.slots = slots
  }
}
