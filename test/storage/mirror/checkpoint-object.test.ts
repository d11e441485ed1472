import { assert, describe, it } from "@effect/vitest"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { ChainBroken } from "../../../src/storage/chain/ChainBroken.ts"
import type { ChainPlace } from "../../../src/storage/chain/ChainObject.ts"
import { writeWhole } from "../../../src/storage/disk/Files.ts"
import { makeLayout, metaFile, namesFile, storagePaths } from "../../../src/storage/disk/StorageDir.ts"
import { fetchCheckpoint, fetchNewest } from "../../../src/storage/mirror/CheckpointFetch.ts"
import { openCheckpoint } from "../../../src/storage/mirror/CheckpointObject.ts"
import { isUploadDue, uploadCheckpoint } from "../../../src/storage/mirror/CheckpointUpload.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"

const place: ChainPlace = {
  next: 42,
  crc: 7,
  stream: "a-stream",
  opening: { epoch: 3, previous: { epoch: 2, segment: 5, position: 10 }, url: "http://writer" },
  end: { epoch: 3, segment: 8, position: 1000 },
  fences: [0, 17]
}
const head = { epoch: 3, segment: 8 }

const directory = async (name: string) => {
  const disk = new FaultyDisk()
  const paths = storagePaths(FaultyDisk.directory, name, undefined, disk.mount())
  await makeLayout(paths)
  return { paths, content: (path: string) => disk.contentOf(path, "seen"), disk }
}

/** A checkpoint of more than one piece, of which the last is not whole. */
const meta = Buffer.concat([randomBytes(5 << 20), Buffer.alloc(4 << 20, "x")])

const uploaded = async (next = 42, content: Buffer = meta) => {
  const store = new MemoryStore()
  const { paths } = await directory("writer")
  await writeWhole(paths.disk, metaFile(paths, 3), content)
  await writeWhole(paths.disk, namesFile(paths, 3), "+1-1\n")
  await writeWhole(paths.disk, join(paths.root, "tables.json.gz"), "tables")
  await writeWhole(paths.disk, join(paths.root, "level.json"), "not for others")
  const key = await uploadCheckpoint({ store, paths, epoch: 3, head, place: { ...place, next } })
  return { store, paths, key }
}

const reasonOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "sound",
    (error: unknown) => (error instanceof ChainBroken ? error.reason : String(error))
  )

