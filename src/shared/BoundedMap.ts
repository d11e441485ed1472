interface Entry<V> {
  readonly value: V
  readonly weight: number
  /** Since it was last looked over for room. */
  isUsed: boolean
}

/** What one entry costs beside its bytes, roughly. */
const entryBytes = 200

/** Weighs bytes by the memory that they take. */
export const weighBytes = ({ length }: Uint8Array): number => length + entryBytes

/**
 * A memory of what was made before, up to a weight: by default, up to a number of entries. Where there is no room for another
 * one, the oldest goes that nobody has asked for since there was last none. To ask costs no more than a look into a `Map`,
 * so values of rows may be kept here. A value is the same object for as long as it is kept, so that its readers can keep what
 * they made of it in a WeakMap.
 */
export class BoundedMap<K, V> {
  private readonly entries = new Map<K, Entry<V>>()
  private readonly capacity: number
  private readonly weigh: (value: V, key: K) => number
  private held = 0

  constructor(capacity: number, weigh: (value: V, key: K) => number = () => 1) {
    this.capacity = capacity
    this.weigh = weigh
  }

  get(key: K): V | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined) return undefined
    entry.isUsed = true
    return entry.value
  }

  /** What is heavier than all that may be kept is not kept. The weight of a value must not change any more. */
  set(key: K, value: V): void {
    this.delete(key)
    const weight = this.weigh(value, key)
    if (weight > this.capacity) return
    this.held += weight
    if (this.held > this.capacity) this.makeRoom()
    this.entries.set(key, { value, weight, isUsed: false })
  }

  /** Whether there was one. */
  delete(key: K): boolean {
    const entry = this.entries.get(key)
    if (entry === undefined) return false
    this.held -= entry.weight
    return this.entries.delete(key)
  }

  private makeRoom(): void {
    for (const [key, entry] of this.entries) {
      if (this.held <= this.capacity) return
      this.entries.delete(key)
      if (entry.isUsed) {
        entry.isUsed = false
        this.entries.set(key, entry) // behind all others: it comes again
      } else this.held -= entry.weight
    }
  }
}
