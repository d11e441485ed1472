import { BucketFault } from "./BucketFault.ts"
import type { BucketWatch, RequestKind } from "./BucketWatch.ts"
import type { ByteRange, ObjectInfo, ObjectStore } from "./ObjectStore.ts"

/** Objects in a page of a listing. */
const pageObjects = 1000

/** A store, whose every request `watch` is told of. */
export class WatchedStore implements ObjectStore {
  private readonly store: ObjectStore
  private readonly watch: BucketWatch

  constructor(store: ObjectStore, watch: BucketWatch) {
    this.store = store
    this.watch = watch
  }

  get name(): string {
    return this.store.name
  }

  async create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    let bytes = 0
    for (const part of content) bytes += part.length
    const outcome = await this.asked("put", () => this.store.create(key, content), bytes)
    if (outcome === "created") this.watch.created++
    return outcome
  }

  get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    return this.asked("get", () => this.store.get(key, range))
  }

  async *list(prefix: string, after?: string): AsyncGenerator<ObjectInfo, void> {
    const entries = this.store.list(prefix, after)[Symbol.asyncIterator]()
    try {
      for (let seen = 0; ; seen++) {
        const next = () => entries.next()
        const entry = await (seen % pageObjects === 0 ? this.asked("list", next) : next())
        if (entry.done === true) return
        yield entry.value
      }
    } finally {
      await entries.return?.()
    }
  }

  async remove(keys: ReadonlyArray<string>): Promise<void> {
    if (keys.length === 0) return
    const others = keys.slice(1).map(() => this.watch.began("delete"))
    try {
      await this.asked("delete", () => this.store.remove(keys))
    } finally {
      for (const request of others) this.watch.gaveUp(request)
    }
  }

  close(): Promise<void> {
    return this.store.close()
  }

  private async asked<A>(kind: RequestKind, work: () => Promise<A>, bytes = 0): Promise<A> {
    const request = this.watch.began(kind, bytes)
    try {
      const answer = await work()
      this.watch.succeeded(request, Buffer.isBuffer(answer) ? answer.length : 0)
      return answer
    } catch (error) {
      if (error instanceof BucketFault) this.watch.failed(kind, request, error)
      else this.watch.gaveUp(request)
      throw error
    }
  }
}
