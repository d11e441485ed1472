import { assert, describe, it } from "@effect/vitest"
import { statSync, truncateSync } from "node:fs"
import { RecentBytes } from "../../src/storage/journal/RecentBytes.ts"
import { segmentFile } from "../../src/storage/disk/StorageDir.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import type { Waiter } from "../../src/storage/state/Waiters.ts"
import type { Disk } from "../../src/storage/disk/Disk.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import {
  createShape,
  engineAt,
  hasty,
  messageOf,
  temporaryDirectory,
  withoutRounds,
  writeTransaction
} from "./support.ts"

/** A follower whose own rounds never come: it looks when it is told to. */
const followerWithoutRounds = (directory: string, disk?: Disk): StorageEngine =>
  engineAt(directory, { timers: withoutRounds, ...(disk && { disk }) })

describe("a follower", () => {
  it("has read everything that was written before it was asked to catch up", async () => {
    const directory = temporaryDirectory()
    const active = engineAt(directory)
    const follower = followerWithoutRounds(directory)
    await active.takeOver()
    await follower.load()
    follower.follow()
    for (let round = 0; round < 50; round++) {
      createShape(active, `t${round}`)
      await active.writer?.durable()
      // Several at once: each must see at least what was there when it asked.
      await Promise.all([follower.catchUp(), follower.catchUp()])
      assert.strictEqual(follower.store.count, round + 1)
    }
    assert.deepStrictEqual(follower.at, active.at)
  })

  it("looks again for who asks during a look, and for the first who comes to wait; a close leaves nobody waiting", async () => {
    const directory = temporaryDirectory()
    const active = engineAt(directory)
    const follower = followerWithoutRounds(directory)
    const waiter: Waiter = { resume: () => {}, set: undefined, slot: 0 }
    await active.takeOver()
    await follower.load()
    createShape(active, "a")
    await active.writer?.durable()
    follower.follow()
    await follower.catchUp()
    assert.strictEqual(follower.store.count, 1)
    // It pauses now, and its rounds never come.
    await new Promise((resolve) => setImmediate(resolve))
    createShape(active, "b")
    await active.writer?.durable()
    follower.waiters.add(waiter, new Set(), 60_000)
    await eventually("a look for who waits", () => follower.store.count === 2)
    const another = followerWithoutRounds(directory)
    await another.load()
    another.follow()
    const caughtUp = another.catchUp()
    await another.close()
    await caughtUp
    follower.waiters.forget(waiter)
  })

  it("looks once more for who asks while it looks and finds nothing", async () => {
    const disk = new FaultyDisk()
    const active = engineAt(FaultyDisk.directory, { disk: disk.mount() })
    const follower = followerWithoutRounds(FaultyDisk.directory, disk.mount())
    await active.takeOver()
    await active.writer?.durable()
    await follower.load()
    follower.follow()
    await follower.catchUp()
    await new Promise((resolve) => setImmediate(resolve))
    const stall = disk.stall({ times: 1 })
    follower.lookNow()
    await eventually("a look", () => stall.hits() === 1)
    let hasCaughtUp = false
    void follower.catchUp().then(() => (hasCaughtUp = true))
    stall.end()
    await eventually("a second look", () => hasCaughtUp)
  })

  it("does not say that it has caught up while a segment in the middle has lost its end, taking over or not", async () => {
    for (const takesOver of [false, true]) {
      const directory = temporaryDirectory()
      const first = engineAt(directory)
      const second = engineAt(directory)
      const follower = engineAt(directory, { timers: hasty })
      await first.takeOver()
      createShape(first, "a")
      await first.writer?.durable()
      await second.load()
      await second.takeOver()
      const later = createShape(second, "b")
      await second.writer?.durable()
      const segment = segmentFile(first.paths, 1, 1)
      truncateSync(segment, statSync(segment).size - 10)
      await follower.load()
      follower.follow()
      const taken = takesOver ? follower.takeOver() : undefined
      await follower.catchUp()
      assert.isDefined(follower.store.byHandle(later.handle), `taking over: ${takesOver}`)
      await taken
    }
  })

  it("has what a reader is woken for in memory, not only in a file", async () => {
    const directory = temporaryDirectory()
    const active = engineAt(directory)
    const follower = followerWithoutRounds(directory)
    await active.takeOver()
    const shape = createShape(active, "a")
    await active.writer?.durable()
    await follower.load()
    follower.follow()
    const followed = follower.store.byHandle(shape.handle) ?? assert.fail("the shape is not there")
    const found: Array<string | undefined> = []
    const waiter: Waiter = {
      resume: () => {
        const { tail } = followed
        const last = (tail?.count ?? 0) - 1
        const bytes = tail && follower.memory(tail.segment(last), tail.position(last), tail.length(last))
        found.push(bytes?.toString())
      },
      set: undefined,
      slot: 0
    }
    const expected: Array<string> = []
    for (let lsn = 1000n; lsn < 1005n; lsn++) {
      follower.waiters.add(waiter, (followed.waiters ??= new Set()), 60_000)
      const item = { op: 0, ids: [shape.id] }
      writeTransaction(active, lsn, [item])
      expected.push(messageOf(lsn, item))
      await active.writer?.durable()
      await follower.catchUp()
    }
    assert.deepStrictEqual(found, expected)
  })

  it("does not leave anybody waiting when it stops following", async () => {
    const directory = temporaryDirectory()
    const follower = followerWithoutRounds(directory)
    await follower.load()
    follower.follow()
    const asked = follower.catchUp()
    await follower.close()
    await asked
    await follower.catchUp()
  })
})

