import { BucketFault, type BucketFaultKind, type BucketOperation } from "../../src/bucket/BucketFault.ts"
import type { ByteRange, ObjectInfo, ObjectStore } from "../../src/bucket/ObjectStore.ts"
import { pause, systemTimers, type Timers } from "../../src/shared/Timers.ts"
import { BucketFaults } from "./BucketFaults.ts"
import { RequestCounter } from "./RequestCounter.ts"

/**
 * One client's way to a store, with the faults that `FakeS3` has, and a count of what it asks. A fault that cuts the connection is
 * `unreachable`, one that nobody answers is `timedOut` once the test ends it. Delays are counted by `timers`.
 */
export class FaultyStore implements ObjectStore {
  readonly name: string
  readonly faults: BucketFaults
  readonly counter = new RequestCounter()
  private readonly store: ObjectStore
  private readonly timers: Timers

  constructor(store: ObjectStore, faults = new BucketFaults(), timers: Timers = systemTimers) {
    this.store = store
    this.faults = faults
    this.timers = timers
    this.name = store.name
  }

  create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    const bytes = Buffer.concat(content)
    this.counter.count("create", bytes.length)
    return this.asked<"created" | "exists">(
      "create",
      key,
      () => this.store.create(key, [bytes]),
      async () => {
        await this.store.create(key, [bytes])
        return "created"
      }
    )
  }

  async get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    const found = await this.asked("read", key, () => this.store.get(key, range))
    this.counter.count("read", found?.length ?? 0)
    return found
  }

  async *list(prefix: string, after?: string): AsyncGenerator<ObjectInfo, void> {
    this.counter.count("list", 0)
    yield* await this.asked("list", prefix, () => Promise.resolve(this.store.list(prefix, after)))
  }

  async remove(keys: ReadonlyArray<string>): Promise<void> {
    for (const key of keys) {
      this.counter.count("remove", 0)
      await this.asked("remove", key, () => this.store.remove([key]))
    }
  }

  close(): Promise<void> {
    return this.store.close()
  }

  private async asked<A>(
    operation: BucketOperation,
    key: string,
    work: () => Promise<A>,
    unconditionally = work
  ): Promise<A> {
    const fail = (kind: BucketFaultKind, said: string): never => {
      throw new BucketFault({ operation, object: `${this.name}/${key}`, kind, said })
    }
    const met = this.faults.meet({ operation, key, client: this.name })
    switch (met?.fate._tag) {
      case undefined:
        return work()
      case "Unconditional":
        return unconditionally()
      case "Delay":
        await pause(this.timers, met.fate.millis)
        return work()
      case "Hang":
        await new Promise<void>((resolve) => met.atEnd(resolve))
        return fail("timedOut", "nobody has answered")
      case "Refuse":
        return fail(met.fate.kind, "a fault that the test has turned on")
      case "Conflict":
        return fail("failing", "409 ConditionalRequestConflict")
      case "Unanswered":
        await work()
        return fail("unreachable", "the connection was cut before the answer")
      case "Late":
        met.later(() => void work())
        return fail("unreachable", "the connection was cut")
      case "Doubled":
        met.later(() => void work())
        return work()
    }
  }
}
