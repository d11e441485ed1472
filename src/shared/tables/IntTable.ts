import { mixedBits } from "./KeyIndex.ts"

/** Key and value of each slot; the value of an empty one is 0. Shared by all tables that nothing was ever put into. */
const nothing = new Int32Array(2)
const firstSlots = 4

/**
 * Numbers by numbers, of 32 bits both: eight bytes a slot instead of an entry of a `Map`, which takes thirty of V8's heap and lies
 * at several places in it. Keys with a sign and without one are the same where their bits are. Open addressing with linear
 * probing; at most three quarters of the slots are taken.
 */
export class IntTable {
  size = 0
  private slots = nothing

  /** 0: the key is not there. */
  get(key: number): number {
    const { slots } = this
    const mask = slots.length - 2
    const wanted = key | 0
    for (let at = (mixedBits(wanted) << 1) & mask; ; at = (at + 2) & mask) {
      const value = slots[at + 1] as number
      if (value === 0 || slots[at] === wanted) return value
    }
  }

  /** `value` is not 0. Takes the place of what the key had before. */
  set(key: number, value: number): void {
    if (8 * (this.size + 1) > 3 * this.slots.length)
      this.resize(Math.max(2 * firstSlots, 2 * this.slots.length))
    const at = this.find(key | 0)
    if (this.slots[at + 1] === 0) this.size++
    this.slots[at] = key
    this.slots[at + 1] = value
  }

  /** Whether it was there. */
  delete(key: number): boolean {
    const { slots } = this
    const mask = slots.length - 2
    let empty = this.find(key | 0)
    if (slots[empty + 1] === 0) return false
    // What stands behind it because it was taken moves up.
    for (let next = (empty + 2) & mask; slots[next + 1] !== 0; next = (next + 2) & mask) {
      const wanted = (mixedBits(slots[next] as number) << 1) & mask
      if (((next - wanted) & mask) < ((next - empty) & mask)) continue
      slots[empty] = slots[next] as number
      slots[empty + 1] = slots[next + 1] as number
      empty = next
    }
    slots[empty + 1] = 0
    this.size--
    if (slots.length > 2 * firstSlots && 16 * this.size < slots.length) this.resize(slots.length / 2)
    return true
  }

  /** Where the key is, or would be. There is always an empty slot. */
  private find(key: number): number {
    const { slots } = this
    const mask = slots.length - 2
    let at = (mixedBits(key) << 1) & mask
    while (slots[at + 1] !== 0 && slots[at] !== key) at = (at + 2) & mask
    return at
  }

  private resize(length: number): void {
    const before = this.slots
    this.slots = new Int32Array(length)
    for (let i = 0; i < before.length; i += 2) {
      if (before[i + 1] === 0) continue
      const at = this.find(before[i] as number)
      this.slots[at] = before[i] as number
      this.slots[at + 1] = before[i + 1] as number
    }
  }
}
