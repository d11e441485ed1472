import type { ByteRange, ObjectInfo, ObjectStore } from "../../src/bucket/ObjectStore.ts"

/**
 * A bucket in memory, without faults: each call does what it says at once, before it is waited for. `nowMillis` is the clock of
 * the store.
 */
export class MemoryStore implements ObjectStore {
  readonly name: string
  private readonly nowMillis: () => number
  private readonly objects = new Map<string, { readonly bytes: Buffer; readonly modifiedMillis: number }>()

  constructor(name = "memory://bucket", nowMillis: () => number = () => 0) {
    this.name = name
    this.nowMillis = nowMillis
  }

  create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    if (this.objects.has(key)) return Promise.resolve("exists")
    this.objects.set(key, { bytes: Buffer.concat(content), modifiedMillis: this.nowMillis() })
    return Promise.resolve("created")
  }

  get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    const bytes = this.objects.get(key)?.bytes
    return Promise.resolve(bytes && Buffer.from(bytes.subarray(range?.from ?? 0, range?.to)))
  }

  /** A listing is of the moment at which its first entry is asked for. */
  async *list(prefix: string, after = ""): AsyncIterable<ObjectInfo> {
    const found = [...this.objects]
      .filter(([key]) => key.startsWith(prefix) && key > after)
      .map(([key, { bytes, modifiedMillis }]) => ({ key, bytes: bytes.length, modifiedMillis }))
    yield* found.toSorted((a, b) => (a.key < b.key ? -1 : 1))
  }

  remove(keys: ReadonlyArray<string>): Promise<void> {
    for (const key of keys) this.objects.delete(key)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
