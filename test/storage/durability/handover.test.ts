import { mkdirSync, rmdirSync } from "node:fs"
import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import { BucketFault } from "../../../src/bucket/BucketFault.ts"
import type { ByteRange, ObjectInfo, ObjectStore } from "../../../src/bucket/ObjectStore.ts"
import { DiskFault } from "../../../src/storage/disk/DiskFault.ts"
import { epochFile, segmentFile } from "../../../src/storage/disk/StorageDir.ts"
import { readWhole } from "../../../src/storage/disk/Files.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { HandTimers } from "../../../testing/HandTimers.ts"
import { createShape, writeTransaction } from "../support.ts"
import { instanceOn, logOf } from "../mirror/instance.ts"
import { numbered, write } from "../mirror/support.ts"

type Instance = Awaited<ReturnType<typeof instanceOn>>

/** A bucket as one machine sees it. */
class OwnWay implements ObjectStore {
  readonly name = "memory://bucket"
  isAway = false
  /** So many objects more are created, and nobody is told. */
  answersToLose = 0
  lostAnswers = 0
  /** Before the next object of the chain is created. */
  beforeCreate: (() => Promise<unknown>) | undefined
  private readonly store: MemoryStore

  constructor(store: MemoryStore) {
    this.store = store
  }

  async create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    const { beforeCreate } = this
    this.beforeCreate = undefined
    await beforeCreate?.()
    this.check(key)
    const outcome = await this.store.create(key, content)
    if (this.lostAnswers >= this.answersToLose) return outcome
    this.lostAnswers++
    throw new BucketFault({ operation: "create", object: key, kind: "timedOut", said: "nothing was heard" })
  }
  async get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    this.check(key)
    return this.store.get(key, range)
  }
  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    this.check(prefix)
    yield* this.store.list(prefix, after)
  }
  async remove(keys: ReadonlyArray<string>): Promise<void> {
    this.check("")
    await this.store.remove(keys)
  }
  close(): Promise<void> {
    return Promise.resolve()
  }

  private check(key: string): void {
    if (this.isAway)
      throw new BucketFault({ operation: "create", object: key, kind: "unreachable", said: "nobody answers" })
  }
}

/** What the tail brings: all that the writer has in its files by now. */
const tail = async (writer: StorageEngine, to: Instance): Promise<void> => {
  await writer.writer?.written()
  for (;;) {
    const { epoch, position, segment } = to.mirror.end
    const file = await readWhole(writer.paths.disk, segmentFile(writer.paths, epoch, segment))
    if (file === undefined) return
    if (file.length > position) await to.mirror.applyBytes(epoch, segment, position, file.subarray(position))
    const next = await readWhole(writer.paths.disk, segmentFile(writer.paths, epoch, segment + 1))
    if (next === undefined) return
    await to.mirror.applyBytes(epoch, segment + 1, 0, next)
  }
}

