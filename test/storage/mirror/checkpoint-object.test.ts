import { assert, describe, it } from "@effect/vitest"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { Effect, Scope } from "effect"
import { ChainBroken } from "../../../src/storage/chain/ChainBroken.ts"
import type { ChainContent, ChainPlace } from "../../../src/storage/chain/ChainObject.ts"
import { chainStart } from "../../../src/storage/chain/PlaceAfter.ts"
import { openCheckpointWriter } from "../../../src/storage/checkpoint/CheckpointWriter.ts"
import { writeWhole } from "../../../src/storage/disk/Files.ts"
import {
  epochFile,
  makeLayout,
  metaFile,
  namesFile,
  segmentFile,
  storagePaths,
  type StoragePaths
} from "../../../src/storage/disk/StorageDir.ts"
import { publishEpoch } from "../../../src/storage/journal/Epochs.ts"
import { fetchCheckpoint, fetchNewest } from "../../../src/storage/mirror/CheckpointFetch.ts"
import { type CheckpointFiles, filesUpTo, placeOfFile } from "../../../src/storage/mirror/CheckpointFiles.ts"
import { openCheckpoint } from "../../../src/storage/mirror/CheckpointObject.ts"
import { isUploadDue, uploadCheckpoint } from "../../../src/storage/mirror/CheckpointUpload.ts"
import { CheckpointUploads } from "../../../src/storage/mirror/CheckpointUploads.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"
import { HandTimers } from "../../../testing/HandTimers.ts"
import { engineAt, temporaryDirectory } from "../support.ts"
import { contextAt, scopeOfTest } from "./support.ts"

const place: ChainPlace = {
  next: 42,
  crc: 7,
  stream: "a-stream",
  opening: { epoch: 3, previous: { epoch: 2, segment: 9, position: 10 }, url: "http://writer" },
  end: { epoch: 3, segment: 11, position: 4 },
  fences: [0, 17]
}
const head = { epoch: 2, segment: 8 }

const directory = async (name: string) => {
  const disk = new FaultyDisk()
  const paths = storagePaths(FaultyDisk.directory, name, undefined, disk.mount())
  await makeLayout(paths)
  return { paths, content: (path: string) => disk.contentOf(path, "seen"), disk }
}

/** A checkpoint of more than one piece, of which the last is not whole. */
const meta = Buffer.concat([randomBytes(5 << 20), Buffer.alloc(4 << 20, "x")])

const filesOf = (paths: StoragePaths, content: Buffer): CheckpointFiles => {
  const of = (name: string, bytes: number) => ({ name, path: placeOfFile(paths, 3, name) ?? "", bytes })
  const files = [
    of("meta", content.length),
    of("names", 5),
    of("tables.json.gz", 6),
    of("journal/00000002-00000008", 3)
  ]
  return { epoch: 3, head, files, bytes: content.length }
}