describe("the latest bytes of the journal", () => {
  it("are one piece where they were read into memory one after the other", () => {
    const memory = Buffer.from("abcdefghij")
    const recent = new RecentBytes(100)
    recent.add(1, 50, memory.subarray(0, 4))
    recent.add(1, 54, memory.subarray(4, 7))
    assert.strictEqual(recent.slice(1, 51, 5)?.toString(), "bcdef")
    // Elsewhere in memory, in the journal or in another segment: pieces of their own.
    recent.add(1, 57, Buffer.from("xyz"))
    assert.isUndefined(recent.slice(1, 55, 4))
    recent.add(2, 60, memory.subarray(7))
    assert.strictEqual(recent.slice(1, 57, 3)?.toString(), "xyz")
    assert.strictEqual(recent.slice(2, 60, 3)?.toString(), "hij")
  })

  it("never take more than they may, however small the steps", () => {
    const memory = Buffer.alloc(1000, "m")
    const recent = new RecentBytes(300)
    for (let at = 0; at < 1000; at += 100) recent.add(1, at, Buffer.from(memory.subarray(at, at + 100)))
    assert.isUndefined(recent.slice(1, 600, 10))
    assert.isDefined(recent.slice(1, 700, 10))
  })

  it("stay until they can be found in the file, however many come after them", () => {
    const recent = new RecentBytes(100)
    for (let at = 0; at < 1000; at += 100) recent.add(1, at, Buffer.alloc(100), at + 100, 500)
    for (let at = 500; at < 1000; at += 100) assert.isDefined(recent.slice(1, at, 100))
    assert.isUndefined(recent.slice(1, 400, 100))
    assert.strictEqual(recent.add(1, 1000, Buffer.alloc(100), 1100, 1000).length, 5)
    recent.add(2, 0, Buffer.alloc(100))
    assert.isUndefined(recent.slice(1, 1000, 100), "whoever follows finds everything in files")
  })

  it("are forgotten when they have been there for two looks", () => {
    const recent = new RecentBytes(100)
    recent.add(1, 0, Buffer.from("old"))
    assert.deepStrictEqual(recent.age(), [])
    recent.add(1, 3, Buffer.from("new"))
    assert.deepStrictEqual(recent.age().map(String), ["old"])
    assert.isUndefined(recent.slice(1, 0, 3))
    assert.strictEqual(recent.slice(1, 3, 3)?.toString(), "new")
    recent.add(1, 6, Buffer.alloc(98))
    assert.isUndefined(recent.slice(1, 3, 3), "what is forgotten does not count twice")
    assert.isDefined(recent.slice(1, 6, 98))
  })
})
