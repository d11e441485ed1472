import { assert, describe, it } from "@effect/vitest"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"
import { walKey, walNumber } from "../../../src/storage/chain/ChainObject.ts"
import { chunkKey, packEpoch, packKey, packName } from "../../../src/storage/packs/Extents.ts"
import {
  graceMillis,
  isGarbage,
  type Knowledge,
  orphanMillis,
  sparsePacks
} from "../../../src/storage/packs/Garbage.ts"

const checkpoint = (n: number): string => `checkpoints/${String(n).padStart(20, "0")}`
const hour = graceMillis
const day = orphanMillis

const known: Knowledge = {
  epoch: 5,
  chainFrom: 100,
  fences: new Set([40]),
  isLive: (handle) => handle === "live",
  isSuperseded: (_, file) => file === "s3",
  droppedMillis: (handle) => (handle === "justDropped" ? hour - 1 : handle === "dropped" ? hour : undefined),
  neededBytes: (pack) => (pack === packName(5, 1) ? 1 : 0),
  unusedMillis: (pack) => (pack === packName(5, 2) ? hour - 1 : hour),
  storeMillis: 10 * day
}
const isGarbageAt = (key: string, ageMillis: number, about: Partial<Knowledge> = {}): boolean =>
  isGarbage({ key, modifiedMillis: 10 * day - ageMillis }, { ...known, ...about })

const packOf = (name: string, bytes: number, neededBytes: number) => ({ pack: name, bytes, neededBytes })

describe("what is collected in a bucket", () => {
  it("is what this table says", () => {
    const rows: ReadonlyArray<readonly [key: string, ageMillis: number, garbage: boolean]> = [
      [walKey(99), hour, true],
      [walKey(99), hour - 1, false],
      [walKey(100), day, false],
      [walKey(40), 9 * day, false],
      [checkpoint(99), hour, true],
      [checkpoint(100), day, false],
      [checkpoint(101), day, false],
      [`${checkpoint(1)}.part`, day, false],
      [packKey(packName(5, 0)), hour, true],
      [packKey(packName(5, 0)), hour - 1, false],
      [packKey(packName(5, 1)), day, false],
      [packKey(packName(5, 2)), day, false],
      [packKey(packName(6, 0)), day, false],
      ["packs/other", day, false],
      [chunkKey("live", 0), 9 * day, false],
      [chunkKey("live", 3), hour, true],
      [chunkKey("live", 3), hour - 1, false],
      [chunkKey("dropped", 0), hour, true],
      [chunkKey("justDropped", 0), 9 * day, false],
      [chunkKey("unknown", 0), day, true],
      [chunkKey("unknown", 0), day - 1, false],
      ["shapes/unknown", day, false],
      ["probe/x", day, true],
      ["probe/x", day - 1, false],
      ["instances/x", day, true],
      ["instances/x", day - 1, false],
      ["", 9 * day, false],
      ["lock", 9 * day, false]
    ]
    for (const [key, ageMillis, garbage] of rows)
      assert.strictEqual(isGarbageAt(key, ageMillis), garbage, `${key} after ${ageMillis}`)
    for (const key of [walKey(0), checkpoint(0)]) {
      assert.isFalse(isGarbageAt(key, 9 * day, { chainFrom: undefined }))
      assert.isFalse(isGarbageAt(key, 9 * day, { storeMillis: -Infinity }))
    }
  })

  it("is never a fence, nor what is needed, nor of a later writer, nor young", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    let garbage = 0
    for (let run = 0; run < 20_000; run++) {
      const chance = random.next()
      const about: Knowledge = {
        epoch: random.int(1, 4),
        chainFrom: random.chance(0.2) ? undefined : random.int(0, 20),
        fences: new Set(Array.from({ length: 3 }, () => random.int(0, 20))),
        isLive: (handle) => Number(handle) % 2 === 0,
        isSuperseded: () => false,
        droppedMillis: () => (chance < 0.5 ? undefined : random.int(0, 2 * hour)),
        neededBytes: (pack) => (pack.endsWith("0") ? 1 : 0),
        unusedMillis: () => (chance < 0.5 ? 0 : 2 * hour),
        storeMillis: random.int(0, 3 * day)
      }
      const n = random.int(0, 20)
      const key = random.pick([
        walKey(n),
        checkpoint(n),
        packKey(packName(random.int(1, 6), n)),
        chunkKey(String(n), 0),
        "probe/a"
      ])
      const modifiedMillis = random.int(0, 3 * day)
      if (!isGarbage({ key, modifiedMillis }, about)) continue
      garbage++
      const why = `with seed ${seed}: ${key}`
      assert.isAtLeast(about.storeMillis - modifiedMillis, hour, why)
      assert.isFalse(about.fences.has(walNumber(key) ?? -1), why)
      if (/^(wal|checkpoints)/.test(key)) assert.isBelow(n, about.chainFrom ?? -1, why)
      if (key.startsWith("packs/")) {
        const name = key.slice("packs/".length)
        assert.isAtMost(packEpoch(name) ?? Infinity, about.epoch, why)
        assert.strictEqual(about.neededBytes(name), 0, why)
      }
      if (key.startsWith("shapes/")) assert.isFalse(about.isLive(String(n)), why)
    }
    assert.isAbove(garbage, 500)
  })

  it("is made of packs with little in use, a bounded part of them at a time", () => {
    const mega = 1 << 20
    assert.deepStrictEqual(
      [
        ...sparsePacks([
          packOf("full", 8 * mega, 8 * mega),
          packOf("unused", 8 * mega, 0),
          packOf("quarter", 8 * mega, 2 * mega),
          packOf("large", 100 * mega, 15 * mega),
          packOf("less", 8 * mega, 2 * mega - 1),
          packOf("least", 8 * mega, 1)
        ])
      ],
      ["least", "less"]
    )
  })
})
