import { mkdir } from "node:fs/promises"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { internDefinition } from "../../src/shapes/InternDefinition.ts"
import { packDefinition } from "../../src/shapes/PackedDefinition.ts"
import { loadCheckpoint } from "../../src/storage/checkpoint/CheckpointReader.ts"
import type { CheckpointHead } from "../../src/storage/checkpoint/CheckpointFile.ts"
import { PageBuilder, visitPage } from "../../src/storage/checkpoint/CheckpointPage.ts"
import { openCheckpointWriter } from "../../src/storage/checkpoint/CheckpointWriter.ts"
import { metaFile, storagePaths, type StoragePaths } from "../../src/storage/disk/StorageDir.ts"
import { levelOfPages } from "../../src/storage/levels/Levels.ts"
import { KnownShapes } from "../../src/storage/state/KnownShapes.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"
import type { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { below, facts, freshStore, nothing, someEvent } from "./state/histories.ts"
import { definitionOf, temporaryDirectory } from "./support.ts"

const head = (level: number): CheckpointHead => ({
  level,
  epoch: 1,
  segment: 1,
  nextId: 1,
  lastCommitLsn: "1",
  positionLsn: "1",
  source: null
})

const place = async (): Promise<StoragePaths> => {
  const paths = storagePaths(temporaryDirectory(), "default")
  await mkdir(paths.meta, { recursive: true })
  return paths
}

const openWriter = (paths: StoragePaths) =>
  openCheckpointWriter(paths, 1, { synchronous: "OFF", cacheBytes: 1 << 20 })
const counts = () => Promise.resolve(true)

const loaded = Effect.fnUntraced(function* (paths: StoragePaths) {
  const store = freshStore()
  const said: Array<Effect.Effect<void>> = []
  yield* loadCheckpoint(paths, store, 300, (line) => void said.push(line))
  assert.strictEqual(said.length, 0)
  return store
})

/** When it was last used is no reason to write a shape again. */
const stored = (shape: ShapeState) => ({ ...facts(shape), lastUsedMillis: 0, dirty: false })

const same = (store: ShapeStore, expected: ShapeStore, when: string): void => {
  assert.strictEqual(store.count, expected.count, when)
  for (const wanted of expected.all()) {
    const shape = store.get(wanted.id) ?? assert.fail(`shape ${wanted.id} is lost, ${when}`)
    assert.deepStrictEqual(stored(shape), stored(wanted), `shape ${wanted.id}, ${when}`)
    assert.strictEqual(store.byHandle(wanted.handle), shape, when)
    assert.strictEqual(store.byIdentity(wanted.identity)?.id, expected.byIdentity(wanted.identity)?.id, when)
  }
}

/** Of a page whose checksum is wrong: what its shapes are kept as, and whether it is text. */
const visited = (page: Buffer) => {
  const found: Array<string> = []
  visitPage(page, false, (start, length, isText) => {
    found.push(`${String(isText)} ${page.toString("latin1", start, start + length)}`)
  })
  return found
}

/** A page as it was written once. Where this is not what is written any more, format 1 is still to be read. */
const recorded =
  "62000000c1a38f3b07000000050000002d41000000008056febc784200008056febc78420000000000c0724000000000000000007b00000080effd93c385194328" +
  "77468acfcd97833be147287c567c26c467000e3130302031303320313031203737ac0280d0acf30e00"

const list = (bytes: number) => Array.from({ length: bytes / 5 }, (_, i) => String(10000 + (i % 9)))

describe("pages of a checkpoint", () => {
  it("hold what rows would, whatever has happened to the shapes, and whichever of them are written again", async () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    let compared = 0
    for (let history = 0; history < 4; history++) {
      const store = freshStore()
      const clock = { lsn: 1000n, segment: 1 }
      const paths = await place()
      await Effect.runPromise(
        Effect.scoped(
          Effect.gen(function* () {
            const pages = yield* openWriter(paths)
            const dirty = new Set<number>()
            for (let step = 0; step < 200; step++) {
              const event = someEvent(random, store, clock)
              if (event !== nothing) event(store)
              for (const shape of store.all()) if (shape.dirty) dirty.add(shape.id)
              if (below(random, 5) === 0) store.sleep()
              if (below(random, 12) > 0) continue
              const rowPaths = yield* Effect.promise(place)
              yield* Effect.scoped(
                Effect.flatMap(openWriter(rowPaths), (rows) =>
                  rows.write(store, head(levelOfPages - 1), counts)
                )
              )
              // The other one has marked them as written, and so do histories.
              for (const shape of store.all()) shape.dirty = dirty.has(shape.id)
              dirty.clear()
              yield* pages.write(store, head(levelOfPages), counts)
              const when = `seed ${seed}, history ${history}, step ${step}`
              same(yield* loaded(paths), yield* loaded(rowPaths), when)
              compared++
            }
          })
        )
      )
    }
    assert.isAbove(compared, 20)
  })

  it("are begun where storage has reached their level, and not in the middle of a file", async () => {
    const paths = await place()
    const store = freshStore()
    store.create(1, "1-1", definitionOf("a"), 1)
    const tables = () => {
      const db = new DatabaseSync(metaFile(paths, 1))
      const names = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all()
      db.close()
      return names.map(({ name }) => name)
    }
    const write = (level: number) =>
      Effect.flatMap(openWriter(paths), (writer) => writer.write(store, head(level), counts))
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* openWriter(paths)
          yield* writer.write(store, head(levelOfPages - 1), counts)
          store.create(2, "2-2", definitionOf("b"), 1)
          yield* writer.write(store, head(levelOfPages), counts)
          assert.sameMembers(tables(), ["head", "definitions", "shapes"])
          assert.strictEqual((yield* loaded(paths)).count, 2)
        })
      )
    )
    await Effect.runPromise(Effect.scoped(write(levelOfPages)))
    assert.sameMembers(tables(), ["head", "definitions", "shapes", "pages"])
    assert.strictEqual((await Effect.runPromise(loaded(paths))).count, 2)
  })

  it("do not keep definitions for ever that no shape has", async () => {
    const paths = await place()
    const store = freshStore()
    const numberOfDefinitions = () => {
      const db = new DatabaseSync(metaFile(paths, 1))
      const found = db.prepare("SELECT count(*) AS count FROM definitions").get()
      db.close()
      return Number(found?.["count"])
    }
    let most = 0
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* openWriter(paths)
          for (let round = 0; round < 8; round++) {
            for (let i = 0; i < 400; i++) {
              const id = store.nextId
              store.create(id, `${id}-${id}`, definitionOf(`t${id}`), 1)
              store.apply({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
              store.apply({ t: "complete", id, chunks: 0 })
            }
            yield* writer.write(store, head(levelOfPages), counts)
            most = Math.max(most, numberOfDefinitions())
            for (const { id } of store.all()) store.drop(id, "test")
          }
          store.create(store.nextId, "9-9", definitionOf("last"), 1)
          yield* writer.write(store, head(levelOfPages), counts)
          assert.deepStrictEqual(
            [...(yield* loaded(paths)).all()].map(({ handle }) => handle),
            ["9-9"]
          )
        })
      )
    )
    assert.isBelow(most, 2500)
  })

  it("hold long records, which have a page for themselves while they are long", async () => {
    const paths = await place()
    const store = freshStore()
    const keys = () => {
      const db = new DatabaseSync(metaFile(paths, 1))
      const found = db.prepare("SELECT key FROM pages ORDER BY key").all()
      db.close()
      return found.map(({ key }) => key)
    }
    for (let id = 1; id <= 20; id++) {
      store.create(id, `${id}-${id}`, definitionOf(`t${id}`), 1)
      store.apply({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
      store.apply({ t: "complete", id, chunks: 0 })
    }
    const grow = (id: number, bytes: number) => {
      const shape = store.get(id) ?? assert.fail("not there")
      shape.setVisibility({ xmin: "1", xmax: "20000", xipList: bytes === 0 ? [] : list(bytes) })
    }
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* openWriter(paths)
          const rounds = [
            { grown: [3], bytes: 1000, keys: [-3, 0, 1] },
            { grown: [3], bytes: 0, keys: [0, 1] },
            // Longer than what can be dormant.
            { grown: [16, 17, 18, 19, 20], bytes: 600_000, keys: [-20, -19, -18, -17, -16, 0] },
            { grown: [18], bytes: 0, keys: [-20, -19, -17, -16, 0, 1] }
          ]
          for (const { bytes, grown, keys: expected } of rounds) {
            for (const id of grown) grow(id, bytes)
            yield* writer.write(store, head(levelOfPages), counts)
            assert.deepStrictEqual(keys(), expected)
            same(yield* loaded(paths), store, `${grown.join()} of ${bytes} bytes`)
          }
          store.drop(20, "test")
          store.drop(18, "test")
          yield* writer.write(store, head(levelOfPages), counts)
          assert.deepStrictEqual(keys(), [-19, -17, -16, 0])
          same(yield* loaded(paths), store, "when some are gone")
        })
      )
    )
  })

  it("of which a bit is flipped give nothing that was not written, and all that stands before and behind it", () => {
    const builder = new PageBuilder()
    const kept = ["first", "the second", "third"].map((text, i) => `${String(i === 1)} ${text}`)
    for (const [i, text] of kept.entries()) {
      if (i === 1) builder.addText(text.slice(5))
      else builder.add(Buffer.from(text.slice(6)))
    }
    const whole = Buffer.from(builder.page)
    assert.deepStrictEqual(visited(whole), kept)
    const second = 8 + "first".length
    const third = second + 8 + "the second".length
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const page = Buffer.from(whole)
      const at = bit >>> 3
      page[at] = (page[at] ?? 0) ^ (1 << (bit & 7))
      const damaged = at < second ? 0 : at < third ? 1 : 2
      const begins = [0, second, third][damaged] ?? 0
      // Where it says how long it is, what stands behind it cannot be found.
      const left = at < begins + 4 ? kept.slice(0, damaged) : kept.toSpliced(damaged, 1)
      const found = visited(page)
      assert.includeMembers(found, left, `bit ${bit}`)
      assert.includeMembers(kept, found, `bit ${bit}`)
    }
  })

  it("that were written once can be read", () => {
    const store = freshStore()
    const shape = store.create(7, "123-1795987366444000", definitionOf("a"), 1_700_000_000_000)
    shape.setVisibility({ xmin: "100", xmax: "103", xipList: ["101"], containedBefore: "77" })
    shape.snapshotChunks = [{ _tag: "File", bytes: 300, crc: 4_000_000_000 }]
    shape.snapshotComplete = true
    shape.dirty = false
    const builder = new PageBuilder()
    builder.add(shape.stored(5) ?? assert.fail("no record"))
    assert.strictEqual(builder.page.toString("hex"), recorded)
    const known = new KnownShapes()
    const page = Buffer.from(recorded, "hex")
    const { template } = packDefinition(internDefinition(definitionOf("a")))
    visitPage(page, false, (start, length) => known.addStored(page, start, length, template))
    const read = known.byHandle(shape.handle) ?? assert.fail("not there")
    assert.strictEqual(known.byIdentity(shape.identity), read)
    assert.deepStrictEqual(facts(read), facts(shape))
  })
})
