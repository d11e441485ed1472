import { compareKeys } from "../../src/bucket/KeyPath.ts"
import type { ByteRange, ObjectInfo } from "../../src/bucket/ObjectStore.ts"

interface Stored {
  readonly bytes: Buffer
  readonly modifiedMillis: number
}

/** What a bucket holds, in memory: it may be shared by many stores, and changed by a test at any time. */
export class BucketObjects {
  readonly stored = new Map<string, Stored>()
  private readonly nowMillis: () => number

  /** The clock of the store, milliseconds since 1970. */
  constructor(nowMillis: () => number = () => Date.now()) {
    this.nowMillis = nowMillis
  }

  create(
    key: string,
    bytes: Uint8Array,
    condition: "ifAbsent" | "always" = "ifAbsent"
  ): "created" | "exists" {
    if (condition === "ifAbsent" && this.stored.has(key)) return "exists"
    this.stored.set(key, { bytes: Buffer.from(bytes), modifiedMillis: this.nowMillis() })
    return "created"
  }

  get(key: string, range?: ByteRange): Buffer | undefined {
    const bytes = this.stored.get(key)?.bytes
    return bytes && Buffer.from(bytes.subarray(range?.from, range?.to))
  }

  list(prefix: string, after?: string): ReadonlyArray<ObjectInfo> {
    return [...this.stored]
      .filter(([key]) => key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0))
      .toSorted(([a], [b]) => compareKeys(a, b))
      .map(([key, { bytes, modifiedMillis }]) => ({ key, bytes: bytes.length, modifiedMillis }))
  }

  remove(key: string): void {
    this.stored.delete(key)
  }

  keys(prefix = ""): ReadonlyArray<string> {
    return this.list(prefix).map(({ key }) => key)
  }
}
