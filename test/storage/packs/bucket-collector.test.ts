import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { onTestFinished } from "vitest"
import { snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { walKey } from "../../../src/storage/chain/ChainObject.ts"
import { packKey } from "../../../src/storage/packs/Extents.ts"
import type { ShapeHandle } from "../../../src/storage/ShapeLogs.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import {
  changes,
  createShape,
  engineAt,
  hasty,
  maintenanceOf,
  readAll,
  temporaryDirectory
} from "../support.ts"
import { shapeWithChunks, TroubledStore, wipeShapes, writeChanges } from "./support.ts"

const hour = 3_600_000

/** A writer with a bucket in which time passes as it does here, and what it keeps house with. */
const place = async () => {
  const clock = { millis: 0 }
  const bucket = new TroubledStore("memory://bucket", () => clock.millis)
  const chain = { place: { next: 0, fences: [2] }, taken: false }
  const engine = engineAt(temporaryDirectory(), {
    segmentBytes: 1000,
    chunkBytesThreshold: 3000,
    timers: { ...hasty, nowMillis: () => clock.millis },
    bucket,
    chain: {
      get place() {
        return chain.place
      },
      isTaken: () => Promise.resolve(chain.taken)
    }
  })
  await engine.load()
  await engine.takeOver()
  const scope = Scope.makeUnsafe()
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const work = maintenanceOf(engine)
  const round = () => Effect.runPromise(Scope.provide(work.round(), scope))
  /** The next object of the chain. */
  const append = async () => {
    await bucket.create(walKey(chain.place.next), [Buffer.from("x")])
    chain.place = { ...chain.place, next: chain.place.next + 1 }
  }
  const later = async (millis: number) => {
    clock.millis += millis
    await append()
    await round()
  }
  return { append, bucket, chain, engine, later, round, work }
}

const drop = (engine: StorageEngine, { id }: ShapeHandle): void =>
  engine.writing?.write({ t: "dropped", ids: [id], reason: "the test wants it" })

const checkpoint = (n: number): string => `checkpoints/${String(n).padStart(20, "0")}`

describe("the collector of a bucket", () => {
  it("removes the chain before two checkpoints but for fences, once it is old, while it is the writer", async () => {
    const { append, bucket, chain, later, work } = await place()
    for (let n = 0; n < 10; n++) await append()
    for (const n of [3, 5, 8]) await bucket.create(checkpoint(n), [Buffer.from("c")])
    work.checkpointKept()
    await later(1)
    assert.lengthOf(await bucket.keys("wal/"), 11, "nothing is old")
    chain.taken = true
    await later(2 * hour)
    assert.lengthOf(await bucket.keys("wal/"), 12, "somebody else writes")
    chain.taken = false
    await later(hour)
    const left = [2, 5, 6, 7, 8, 9, 10, 11, 12].map(walKey)
    assert.deepStrictEqual(await bucket.keys("wal/"), left)
    assert.deepStrictEqual(await bucket.keys("checkpoints/"), [checkpoint(5), checkpoint(8)])
  })

  it("does nothing when nothing happens", async () => {
    const { bucket, chain, later, round } = await place()
    await later(2 * hour)
    let lists = 0
    const list = bucket.list.bind(bucket)
    bucket.list = (prefix, after) => {
      lists++
      return list(prefix, after)
    }
    chain.place = { ...chain.place, next: chain.place.next }
    await round()
    assert.strictEqual(lists, 0)
    await later(2 * hour)
    assert.isAbove(lists, 0)
  })

  it("removes what dropped shapes have left, an hour later, and what nobody knows of, a day later", async () => {
    const { bucket, engine, later } = await place()
    const [live, gone] = [
      await shapeWithChunks(engine, "live", ["abc"]),
      await shapeWithChunks(engine, "gone", ["abc"])
    ]
    await bucket.create("shapes/unknown/s0", [Buffer.from("x")])
    await bucket.create("probe/x", [Buffer.from("x")])
    await later(2 * hour)
    drop(engine, gone)
    await later(hour / 2)
    await later(hour / 3)
    const all = [`shapes/${live.handle}/s0`, `shapes/${gone.handle}/s0`, "shapes/unknown/s0"].toSorted()
    assert.deepStrictEqual(await bucket.keys("shapes/"), all)
    await later(hour)
    const left = [`shapes/${live.handle}/s0`, "shapes/unknown/s0"].toSorted()
    assert.deepStrictEqual(await bucket.keys("shapes/"), left)
    await later(24 * hour)
    assert.deepStrictEqual(await bucket.keys("shapes/"), [`shapes/${live.handle}/s0`])
    assert.deepStrictEqual(await bucket.keys("probe/"), [])
  })

  it("removes packs without use, and puts what is in sparse ones elsewhere", async () => {
    const { bucket, engine, later } = await place()
    const shapes = ["a", "b", "c", "d", "e", "f"].map((name) => createShape(engine, name))
    const [kept, ...others] = shapes
    if (kept === undefined) return assert.fail()
    await writeChanges(engine, shapes, 1, 40)
    await later(1)
    const before = await bucket.keys("packs/")
    assert.isAbove(before.length, 0)
    for (const shape of others) drop(engine, shape)
    await later(2 * hour)
    assert.deepStrictEqual(await bucket.keys("packs/"), before, "of each something is needed")
    // The next move makes others of what is in use.
    await writeChanges(engine, [kept], 41, 80)
    await later(1)
    const inUse = new Set(
      [...(engine.store.get(kept.id)?.files ?? [])].flatMap(({ extents = [] }) =>
        extents.map(({ pack }) => packKey(pack))
      )
    )
    assert.isTrue([...before].some((key) => !inUse.has(key)))
    await later(hour)
    await later(2 * hour)
    const left = await bucket.keys("packs/")
    assert.isFalse([...before].some((key) => left.includes(key) && !inUse.has(key)))
    assert.isTrue([...inUse].every((key) => left.includes(key)))
    wipeShapes(engine)
    const read = changes(await readAll(engine, kept, snapshotEnd))
    assert.lengthOf(read, 80)
  })
})