const uploaded = async (next = 42, content: Buffer = meta) => {
  const store = new MemoryStore()
  const { paths } = await directory("writer")
  await writeWhole(paths.disk, metaFile(paths, 3), content)
  await writeWhole(paths.disk, namesFile(paths, 3), "+1-1\n")
  await writeWhole(paths.disk, join(paths.root, "tables.json.gz"), "tables")
  await writeWhole(paths.disk, segmentFile(paths, 2, 8), "abc, and what is not in the chain yet")
  const key = await uploadCheckpoint(store, paths, { ...place, next }, filesOf(paths, content))
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
    assert.strictEqual(content(segmentFile(paths, 2, 8))?.toString(), "abc")
    assert.deepStrictEqual(
      (await paths.disk.list(paths.root)).filter((name) => name.endsWith(".tmp")),
      []
    )
  })

  it("may be uploaded again, and fails with the disk", async () => {
    const { key, paths, store } = await uploaded()
    assert.strictEqual(await uploadCheckpoint(store, paths, place, filesOf(paths, meta)), key)
    const longer = filesOf(paths, Buffer.concat([meta, meta]))
    assert.include(await uploadCheckpoint(store, paths, place, longer).catch(String), "ENOENT")
  })

  it("has no other names than those of a storage directory", async () => {
    const { paths } = await directory("reader")
    for (const name of [
      "../x",
      "journal/../../x",
      "epochs/x",
      "level.json",
      "journal/00000001-0000000g",
      "meta/x",
      ""
    ])
      assert.isUndefined(placeOfFile(paths, 1, name), name)
    assert.strictEqual(placeOfFile(paths, 1, "epochs/00000003"), epochFile(paths, 3))
  })

  it("is passed over when it is damaged anywhere, for the one before it", async () => {
    const small = await uploaded(43, Buffer.from("a small one"))
    const bytes = (await small.store.get(small.key)) ?? Buffer.alloc(0)
    const { key, store: before } = await uploaded(42, Buffer.from("the one before"))
    const older = (await before.get(key)) ?? Buffer.alloc(0)
    for (let at = 0; at < bytes.length; at += 3) {
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
    for (let length = 0; length < bytes.length; length += 11) {
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
      fetchCheckpoint(store, paths, found, { everything: true, isWanted })
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

describe("what goes into a checkpoint", () => {
  it("is nothing at first, and what is in the chain of the journal that a start reads", async () => {
    const storageDir = temporaryDirectory()
    const paths = storagePaths(storageDir, "default")
    await makeLayout(paths)
    assert.isUndefined(await filesUpTo(paths, chainStart))
    const write = (epoch: number, segment: number, bytes: number) =>
      writeWhole(paths.disk, segmentFile(paths, epoch, segment), "x".repeat(bytes))
    await publishEpoch(paths, { epoch: 1, previous: null })
    await publishEpoch(paths, { epoch: 2, previous: { epoch: 1, segment: 7, position: 70 } })
    await publishEpoch(paths, { epoch: 3, previous: { epoch: 2, segment: 9, position: 10 } })
    await publishEpoch(paths, { epoch: 4, previous: { epoch: 3, segment: 11, position: 9 } })
    // Epoch 2 has written on after its end, and epoch 4 has not come into the chain yet.
    for (const [epoch, segment] of [
      [1, 7],
      [2, 8],
      [2, 9],
      [2, 10],
      [3, 10],
      [3, 11],
      [3, 12],
      [4, 12]
    ] as const)
      await write(epoch, segment, 100)
    const named = async () => {
      const found = await filesUpTo(paths, place)
      return found && { ...found, files: found.files.map(({ bytes, name }) => `${name} ${bytes}`) }
    }
    assert.isUndefined(await named(), "the beginning of the journal stood in a checkpoint that is gone")
    await write(1, 1, 50)
    assert.deepStrictEqual((await named())?.head, { epoch: 1, segment: 1 })
    const { store } = engineAt(temporaryDirectory())
    const scope = scopeOfTest()
    const checkpoints = await Effect.runPromise(
      Scope.provide(openCheckpointWriter(paths, 3, { synchronous: "OFF", cacheBytes: 1 << 20 }), scope)
    )
    assert.strictEqual((await named())?.epoch, 0, "one that was begun does not count")
    const written = { ...head, nextId: 1, lastCommitLsn: "1", positionLsn: "1", source: null }
    await Effect.runPromise(checkpoints.write(store, written, () => Promise.resolve(true)))
    const found = await named()
    if (found === undefined) return assert.fail("there is a checkpoint")
    assert.strictEqual(found.epoch, 3)
    assert.deepStrictEqual(found.head, head)
    assert.deepStrictEqual(
      found.files.filter((name) => name.startsWith("journal")),
      [
        "journal/00000002-00000008 100",
        "journal/00000002-00000009 10",
        "journal/00000003-0000000a 100",
        "journal/00000003-0000000b 4"
      ]
    )
    assert.sameMembers(
      found.files.flatMap((name) => (name.startsWith("journal") ? [] : (name.split(" ")[0] ?? ""))),
      ["meta", "names", "epochs/00000002", "epochs/00000003"]
    )
  })
})

describe("whether a checkpoint is worth an upload", () => {
  const mb = 1 << 20
  const hour = 3_600_000
  const few = { chainObjects: 10, checkpointBytes: mb, millis: 1, isFirst: false }
  const cases = [
    ["nothing new", { ...few, chainBytes: 0, chainObjects: 1e6, millis: 10 * hour, isFirst: true }, false],
    ["an hour, a little", { ...few, chainBytes: 1, millis: hour }, true],
    ["almost an hour", { ...few, chainBytes: mb, millis: hour - 1 }, false],
    ["an hour, but it is large", { ...few, chainBytes: mb, checkpointBytes: 512 * mb, millis: hour }, false],
    [
      "two hours, when it is large",
      { ...few, chainBytes: mb, checkpointBytes: 512 * mb, millis: 2 * hour },
      true
    ],
    ["much", { ...few, chainBytes: 129 * mb }, true],
    ["not much", { ...few, chainBytes: 128 * mb }, false],
    ["much, but it is large", { ...few, chainBytes: 190 * mb, checkpointBytes: 100 * mb }, false],
    ["more than it is large", { ...few, chainBytes: 201 * mb, checkpointBytes: 100 * mb }, true],
    ["many objects", { ...few, chainBytes: mb, chainObjects: 1_001 }, true],
    [
      "many objects, but it is large",
      { ...few, chainBytes: mb, chainObjects: 10_001, checkpointBytes: 200 * mb },
      false
    ],
    ["read at a takeover", { ...few, chainBytes: 33 * mb, isFirst: true }, true],
    ["many read at a takeover", { ...few, chainBytes: mb, chainObjects: 251, isFirst: true }, true],
    ["little at a takeover", { ...few, chainBytes: 32 * mb, isFirst: true }, false],
    [
      "a large one at a takeover",
      { ...few, chainBytes: 40 * mb, checkpointBytes: 100 * mb, isFirst: true },
      false
    ]
  ] as const
  for (const [name, since, due] of cases)
    it(`is ${due ? "so" : "not so"}: ${name}`, () => assert.strictEqual(isUploadDue(since), due))
})

describe("the checkpoints of a writer", () => {
  it("come into the bucket when there is enough behind the newest one, and an hour later at the latest", async () => {
    const store = new MemoryStore()
    const context = await contextAt(store, { timers: new HandTimers() })
    const { chain, objects, paths } = context
    const timers = context.timers as HandTimers
    const announced: Array<string> = []
    const uploads = new CheckpointUploads(context, (key) => announced.push(key))
    const append = async (content: ChainContent, bytes: number) => {
      assert.strictEqual(await chain.append(content, () => false), "created")
      objects.note(chain.place, bytes)
    }
    timers.pass(3_600_000)
    assert.isUndefined(await uploads.round(), "nothing at all")
    await publishEpoch(paths, { epoch: 1, previous: null })
    await writeWhole(paths.disk, segmentFile(paths, 1, 1), "abcdef")
    await append({ epoch: 1, ranges: [], opens: { epoch: 1, previous: null } }, 0)
    assert.isUndefined(await uploads.round(), "nothing was written")
    const range = { epoch: 1, segment: 1, position: 0, bytes: Buffer.from("abc") }
    await append({ epoch: 1, ranges: [range] }, 3)
    assert.strictEqual(await uploads.round(), "checkpoints/00000000000000000002")
    assert.deepStrictEqual([objects.bytes, objects.count], [0, 0])
    await append({ epoch: 1, ranges: [], checkpoint: announced[0] ?? "" }, 0)
    timers.pass(7_200_000)
    assert.isUndefined(await uploads.round(), "nothing but that there is one")
    // As if it were more.
    await append({ epoch: 1, ranges: [{ ...range, position: 3 }] }, 100 << 20)
    timers.pass(-7_200_000)
    assert.isUndefined(await uploads.round(), "not yet")
    await append({ epoch: 1, ranges: [] }, 30 << 20)
    assert.strictEqual(await uploads.round(), "checkpoints/00000000000000000005")
    assert.lengthOf(announced, 2)
    assert.strictEqual((await openCheckpoint(store, announced[1] ?? ""))?.header.place.next, 5)
  })
})