describe("a checkpoint in the bucket", () => {
  it("is what was uploaded, with where it belongs", async () => {
    const { key, store } = await uploaded()
    assert.strictEqual(key, "checkpoints/00000000000000000042")
    const { content, paths } = await directory("reader")
    const found = await fetchNewest(store, paths, assert.fail)
    assert.deepStrictEqual(found?.header.place, place)
    assert.deepStrictEqual(found?.header.head, head)
    assert.isUndefined(content(metaFile(paths, 3)), "not in place yet")
    await found?.place()
    assert.isTrue(content(metaFile(paths, 3))?.equals(meta))
    assert.strictEqual(content(namesFile(paths, 3))?.toString(), "+1-1\n")
    assert.strictEqual(content(join(paths.root, "tables.json.gz"))?.toString(), "tables")
    assert.isUndefined(content(join(paths.root, "types.json.gz")))
    assert.isUndefined(content(join(paths.root, "level.json")))
    assert.deepStrictEqual(
      (await paths.disk.list(paths.root)).filter((name) => name.endsWith(".tmp")),
      []
    )
  })

  it("may be uploaded again, and is not while it is being written", async () => {
    const { key, paths, store } = await uploaded()
    assert.strictEqual(await uploadCheckpoint({ store, paths, epoch: 3, head, place }), key)
    await writeWhole(paths.disk, `${metaFile(paths, 3)}-journal`, "under way")
    const again = await uploadCheckpoint({ store, paths, epoch: 3, head, place }).catch(String)
    assert.include(again, "not finished")
    const without = await uploadCheckpoint({ store, paths, epoch: 4, head, place }).catch(String)
    assert.include(without, "not finished")
  })

  it("is passed over when it is damaged anywhere, for the one before it", async () => {
    const small = await uploaded(43, Buffer.from("a small one"))
    const bytes = (await small.store.get(small.key)) ?? Buffer.alloc(0)
    const { key, store: before } = await uploaded(42, Buffer.from("the one before"))
    const older = (await before.get(key)) ?? Buffer.alloc(0)
    for (let at = 0; at < bytes.length; at++) {
      const store = new MemoryStore()
      await store.create(key, [older])
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ 0x41
      await store.create(small.key, [damaged])
      const { paths, content, disk } = await directory("reader")
      const said: Array<string> = []
      const isFormat = at >= 8 && at < 12
      const found = await fetchNewest(store, paths, (message) => said.push(message)).catch(String)
      if (typeof found === "string") {
        assert.isTrue(isFormat, `${at}: ${found}`)
        continue
      }
      assert.strictEqual(found?.key, key, `byte ${at}`)
      assert.lengthOf(said, 1)
      assert.include(said[0], small.key)
      await found?.place()
      assert.strictEqual(content(metaFile(paths, 3))?.toString(), "the one before")
      assert.notMatch(disk.listing().join(), /\.tmp/)
    }
    for (let length = 0; length < bytes.length; length += 3) {
      const store = new MemoryStore()
      await store.create(small.key, [bytes.subarray(0, length)])
      const { paths } = await directory("reader")
      const said: Array<string> = []
      assert.isUndefined(await fetchNewest(store, paths, (message) => said.push(message)))
      assert.lengthOf(said, 1, `cut off after ${length}`)
    }
  })

  it("of a newer release is no reason to take an older one", async () => {
    const { key, store } = await uploaded(43, Buffer.from("newer"))
    const bytes = (await store.get(key)) ?? Buffer.alloc(0)
    bytes.writeUInt32LE(2, 8)
    const newer = new MemoryStore()
    await newer.create(key, [bytes])
    const { paths } = await directory("reader")
    assert.strictEqual(await reasonOf(fetchNewest(newer, paths, () => {})), "newerFormat")
  })

  it("leaves nothing behind when it is not wanted any more, or cannot be fetched", async () => {
    const { key, store } = await uploaded()
    const { disk, paths } = await directory("reader")
    const found = await openCheckpoint(store, key)
    if (found === undefined) return assert.fail("it is there")
    const before = disk.listing().length
    const fetch = (isWanted: () => boolean) =>
      fetchCheckpoint(store, paths, found, { schemaFiles: true, isWanted })
    let asked = 0
    assert.isUndefined(await fetch(() => ++asked < 2))
    disk.fail({ operation: "write", nth: 2 }, "ENOSPC")
    assert.include(await fetch(() => true).catch(String), "ENOSPC")
    disk.heal()
    await store.remove([key])
    assert.strictEqual(await reasonOf(fetch(() => true)), "collected")
    assert.lengthOf(disk.listing(), before)
  })
})

describe("whether a checkpoint is worth an upload", () => {
  const mb = 1 << 20
  const hour = 3_600_000
  const cases = [
    ["nothing new", { chainBytes: 0, checkpointBytes: mb, millis: 10 * hour, isFirst: false }, false],
    ["an hour, a little", { chainBytes: 1, checkpointBytes: mb, millis: hour, isFirst: false }, true],
    ["almost an hour", { chainBytes: mb, checkpointBytes: mb, millis: hour - 1, isFirst: false }, false],
    ["much", { chainBytes: 129 * mb, checkpointBytes: mb, millis: 1, isFirst: false }, true],
    ["not much", { chainBytes: 128 * mb, checkpointBytes: mb, millis: 1, isFirst: false }, false],
    [
      "much, but it is large",
      { chainBytes: 190 * mb, checkpointBytes: 100 * mb, millis: 1, isFirst: false },
      false
    ],
    [
      "more than it is large",
      { chainBytes: 201 * mb, checkpointBytes: 100 * mb, millis: 1, isFirst: false },
      true
    ],
    ["read at a takeover", { chainBytes: 33 * mb, checkpointBytes: mb, millis: 1, isFirst: true }, true],
    ["little at a takeover", { chainBytes: 32 * mb, checkpointBytes: mb, millis: 1, isFirst: true }, false],
    [
      "a large one at a takeover",
      { chainBytes: 40 * mb, checkpointBytes: 100 * mb, millis: 1, isFirst: true },
      false
    ]
  ] as const
  for (const [name, since, due] of cases)
    it(`is ${due ? "so" : "not so"}: ${name}`, () => assert.strictEqual(isUploadDue(since), due))
})
