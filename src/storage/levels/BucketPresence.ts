import type { ObjectStore } from "../../bucket/ObjectStore.ts"

/** What an instance or a replica says of itself in the bucket. */
interface SaidInBucket {
  readonly release: string
  /** The levels of storage that it reads, and the highest that it writes. */
  readonly oldest: number
  readonly newest: number
  readonly role: "instance" | "replica"
}

/**
 * Says in a bucket that this process is there and what it can read: for a release that writes what older ones cannot. Objects do not
 * change, so each time is another one, `instances/<name>-<count>`, and the one before goes. One that is a day old is of a process
 * that is gone.
 */
export class BucketPresence {
  private readonly store: ObjectStore
  private readonly name: string
  private count = 0
  private last: string | undefined

  constructor(store: ObjectStore, name: string) {
    this.store = store
    this.name = name
  }

  /** Fails with a `BucketFault`. */
  async say(said: SaidInBucket): Promise<void> {
    const before = this.last
    const key = `instances/${this.name}-${this.count++}`
    await this.store.create(key, [Buffer.from(JSON.stringify(said))])
    this.last = key
    if (before !== undefined) await this.store.remove([before])
  }

  async remove(): Promise<void> {
    const { last } = this
    this.last = undefined
    if (last !== undefined) await this.store.remove([last])
  }
}
