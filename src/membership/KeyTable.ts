import type { LinkKey } from "../where/index.ts"
import { hashOf, KeyBytes, keyLength, readKey } from "./KeyBytes.ts"

const scratch = new KeyBytes()

/**
 * Which key has which id. Millions of keys are bytes in one buffer here, and places in arrays of integers: a third of what
 * they take as strings in a Map, and nothing that the collector of garbage has to visit.
 */
export class KeyTable {
  private bytes: Buffer = Buffer.alloc(256)
  private used = 0
  private wasted = 0
  /** Where the bytes of each id begin. */
  private starts = new Uint32Array(16)
  /** Ids and 1, at the first free place from that which their hash says; 0: free. */
  private places = new Int32Array(32)
  private count = 0
  private lastKey: LinkKey = undefined
  private lastId: number | undefined

  get size(): number {
    return this.count
  }

  find(key: LinkKey): number | undefined {
    // Many conditions ask for the same value of a row, one after the other.
    if (key === this.lastKey) return this.lastId
    this.lastKey = key
    return (this.lastId = this.lookUp(key))
  }

  private lookUp(key: LinkKey): number | undefined {
    scratch.write(key)
    const mask = this.places.length - 1
    for (let place = scratch.hash & mask; ; place = (place + 1) & mask) {
      const id = (this.places[place] ?? 0) - 1
      if (id < 0) return undefined
      if (this.isWritten(id)) return id
    }
  }

  private isWritten(id: number): boolean {
    const { bytes, length } = scratch
    const start = this.starts[id] ?? 0
    // The length is part of them.
    for (let i = 0; i < length; i++) if (this.bytes[start + i] !== bytes[i]) return false
    return true
  }

  /** Of an id that has one. */
  keyOf(id: number): LinkKey {
    return readKey(this.bytes, this.starts[id] ?? 0)
  }

  bytesOf(id: number): number {
    return keyLength(this.bytes, this.starts[id] ?? 0)
  }

  /** For a key and an id that are not in it. */
  set(key: LinkKey, id: number): void {
    scratch.write(key)
    const { bytes, hash, length } = scratch
    this.makeRoom(id, length)
    bytes.copy(this.bytes, this.used, 0, length)
    this.starts[id] = this.used
    this.used += length
    this.count++
    this.lastKey = undefined
    if (this.count * 3 > this.places.length * 2) this.spread(this.places.length * 2)
    this.place(id, hash)
  }

  private place(id: number, hash: number): void {
    const mask = this.places.length - 1
    let place = hash & mask
    while (this.places[place] !== 0) place = (place + 1) & mask
    this.places[place] = id + 1
  }

  private hashOf(id: number): number {
    const start = this.starts[id] ?? 0
    return hashOf(this.bytes, start, start + keyLength(this.bytes, start))
  }

  private makeRoom(id: number, length: number): void {
    if (id >= this.starts.length) {
      const ids = Math.max(id + 1, Math.ceil(this.starts.length * 1.25))
      const starts = new Uint32Array(ids)
      starts.set(this.starts)
      this.starts = starts
    }
    if (this.used + length > this.bytes.length)
      this.move(Math.ceil((this.used - this.wasted + length) * 1.25) + 64)
  }

  /** To another buffer, without what is in use no more. */
  private move(length: number): void {
    const bytes = Buffer.alloc(length)
    let used = 0
    for (const entry of this.places) {
      if (entry === 0) continue
      const id = entry - 1
      const start = this.starts[id] ?? 0
      this.starts[id] = used
      used += this.bytes.copy(bytes, used, start, start + keyLength(this.bytes, start))
    }
    this.bytes = bytes
    this.used = used
    this.wasted = 0
  }

  private spread(length: number): void {
    const before = this.places
    this.places = new Int32Array(length)
    for (const entry of before) if (entry !== 0) this.place(entry - 1, this.hashOf(entry - 1))
  }

  /** Of an id that has a key. */
  delete(id: number): void {
    const { places } = this
    const mask = places.length - 1
    let free = this.hashOf(id) & mask
    while (places[free] !== id + 1) free = (free + 1) & mask
    // Whoever stands behind it because it was there moves up.
    for (let next = (free + 1) & mask; places[next] !== 0; next = (next + 1) & mask) {
      const entry = places[next] ?? 0
      const wanted = this.hashOf(entry - 1) & mask
      if (((next - wanted) & mask) < ((next - free) & mask)) continue
      places[free] = entry
      free = next
    }
    places[free] = 0
    this.wasted += this.bytesOf(id)
    this.count--
    this.lastKey = undefined
    if (places.length > 64 && this.count * 8 < places.length) this.spread(places.length / 2)
    if (this.used > 1024 && this.wasted * 2 > this.used)
      this.move(Math.ceil((this.used - this.wasted) * 1.25) + 64)
  }
}
