/** What one entry costs beside its bytes, roughly. */
const entryBytes = 200

/**
 * Small things that are read again and again and never change, kept in memory up to a number of bytes; the one that
 * was not asked for longest goes first. A value is the same object for as long as it is kept, so that readers can keep
 * what they made of it in a WeakMap.
 */
export class ChunkCache {
  private readonly entries = new Map<string, Uint8Array>()
  private readonly capacityBytes: number
  private bytes = 0

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes
  }

  get(key: string): Uint8Array | undefined {
    const found = this.entries.get(key)
    if (found === undefined) return undefined
    this.entries.delete(key)
    this.entries.set(key, found)
    return found
  }

  /** The buffer must own its memory and not change any more. What is larger than the whole cache is not kept. */
  set(key: string, value: Uint8Array): void {
    const known = this.entries.get(key)
    if (known !== undefined) this.bytes -= known.length + entryBytes
    this.entries.delete(key)
    if (value.length + entryBytes > this.capacityBytes) return
    this.entries.set(key, value)
    this.bytes += value.length + entryBytes
    for (const [oldest, { length }] of this.entries) {
      if (this.bytes <= this.capacityBytes) return
      this.entries.delete(oldest)
      this.bytes -= length + entryBytes
    }
  }
}
