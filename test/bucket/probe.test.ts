import { assert, describe, it } from "@effect/vitest"
import { BucketFault, type BucketFaultKind, type BucketOperation } from "../../src/bucket/BucketFault.ts"
import type { ObjectInfo, ObjectStore } from "../../src/bucket/ObjectStore.ts"
import { probeBucket } from "../../src/bucket/ProbeBucket.ts"
import { systemTimers, type Timers } from "../../src/shared/Timers.ts"
import { BucketFaults, type Fate, type Meeting } from "../../testing/bucket/BucketFaults.ts"
import { FaultyStore } from "../../testing/bucket/FaultyStore.ts"
import { MemoryStore } from "../../testing/bucket/MemoryStore.ts"

/** No pause takes time. */
const timers: Timers = { ...systemTimers, after: (_, work) => systemTimers.after(0, work) }

const keysOf = async (store: ObjectStore): Promise<ReadonlyArray<string>> => {
  const keys: Array<string> = []
  for await (const { key } of store.list("")) keys.push(key)
  return keys
}

/** What a probe of a store with a fault ends with, and what it has left there. */
const probed = async (fate?: Fate, meeting: Meeting = {}, store: ObjectStore = new MemoryStore()) => {
  const faults = new BucketFaults()
  if (fate !== undefined) faults.add(fate, meeting)
  const faulty = new FaultyStore(store, faults)
  const fault = await probeBucket(faulty, timers).then(
    () => undefined,
    (error: unknown) => error
  )
  assert.isTrue(fault === undefined || fault instanceof BucketFault, String(fault))
  return { fault: fault as BucketFault | undefined, left: await keysOf(store), counter: faulty.counter }
}

/** A store that does one thing in a way of its own. */
class OddStore extends MemoryStore {
  private readonly odd: Partial<ObjectStore>
  constructor(odd: Partial<ObjectStore>) {
    super()
    this.odd = odd
  }
  override create(key: string, content: ReadonlyArray<Uint8Array>) {
    return this.odd.create?.(key, content) ?? super.create(key, content)
  }
  override get(key: string, range?: { from: number; to: number }) {
    return this.odd.get?.(key, range) ?? super.get(key, range)
  }
  override list(prefix: string): AsyncIterable<ObjectInfo> {
    return this.odd.list?.(prefix) ?? super.list(prefix)
  }
}

async function* nothing(): AsyncGenerator<ObjectInfo> {}

describe("the probe", () => {
  it("finds nothing wrong with a store that keeps its promises, and leaves nothing there", async () => {
    const { counter, fault, left } = await probed()
    assert.isUndefined(fault)
    assert.deepStrictEqual(left, [])
    assert.strictEqual(counter.create.requests, 16)
  })

  it("may be done by several at once", async () => {
    const store = new MemoryStore()
    const all = await Promise.all(Array.from({ length: 5 }, () => probed(undefined, {}, store)))
    assert.deepStrictEqual(
      all.map(({ fault }) => fault),
      [undefined, undefined, undefined, undefined, undefined]
    )
    assert.deepStrictEqual(await keysOf(store), [])
  })

  it.each<readonly [string, ObjectStore, RegExp]>([
    [
      "says of all creates that they have succeeded",
      new FaultyStore(new MemoryStore(), unconditional()),
      /of 8 creates of one new key at once 8 have succeeded.*If-None-Match.*docs\/bucket\.md/
    ],
    [
      "says of two that they have",
      new FaultyStore(new MemoryStore(), unconditional({ nth: 5, times: 1 })),
      /of 8 creates of one new key at once 2 have/
    ],
    ["says of none that it has", new OddStore({ create: async () => "exists" }), /at once 0 have succeeded/],
    [
      "keeps other bytes",
      new OddStore({ get: async (key) => (key.includes("probe") ? undefined : Buffer.alloc(0)) }),
      /not what is read after it/
    ],
    [
      "has what nobody made",
      new OddStore({ get: async () => Buffer.from("x") }),
      /nobody has made can be read/
    ],
    ["does not list what it has", new OddStore({ list: nothing }), /is not listed/]
  ])("refuses a store that %s", async (_, store, said) => {
    const { fault } = await probed(undefined, {}, store)
    assert.strictEqual(fault?.kind, "unsafe")
    assert.isFalse(fault?.passing)
    assert.match(fault?.message ?? "", said)
  })

  it.each<readonly [BucketOperation, RegExp]>([
    ["create", /^cannot create /],
    ["read", /^cannot read .*one who may not list the bucket/],
    ["list", /^cannot list /],
    ["remove", /^cannot remove /]
  ])("says what the key may not do: %s", async (operation, said) => {
    const { fault } = await probed({ _tag: "Refuse", kind: "denied" }, { operation })
    assert.include(fault, { kind: "denied", operation, passing: false })
    assert.match(fault?.message ?? "", said)
  })

  it.each<readonly [string, Fate, Meeting]>([
    ["two at once are asked to try again", { _tag: "Conflict" }, { operation: "create", times: 7 }],
    ["the winner is not answered", { _tag: "Unanswered" }, { operation: "create", times: 1 }],
    ["nobody is answered at first", { _tag: "Unanswered" }, { operation: "create", times: 8 }],
    [
      "it asks to be asked less",
      { _tag: "Refuse", kind: "throttled" },
      { operation: "create", nth: 3, times: 5 }
    ]
  ])("passes over what passes: %s", async (_, fate, meeting) => {
    const { fault, left } = await probed(fate, meeting)
    assert.isUndefined(fault)
    assert.deepStrictEqual(left, [])
  })

  it.each<BucketFaultKind>(["failing", "unreachable", "timedOut"])(
    "gives up when it does not pass (%s), and says that it may",
    async (kind) => {
      const { counter, fault } = await probed({ _tag: "Refuse", kind }, { operation: "create" })
      assert.include(fault, { kind, passing: true })
      // Both of its rounds, which go on at once.
      assert.strictEqual(counter.create.requests, 2 * 8 * 5)
    }
  )

  it("removes what a probe that was killed has left, once that is old", async () => {
    let nowMillis = 10_000_000
    const store = new MemoryStore(undefined, () => nowMillis)
    await store.create("probe/old", [Buffer.from("x")])
    await store.create("wal/0", [Buffer.from("x")])
    nowMillis += 3_000_000
    await store.create("probe/of-another", [Buffer.from("x")])
    assert.deepStrictEqual((await probed(undefined, {}, store)).left, [
      "probe/of-another",
      "probe/old",
      "wal/0"
    ])
    nowMillis += 700_000
    assert.deepStrictEqual((await probed(undefined, {}, store)).left, ["probe/of-another", "wal/0"])
  })
})

function unconditional(meeting: Meeting = {}): BucketFaults {
  const faults = new BucketFaults()
  faults.add({ _tag: "Unconditional" }, { operation: "create", ...meeting })
  return faults
}
