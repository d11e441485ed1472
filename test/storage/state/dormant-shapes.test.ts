import { assert, describe, it } from "@effect/vitest"
import type { ShapeState } from "../../../src/storage/state/ShapeState.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"
import { below, facts, freshStore, nothing, someDefinition, someEvent } from "./histories.ts"

describe("dormant shapes", () => {
  it("are what they would be if they were awake, whatever happens to them, and whenever they fall asleep", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    let slept = 0
    for (let history = 0; history < 15; history++) {
      const model = freshStore()
      const store = freshStore()
      const clock = { lsn: 1000n, segment: 1 }
      const known = new Map<number, ShapeState>()
      for (let step = 0; step < 150; step++) {
        if (below(random, 3) === 0) {
          const one = [...store.all()][below(random, Math.max(1, store.count))]
          if (one !== undefined && (below(random, 3) === 0 ? one.wake() : one.sleep(store.dormant))) slept++
          if (below(random, 10) === 0) store.sleep()
        }
        const event = someEvent(random, model, clock)
        if (event === nothing) continue
        event(model)
        event(store)
        if (step % 6 !== 0) continue
        assert.strictEqual(store.count, model.count, `seed ${seed}`)
        for (const expected of model.all()) {
          const shape = store.get(expected.id)
          if (shape === undefined) throw new Error(`Shape ${expected.id} is gone, seed ${seed}.`)
          // Whoever holds the object has the shape for as long as it lives.
          assert.strictEqual(known.get(shape.id) ?? shape, shape)
          known.set(shape.id, shape)
          assert.deepStrictEqual(
            facts(shape),
            facts(expected),
            `seed ${seed}, history ${history}, step ${step}`
          )
          assert.strictEqual(store.byHandle(expected.handle), shape)
          const sameIdentity = model.byIdentity(expected.identity)
          assert.strictEqual(store.byIdentity(expected.identity)?.id, sameIdentity?.id)
        }
        assert.deepStrictEqual([...store.entriesBySegment], [...model.entriesBySegment])
      }
      for (const shape of store.all()) shape.wake()
      assert.strictEqual(store.dormant.count, 0)
      assert.strictEqual(store.dormant.bytes, 0)
    }
    assert.isAbove(slept, 40)
  })

  it("stay awake while somebody waits, or their first rows are read", () => {
    const store = freshStore()
    const definition = someDefinition(makeRandom(1))
    const shape = store.create(1, "1-1", definition, 0)
    assert.isFalse(shape.sleep(store.dormant))
    store.apply({ t: "visible", id: 1, visibility: { xmin: "1", xmax: "1", xipList: [] } })
    store.apply({ t: "complete", id: 1, chunks: 0 })
    const waiter = { resume: () => {}, set: undefined, slot: 0 }
    shape.waiters = new Set([waiter])
    assert.isFalse(shape.sleep(store.dormant))
    shape.waiters.clear()
    assert.isTrue(shape.sleep(store.dormant))
    assert.isTrue(shape.isDormant)
    // That others read it does not wake it; what changes it does.
    shape.lastUsedMillis = 12
    assert.isTrue(shape.isDormant)
    shape.end = { tx: 5n, op: 2 }
    assert.isFalse(shape.isDormant)
    assert.strictEqual(shape.lastUsedMillis, 12)
  })

  it("stay awake whose logs have so many files that each move would write a long record", () => {
    const store = freshStore()
    const shape = store.create(1, "1-1", someDefinition(makeRandom(1)), 0)
    store.apply({ t: "visible", id: 1, visibility: { xmin: "1", xmax: "1", xipList: [] } })
    store.apply({ t: "complete", id: 1, chunks: 0 })
    const grow = (index: number) =>
      shape.setFile({
        index,
        bytes: 9,
        crc: 0,
        entries: 1,
        entryBytes: 9,
        endTx: `${index + 1}`,
        endOp: 0,
        closed: true
      })
    for (let index = 0; index < 256; index++) grow(index)
    assert.isTrue(shape.sleep(store.dormant))
    shape.wake()
    grow(256)
    assert.isFalse(shape.sleep(store.dormant))
    assert.strictEqual(store.dormant.count, 0)
    assert.strictEqual(shape.files.length, 257)
  })

  it("stay dormant when changes come, before their log was moved to files and after", () => {
    const store = freshStore()
    const definition = someDefinition(makeRandom(2))
    const shape = store.create(1, "1-1", definition, 0)
    store.apply({ t: "visible", id: 1, visibility: { xmin: "90", xmax: "90", xipList: [] } })
    store.apply({ t: "complete", id: 1, chunks: 0 })
    assert.isTrue(shape.sleep(store.dormant))
    const change = (lsn: bigint, xid: number, ...ops: ReadonlyArray<number>) => {
      for (const op of ops) store.item(op, 8 + 100 * op, 100, Uint32Array.of(1), 0, 1)
      store.commit(lsn, lsn + 8n, xid, 1)
    }
    const entries = () => shape.tail?.count ?? 0
    // What its first rows have is not for its log.
    change(400n, 80, 0)
    assert.strictEqual(entries(), 0)
    change(500n, 100, 0, 2)
    change(600n, 101, 0)
    assert.isTrue(shape.isDormant)
    assert.deepStrictEqual(shape.end, { tx: 600n, op: 0 })
    assert.strictEqual(entries(), 3)
    assert.deepStrictEqual(
      [0, 1, 2].map((i) => [shape.tail?.isLast(i), shape.tail?.isChunkEnd(i)]),
      // A chunk is over after three hundred bytes.
      [
        [false, false],
        [true, false],
        [true, true]
      ]
    )
    const file = {
      index: 0,
      bytes: 320,
      crc: 1,
      entries: 3,
      entryBytes: 150,
      endTx: "600",
      endOp: 0,
      closed: false
    }
    store.apply({ t: "moved", segment: 1, shapes: [{ id: 1, chunks: [], files: [file] }] })
    assert.isTrue(shape.isDormant)
    assert.strictEqual(entries(), 0)
    // The journal is applied once more from an earlier point: its files have that.
    change(600n, 101, 0)
    assert.strictEqual(entries(), 0)
    change(700n, 102, 0)
    assert.isTrue(shape.isDormant)
    assert.strictEqual(entries(), 1)
    assert.deepStrictEqual(shape.end, { tx: 700n, op: 0 })
    shape.wake()
    assert.strictEqual(shape.openChunkBytes, 250)
  })

  it("give back what they have taken", () => {
    const store = freshStore()
    for (let id = 1; id <= 4_000; id++) {
      store.create(id, `5-${id}`, someDefinition(makeRandom(id % 50)), 0)
      store.apply({ t: "complete", id, chunks: 0 })
    }
    store.sleep()
    const { bytes } = store.dormant
    assert.isBelow(bytes / 4_000, 600)
    for (let round = 0; round < 5; round++) {
      for (const shape of store.all()) if (shape.id % 5 === round) shape.wake()
      store.sleep()
    }
    assert.strictEqual(store.dormant.bytes, bytes)
    store.apply({ t: "purged", reason: "test" })
    assert.strictEqual(store.count, 0)
    assert.strictEqual(store.dormant.bytes, 0)
    assert.isUndefined(store.byHandle("5-7"))
  })
})
