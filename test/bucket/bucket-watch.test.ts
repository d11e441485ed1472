import { assert, describe, it } from "vitest"
import { BucketFault, type BucketFaultKind } from "../../src/bucket/BucketFault.ts"
import { BucketWatch } from "../../src/bucket/BucketWatch.ts"
import { WatchedStore } from "../../src/bucket/WatchedStore.ts"
import { FaultyStore } from "../../testing/bucket/FaultyStore.ts"
import { MemoryStore } from "../../testing/bucket/MemoryStore.ts"

const fault = (kind: BucketFaultKind): BucketFault =>
  new BucketFault({ operation: "create", object: "memory://bucket/a", kind, said: "made up" })

const watchAt = () => {
  const clock = { millis: 1000 }
  const timers = { nowMillis: () => clock.millis, epochMillis: () => 1e12 + clock.millis }
  return { clock, watch: new BucketWatch("memory://bucket", timers) }
}

describe("the watch over a bucket", () => {
  it("takes one that fails for away after two seconds, and at once for what does not pass", () => {
    for (const [kind, isAwayAtOnce] of [
      ["unreachable", false],
      ["throttled", false],
      ["denied", true],
      ["noBucket", true]
    ] as const) {
      const { clock, watch } = watchAt()
      watch.failed("put", watch.began("put"), fault(kind))
      assert.isTrue(watch.isInDoubt("write"))
      assert.strictEqual(watch.away("write") !== undefined, isAwayAtOnce, kind)
      clock.millis += 2000
      watch.failed("put", watch.began("put"), fault(kind))
      assert.deepInclude(watch.away("write"), { sinceMillis: 1000, sinceEpochMillis: 1e12 + 1000 })
      assert.isUndefined(watch.trouble("read"))
      watch.succeeded(watch.began("put"))
      assert.isUndefined(watch.trouble("write"))
      assert.isFalse(watch.isInDoubt("write"))
    }
  })

  it("takes one that does not answer for away after five seconds, and longer by what it was sent", () => {
    const { clock, watch } = watchAt()
    const request = watch.began("put", 3_000_000)
    clock.millis += 3900
    assert.isFalse(watch.isInDoubt("write"))
    clock.millis += 200
    assert.isTrue(watch.isInDoubt("write"))
    clock.millis += 3800
    assert.isUndefined(watch.away("write"))
    clock.millis += 200
    const trouble = watch.away("write")
    assert.strictEqual(trouble?.fault.kind, "timedOut")
    assert.match(trouble?.fault.message ?? "", /nothing was heard for 5 s/)
    watch.succeeded(request)
    assert.isUndefined(watch.away("write"))
  })

  it("lets somebody try who asks when nothing was tried for long", () => {
    const { clock, watch } = watchAt()
    watch.failed("put", watch.began("put"), fault("failing"))
    clock.millis += 9000
    assert.isDefined(watch.away("write"))
    clock.millis += 2000
    assert.isUndefined(watch.away("write"))
    assert.isDefined(watch.trouble("write"), "it is failing, for all that is known")
    const next = watch.began("put")
    assert.isDefined(watch.away("write"), "somebody is trying")
    watch.failed("put", next, fault("failing"))
    assert.isDefined(watch.away("write"))
  })

  it("counts what is asked, what fails, and bytes both ways", async () => {
    const { watch } = watchAt()
    const faulty = new FaultyStore(new MemoryStore())
    const store = new WatchedStore(faulty, watch)
    assert.strictEqual(await store.create("a", [Buffer.from("123"), Buffer.from("4")]), "created")
    assert.strictEqual(await store.create("a", [Buffer.from("12")]), "exists")
    assert.strictEqual((await store.get("a"))?.toString(), "1234")
    assert.isUndefined(await store.get("b"))
    for (let i = 0; i < 1500; i++) await store.create(`list/${String(i).padStart(5, "0")}`, [])
    let listed = 0
    for await (const { key } of store.list("list/")) listed += Number(key.startsWith("list/"))
    assert.strictEqual(listed, 1500)
    faulty.faults.add({ _tag: "Refuse", kind: "denied" }, { operation: "read" })
    const failed = await store.get("a").then(
      () => undefined,
      (error: unknown) => error
    )
    assert.instanceOf(failed, BucketFault)
    await store.remove(["a", "b", "c"])
    assert.deepStrictEqual(watch.requests("put"), { asked: 1502, failed: 0 })
    assert.deepStrictEqual(watch.requests("get"), { asked: 3, failed: 1 })
    assert.deepStrictEqual(watch.requests("list"), { asked: 2, failed: 0 })
    assert.deepStrictEqual(watch.requests("delete"), { asked: 3, failed: 0 })
    assert.deepInclude(watch, { created: 1501, sentBytes: 6, receivedBytes: 4 })
  })
})
