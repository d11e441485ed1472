import { mkdirSync, writeFileSync, appendFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { BucketFault } from "../../../src/bucket/BucketFault.ts"
import { Chain } from "../../../src/storage/chain/Chain.ts"
import type { ChainObject } from "../../../src/storage/chain/ChainObject.ts"
import { segmentFile, storagePaths } from "../../../src/storage/disk/StorageDir.ts"
import { fullBytes, gatherMillis, objectBytes } from "../../../src/storage/durability/DurabilityTimings.ts"
import { Shipper } from "../../../src/storage/durability/Shipper.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { HandTimers } from "../../../testing/HandTimers.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"
import { temporaryDirectory } from "../support.ts"

const flushMillis = 250
const epoch = 1

/** A store whose creates can be made to fail. */
class UnsteadyStore extends MemoryStore {
  isAway = false
  tries = 0
  override create(key: string, content: ReadonlyArray<Uint8Array>): Promise<"created" | "exists"> {
    this.tries++
    if (this.isAway)
      return Promise.reject(
        new BucketFault({ operation: "create", object: key, kind: "unreachable", said: "nobody answers" })
      )
    return super.create(key, content)
  }
}

/** A shipper of an epoch that has been opened, and a journal that is written by hand. */
const begin = async () => {
  const paths = storagePaths(temporaryDirectory(), "stream")
  mkdirSync(paths.journal, { recursive: true })
  const store = new UnsteadyStore()
  const timers = new HandTimers()
  const chain = new Chain({ store, timers })
  await chain.append({ epoch, ranges: [], opens: { epoch, previous: null }, isFence: true }, () => false)
  const counted: Array<number> = []
  const troubles: Array<string> = []
  const shipper = new Shipper({
    paths,
    chain,
    timers,
    epoch,
    flushMillis,
    changedFiles: () => Promise.resolve([]),
    appended: () => undefined,
    counts: (marker) => counted.push(marker),
    shipped: () => undefined,
    overtaken: () => undefined,
    onTrouble: (_, message) => troubles.push(message)
  })
  onTestFinished(() => shipper.close())
  let marker = 0
  const positions = new Map<number, number>()
  return {
    paths,
    store,
    timers,
    chain,
    counted,
    troubles,
    shipper,
    get marker() {
      return marker
    },
    /** So many bytes are written to a segment. */
    write: (bytes: Uint8Array, segment = 1) => {
      const path = segmentFile(paths, epoch, segment)
      const position = positions.get(segment) ?? 0
      if (position === 0) writeFileSync(path, bytes)
      else appendFileSync(path, bytes)
      positions.set(segment, position + bytes.length)
      marker += bytes.length
      shipper.wrote({ segment, position, length: bytes.length, marker })
    },
    /** All objects of the chain after the first. */
    objects: async () => {
      const found: Array<ChainObject> = []
      const reader = new Chain({ store, timers })
      await reader.readOn((object) => Promise.resolve(void found.push(object)))
      return found.slice(1)
    }
  }
}

const lengths = (objects: ReadonlyArray<ChainObject>) =>
  objects.map(({ ranges }) => ranges.reduce((sum, { bytes }) => sum + bytes.length, 0))

describe("the way of a journal into the chain", () => {
  it("makes an object when clients have been told, and the next one only after the flush interval", async () => {
    const journal = await begin()
    journal.write(Buffer.from("first"))
    await eventually("it waits", () => journal.timers.nextInMillis === gatherMillis)
    journal.write(Buffer.from("with it"))
    assert.deepStrictEqual(lengths(await journal.objects()), [])
    journal.timers.pass(gatherMillis)
    await eventually("what counts", () => journal.counted.includes(12))
    journal.write(Buffer.from("second"))
    journal.write(Buffer.from("third"))
    journal.timers.pass(flushMillis - 1)
    assert.deepStrictEqual(lengths(await journal.objects()), [12])
    journal.timers.pass(1)
    await eventually("what counts", () => journal.counted.includes(journal.marker))
    assert.deepStrictEqual(lengths(await journal.objects()), [12, 11])
  })

  it("makes an object at once when somebody waits, or much has gathered", async () => {
    const journal = await begin()
    journal.write(Buffer.from("first"))
    journal.shipper.hurry(journal.marker)
    await eventually("what counts", () => journal.counted.includes(journal.marker))
    journal.write(Buffer.alloc(fullBytes))
    await eventually("what counts", () => journal.counted.includes(journal.marker))
    assert.strictEqual(journal.timers.nowMillis(), 0)
  })

  it("makes none while nothing is written, however long that is", async () => {
    const journal = await begin()
    for (let i = 0; i < 400; i++) {
      journal.timers.pass(10_000)
      await Promise.resolve()
    }
    assert.deepStrictEqual(await journal.objects(), [])
    assert.strictEqual(journal.store.tries, 1)
  })

  it("takes no more into one object than there is memory for", async () => {
    const journal = await begin()
    journal.store.isAway = true
    const bytes = 5 << 20
    for (let i = 0; i < 8; i++) journal.write(Buffer.alloc(bytes, i))
    await eventually("another try", () => journal.store.tries > 1)
    assert.deepStrictEqual(journal.counted, [])
    assert.isAtLeast(journal.shipper.unshipped.bytes, 8 * bytes)
    journal.store.isAway = false
    while (!journal.counted.includes(journal.marker)) {
      journal.timers.pass(5000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const made = lengths(await journal.objects())
    assert.isAtMost(Math.max(...made), objectBytes)
    assert.strictEqual(
      made.reduce((sum, length) => sum + length, 0),
      8 * bytes
    )
    assert.strictEqual(journal.shipper.unshipped.bytes, 0)
  })

  it("counts nothing any more once somebody else has created the next object", async () => {
    const journal = await begin()
    const other = new Chain({ store: journal.store, timers: journal.timers })
    await other.readOn(() => Promise.resolve())
    await other.append(
      {
        epoch: 2,
        ranges: [],
        opens: { epoch: 2, previous: { epoch, segment: 1, position: 0 } },
        isFence: true
      },
      () => false
    )
    journal.write(Buffer.from("too late"))
    journal.shipper.hurry(journal.marker)
    await eventually("being overtaken", () => journal.shipper.isOvertaken)
    journal.write(Buffer.from("even later"))
    journal.timers.pass(60_000)
    assert.deepStrictEqual(journal.counted, [])
  })

  it("puts every byte into the chain once and in order, whatever is written while objects are on their way", async () => {
    const random = makeRandom(freshSeed())
    const journal = await begin()
    const written = new Map<number, Array<Buffer>>()
    let segment = 1
    for (let step = 0; step < 300; step++) {
      if (random.chance(0.02)) segment++
      if (random.chance(0.7)) {
        const bytes = Buffer.alloc(random.int(1, random.chance(0.05) ? 2 << 20 : 3000), step)
        written.set(segment, [...(written.get(segment) ?? []), bytes])
        journal.write(bytes, segment)
      }
      if (random.chance(0.1)) journal.shipper.hurry(journal.marker)
      if (random.chance(0.3)) journal.timers.pass(random.int(1, 400))
      if (random.chance(0.1)) journal.store.isAway = !journal.store.isAway
      if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve))
    }
    journal.store.isAway = false
    await eventually("all of it", () => {
      journal.timers.pass(1000)
      return journal.counted.includes(journal.marker)
    })
    const found = new Map<number, Array<Uint8Array>>()
    for (const { ranges } of await journal.objects())
      for (const { bytes, position, segment: into } of ranges) {
        const before = found.get(into) ?? []
        const end = before.reduce((sum, { length }) => sum + length, 0)
        assert.strictEqual(position, end, `seed ${random.seed}`)
        found.set(into, [...before, bytes])
      }
    for (const [into, pieces] of written)
      assert.isTrue(
        Buffer.concat(found.get(into) ?? []).equals(Buffer.concat(pieces)),
        `segment ${into}, seed ${random.seed}`
      )
    assert.deepStrictEqual(
      journal.counted,
      journal.counted.toSorted((a, b) => a - b),
      `seed ${random.seed}`
    )
  })
})
