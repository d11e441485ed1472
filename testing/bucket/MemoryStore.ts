import type { ByteRange, ObjectInfo, ObjectStore } from "../../src/bucket/ObjectStore.ts"
import { BucketObjects } from "./BucketObjects.ts"

/**
 * A bucket in memory, without faults: each call does what it says at once, before it is waited for. `nowMillis` is the clock of
 * the store. `FaultyStore` puts faults before it, for one of those who share it.
 */
export class MemoryStore implements ObjectStore {
  readonly name: string
  private readonly objects: BucketObjects

  constructor(name = "memory://bucket", nowMillis: () => number = () => 0) {
    this.name = name
    this.objects = new BucketObjects(nowMillis)
  }

  create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    return Promise.resolve(this.objects.create(key, Buffer.concat(content)))
  }

  get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    return Promise.resolve(this.objects.get(key, range))
  }

  /** A listing is of the moment at which its first entry is asked for. */
  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    yield* this.objects.list(prefix, after)
  }

  remove(keys: ReadonlyArray<string>): Promise<void> {
    for (const key of keys) this.objects.remove(key)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