describe("a handover between directories that only share a bucket", () => {
  it("finishes what the one before has shown and could not put there, and leaves it without a say", async () => {
    const store = new MemoryStore()
    const way = new OwnWay(store)
    const first = await instanceOn(way)
    await first.engine.takeOver()
    const shape = createShape(first.engine, "a")
    await write(first.engine, [shape.id], 1, 5)
    const second = await instanceOn(store)
    way.isAway = true
    for (let t = 6; t <= 40; t++)
      writeTransaction(first.engine, BigInt(t * 100), [{ op: 0, ids: [shape.id] }], t)
    await tail(first.engine, second)
    await second.engine.takeOver()
    assert.deepStrictEqual(await logOf(second.engine, shape), numbered(1, 40))
    way.isAway = false
    assert.isFalse(await first.engine.settled())
    await eventually("that it knows that it is over", () => first.engine.isFenced())
    await write(second.engine, [shape.id], 41, 45)
    const third = await instanceOn(store)
    assert.deepStrictEqual(await logOf(third.engine, shape), numbered(1, 45))
    // The first one goes on as a mirror of the second.
    await first.engine.release(1000)
    await first.engine.catchUp()
    assert.deepStrictEqual(await logOf(first.engine, shape), numbered(1, 45))
  })

  it("is one opening behind as many objects as what was shown takes", async () => {
    const store = new MemoryStore()
    const way = new OwnWay(store)
    const first = await instanceOn(way)
    await first.engine.takeOver()
    const shape = createShape(first.engine, "a")
    await write(first.engine, [shape.id], 1, 1)
    const second = await instanceOn(store)
    const { next } = second.context.chain.place
    way.isAway = true
    for (let t = 2; t <= 20; t++)
      writeTransaction(first.engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 1 << 20 }], t)
    await tail(first.engine, second)
    await second.engine.takeOver()
    const { fences, opening } = second.context.chain.place
    assert.isAtLeast(second.context.chain.place.next, next + 2)
    assert.strictEqual(fences.at(-1), next, "what the first one would create next stays for ever")
    assert.strictEqual(opening?.epoch, second.engine.at.epoch)
    await write(second.engine, [shape.id], 21, 21)
    const third = await instanceOn(store)
    assert.deepStrictEqual(await logOf(third.engine, shape), numbered(1, 21))
  })

  it("is tried again by an instance that somebody else was faster than", async () => {
    const store = new MemoryStore()
    const way = new OwnWay(store)
    const [first, slow, quick] = [await instanceOn(store), await instanceOn(way), await instanceOn(store)]
    await first.engine.takeOver()
    const shape = createShape(first.engine, "a")
    await write(first.engine, [shape.id], 1, 5)
    way.beforeCreate = async () => {
      await quick.engine.takeOver()
      await write(quick.engine, [shape.id], 6, 9)
    }
    const taken = await slow.engine.takeOver()
    assert.isDefined(taken)
    assert.isAbove(slow.engine.at.epoch, quick.engine.at.epoch)
    assert.deepStrictEqual(await logOf(slow.engine, shape), numbered(1, 9))
    assert.isFalse(await quick.engine.settled().then((isSettled) => isSettled && quick.engine.isFenced()))
    await write(slow.engine, [shape.id], 10, 12)
    createShape(quick.engine, "never")
    assert.isFalse(await quick.engine.settled())
    const last = await instanceOn(store)
    assert.deepStrictEqual(await logOf(last.engine, shape), numbered(1, 12))
    assert.strictEqual(last.engine.store.count, 1)
  })

  it("is followed by others although the disk of who has opened the epoch takes no note of it", async () => {
    const store = new MemoryStore()
    const [first, second, third] = [await instanceOn(store), await instanceOn(store), await instanceOn(store)]
    await first.engine.takeOver()
    const shape = createShape(first.engine, "a")
    await write(first.engine, [shape.id], 1, 5)
    await second.mirror.catchUp()
    const inTheWay = `${epochFile(second.engine.paths, 2)}.${process.pid}.tmp`
    mkdirSync(inTheWay)
    await second.engine.takeOver().then(
      () => assert.fail("it has taken over"),
      (error: unknown) => assert.instanceOf(error, DiskFault)
    )
    rmdirSync(inTheWay)
    await third.engine.takeOver()
    assert.strictEqual(third.engine.at.epoch, 3)
    await write(third.engine, [shape.id], 6, 9)
    await second.engine.catchUp()
    assert.deepStrictEqual(await logOf(second.engine, shape), numbered(1, 9))
    await second.engine.takeOver()
    await write(second.engine, [shape.id], 10, 10)
    assert.deepStrictEqual(await logOf(second.engine, shape), numbered(1, 10))
  })

  it("is given up while the bucket is away, and goes well once it is back", async () => {
    const store = new MemoryStore()
    const way = new OwnWay(store)
    const first = await instanceOn(store)
    await first.engine.takeOver()
    const shape = createShape(first.engine, "a")
    await write(first.engine, [shape.id], 1, 5)
    const second = await instanceOn(way)
    way.isAway = true
    await second.engine.takeOver().then(
      () => assert.fail("it has taken over without a bucket"),
      (error: unknown) => assert.instanceOf(error, BucketFault)
    )
    assert.deepStrictEqual(await logOf(second.engine, shape), numbered(1, 5))
    way.isAway = false
    await write(first.engine, [shape.id], 6, 7)
    await second.engine.takeOver()
    assert.deepStrictEqual(await logOf(second.engine, shape), numbered(1, 7))
  })
  it("asks again after half a second at most, however many answers of the bucket were lost", async () => {
    const store = new MemoryStore()
    const way = new OwnWay(store)
    const timers = new HandTimers()
    const second = await instanceOn(way, timers)
    way.answersToLose = 12
    const taken = second.engine.takeOver()
    for (let lost = 1; lost <= way.answersToLose; lost++) {
      await eventually(`the loss of answer ${lost}`, () => way.lostAnswers === lost)
      await setImmediate()
      timers.pass(500)
    }
    assert.isDefined(await taken)
    assert.strictEqual(second.context.chain.place.next, 1, "it knows the object that it has made")
  })
})
