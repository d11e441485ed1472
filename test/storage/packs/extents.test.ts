import { assert, describe, it } from "@effect/vitest"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"
import type { Extent, Notice } from "../../../src/storage/records/Records.ts"
import { rowOf, shapeOf } from "../../../src/storage/checkpoint/CheckpointRow.ts"
import { extentBytes, growthBy, packEpoch, packName, whereIs } from "../../../src/storage/packs/Extents.ts"
import { ShapeStore } from "../../../src/storage/state/ShapeStore.ts"
import { Waiters } from "../../../src/storage/state/Waiters.ts"
import { definitionOf } from "../support.ts"

const extent = (bytes: number, pack = "00000001-00000000", at = 0): Extent => ({ pack, at, bytes, crc: 7 })

const storeWith = (...notices: ReadonlyArray<Notice>): ShapeStore => {
  const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1 << 20 })
  store.create(1, "1-1001", definitionOf("a"), 1)
  for (const notice of notices) store.apply(notice)
  return store
}

const log = (entries: number, extents: ReadonlyArray<Extent>) => ({
  index: 0,
  bytes: extentBytes(extents),
  crc: 3,
  entries,
  entryBytes: 1,
  endTx: "5",
  endOp: 0,
  closed: false,
  extents
})

describe("extents", () => {
  it("are few, however a file grows, and no byte is stored often", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    for (let file = 0; file < 60; file++) {
      let extents: ReadonlyArray<Extent> = []
      const most = 1 << random.int(0, 16)
      const isFalling = random.chance(0.3)
      let stored = 0
      for (let piece = 0; piece < 100; piece++) {
        const bytes = isFalling ? Math.max(1, most - piece) : random.int(1, most)
        const { absorbed, kept } = growthBy(extents, bytes)
        assert.strictEqual(extentBytes([...kept, ...absorbed]), extentBytes(extents), `with seed ${seed}`)
        const added = extentBytes(absorbed) + bytes
        extents = [...kept, extent(added)]
        stored += added
        const total = extentBytes(extents)
        assert.isAtMost(extents.length, Math.log2(total) + 1, `with seed ${seed}`)
        assert.isAtMost(stored, total * (Math.log(total) / Math.log(1.5) + 1), `with seed ${seed}`)
      }
    }
  })

  it("say where a file stands", () => {
    const [first, second] = [extent(10, packName(1, 2), 100), extent(5, packName(2, 0), 0)]
    const chunks = [
      { _tag: "File", bytes: 40, crc: 1 },
      { _tag: "File", bytes: 10, crc: 2, extents: [first] },
      { _tag: "Journal", segment: 1, position: 0, bytes: 3 }
    ] as const
    const shape = {
      handle: "1-1001",
      files: [log(1, [first, second]), { ...log(1, [first]), index: 1, bytes: 11 }],
      chunkAt: (index: number) => chunks[index]
    }
    const stretch = { key: "packs/00000001-00000002", from: 100, to: 110 }
    const rows = [
      ["l0", [stretch, { key: "packs/00000002-00000000", from: 0, to: 5 }]],
      ["s0", [{ key: "shapes/1-1001/s0", from: 0, to: 40 }]],
      ["s1", [stretch]],
      // Its extents are not all of it; still in the journal; not there; no file of a shape.
      ...["l1", "s2", "s3", "l7", "l0.idx", "", "s", "x1"].map((name) => [name, undefined] as const)
    ] as const
    for (const [name, stretches] of rows)
      assert.deepStrictEqual(whereIs(shape, name)?.stretches, stretches, name)
    assert.deepStrictEqual([whereIs(shape, "l0")?.bytes, whereIs(shape, "l0")?.crc], [15, 3])
    assert.strictEqual(packEpoch(packName(77, 5)), 77)
    assert.isUndefined(packEpoch("wal"))
  })

  it("come with a move, and another one may put a file elsewhere", () => {
    const moved = (pack: string, entries: number): Notice => ({
      t: "moved",
      segment: 1,
      shapes: [
        {
          id: 1,
          files: [log(entries, [extent(10, pack)])],
          chunks: [{ index: 0, bytes: 10, crc: 9, extents: [extent(10, pack, 10)] }]
        }
      ]
    })
    const store = storeWith(moved("a", 2), moved("b", 2), moved("stale", 1))
    const shape = store.get(1)
    assert.deepStrictEqual(shape?.files[0]?.extents, [extent(10, "b")])
    assert.deepStrictEqual(shape?.snapshotChunks[0], {
      _tag: "File",
      bytes: 10,
      crc: 9,
      extents: [extent(10, "stale", 10)]
    })
    // An object of its own is not replaced.
    const chunk = { t: "chunk", id: 1, index: 0, bytes: 10, crc: 9 } as const
    assert.deepStrictEqual(storeWith(chunk, moved("a", 1)).get(1)?.snapshotChunks[0], {
      _tag: "File",
      bytes: 10,
      crc: 9
    })
  })

  it("pass through a checkpoint, which is as before without them", () => {
    const extents = [extent(10, "a"), extent(3, "b", 4)]
    const store = storeWith(
      { t: "chunk", id: 1, index: 0, bytes: 40, crc: 1 },
      {
        t: "moved",
        segment: 1,
        shapes: [{ id: 1, files: [log(2, extents)], chunks: [{ index: 1, bytes: 13, crc: 9, extents }] }]
      }
    )
    const shape = store.get(1)
    if (shape === undefined) return assert.fail("it is there")
    const row = { ...rowOf(shape, shape.definition, 1), crc: 0 }
    const again = shapeOf(row, shape.definition)
    assert.deepStrictEqual(again.files, shape.files)
    assert.deepStrictEqual(again.snapshotChunks, shape.snapshotChunks)
    const { extents: _, ...plain } = log(2, extents)
    const before = storeWith(
      { t: "chunk", id: 1, index: 0, bytes: 40, crc: 1 },
      { t: "moved", segment: 1, shapes: [{ id: 1, files: [plain], chunks: [] }] }
    ).get(1)
    if (before === undefined) return assert.fail("it is there")
    const written = rowOf(before, before.definition, 1)
    assert.strictEqual(written.chunks, "[[40,1]]")
    assert.strictEqual(written.files, JSON.stringify([plain]))
  })
})
