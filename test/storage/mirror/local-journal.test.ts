import { assert, describe, it } from "@effect/vitest"
import { join } from "node:path"
import { readEpochs } from "../../../src/storage/journal/Epochs.ts"
import type { ChainContent } from "../../../src/storage/chain/ChainObject.ts"
import { DiskFault } from "../../../src/storage/disk/DiskFault.ts"
import { makeLayout, segmentFile, storagePaths } from "../../../src/storage/disk/StorageDir.ts"
import { LocalJournal } from "../../../src/storage/mirror/LocalJournal.ts"
import { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"

const begin = async () => {
  const disk = new FaultyDisk()
  const paths = storagePaths(FaultyDisk.directory, "default", undefined, disk.mount(), "mirror-0")
  await makeLayout(paths)
  const content = (epoch: number, segment: number) =>
    disk.contentOf(segmentFile(paths, epoch, segment), "seen")?.toString()
  return { disk, paths, content, journal: new LocalJournal(paths) }
}

const range = (epoch: number, segment: number, position: number, text: string) => ({
  epoch,
  segment,
  position,
  bytes: Buffer.from(text)
})

const ranges = (...all: ReadonlyArray<ReturnType<typeof range>>): ChainContent => ({ epoch: 1, ranges: all })

const opening = (epoch: number, previous: readonly [number, number, number] | null): ChainContent => ({
  epoch,
  ranges: [],
  opens: {
    epoch,
    previous: previous === null ? null : { epoch: previous[0], segment: previous[1], position: previous[2] },
    url: "http://a"
  }
})

describe("the journal of a mirror", () => {
  it("has what objects say, at its place, and says up to where", async () => {
    const { content, journal, paths } = await begin()
    assert.deepStrictEqual(journal.end, { epoch: 0, segment: 0, position: 0 })
    await journal.apply(opening(1, null))
    assert.deepStrictEqual(journal.end, { epoch: 1, segment: 1, position: 0 })
    await journal.apply(ranges(range(1, 1, 0, "abc"), range(1, 1, 3, "de"), range(1, 2, 0, "fg")))
    assert.deepStrictEqual([content(1, 1), content(1, 2)], ["abcde", "fg"])
    assert.deepStrictEqual(journal.end, { epoch: 1, segment: 2, position: 2 })
    // Its successor brings the rest of it, and goes on behind.
    await journal.apply({ ...opening(4, [1, 2, 4]), ranges: [range(1, 2, 2, "hi")] })
    assert.strictEqual(content(1, 2), "fghi")
    assert.deepStrictEqual(journal.end, { epoch: 4, segment: 3, position: 0 })
    assert.deepStrictEqual(await readEpochs(paths, 0), [
      { epoch: 1, previous: null },
      { epoch: 4, previous: { epoch: 1, segment: 2, position: 4 } }
    ])
  })

  it("is the same however often an object comes, after newer ones as well", async () => {
    const { content, disk, journal } = await begin()
    const objects = [
      opening(1, null),
      ranges(range(1, 1, 0, "abc")),
      ranges(range(1, 1, 3, "def"), range(1, 2, 0, "ghi")),
      opening(2, [1, 2, 3]),
      { ...ranges(range(2, 3, 0, "jkl")), files: [{ name: "tables.json.gz", content: Buffer.from("t") }] }
    ]
    for (const object of objects) await journal.apply(object)
    const end = journal.end
    const shown = () => disk.listing().map((line) => line.split(" ")[0])
    const before = shown()
    for (const object of [...objects.slice(1), ...objects]) await journal.apply(object)
    assert.deepStrictEqual(journal.end, end)
    assert.deepStrictEqual([content(1, 1), content(1, 2), content(2, 3)], ["abcdef", "ghi", "jkl"])
    assert.deepStrictEqual(shown(), before)
  })

  it("takes what the writer shows before it is in the chain, without gaps, and of the newest epoch alone", async () => {
    const { content, journal } = await begin()
    await journal.apply(opening(1, null))
    assert.isTrue(await journal.applyBytes(1, 1, 0, Buffer.from("abc")))
    assert.isFalse(await journal.applyBytes(1, 1, 4, Buffer.from("e")), "a gap")
    assert.isFalse(await journal.applyBytes(1, 2, 1, Buffer.from("e")), "a gap in the next segment")
    assert.isFalse(await journal.applyBytes(1, 3, 0, Buffer.from("e")), "a segment too far")
    assert.isFalse(await journal.applyBytes(2, 1, 3, Buffer.from("e")), "an epoch that is not known yet")
    assert.isTrue(await journal.applyBytes(1, 1, 2, Buffer.from("cde")), "some of it is there")
    assert.isTrue(await journal.applyBytes(1, 2, 0, Buffer.from("fg")))
    assert.isFalse(await journal.applyBytes(1, 1, 5, Buffer.from("x")), "that segment is over")
    assert.deepStrictEqual(journal.end, { epoch: 1, segment: 2, position: 2 })
    // The chain comes behind, and changes nothing.
    await journal.apply(ranges(range(1, 1, 0, "abcde"), range(1, 2, 0, "f")))
    assert.deepStrictEqual(journal.end, { epoch: 1, segment: 2, position: 2 })
    assert.deepStrictEqual([content(1, 1), content(1, 2)], ["abcde", "fg"])
    await journal.apply(opening(2, [1, 2, 1]))
    assert.isFalse(await journal.applyBytes(1, 2, 2, Buffer.from("hi")), "its writer was overtaken")
    assert.isTrue(await journal.applyBytes(2, 3, 0, Buffer.from("hi")))
  })

  it("keeps to the order of what is given at once", async () => {
    const { content, journal } = await begin()
    await Promise.all([
      journal.apply(opening(1, null)),
      journal.applyBytes(1, 1, 0, Buffer.from("ab")),
      journal.apply(ranges(range(1, 1, 0, "ab"), range(1, 1, 2, "cd"))),
      journal.applyBytes(1, 1, 4, Buffer.from("ef")),
      journal.close()
    ])
    assert.strictEqual(content(1, 1), "abcdef")
  })

  it("goes on after the disk has refused, where it was", async () => {
    const { content, disk, journal } = await begin()
    await journal.apply(opening(1, null))
    const object = { ...opening(2, [1, 2, 2]), ranges: [range(1, 1, 0, "abc"), range(1, 2, 0, "de")] }
    // Each call of the disk that it takes is refused once; what was there in part is written again.
    for (let nth = 1; ; nth++) {
      const fault = disk.fail({ nth, times: 1 }, "ENOSPC")
      const error = await journal.apply(object).catch((refused: unknown) => refused)
      fault.end()
      if (error === undefined) break
      assert.instanceOf(error, DiskFault)
      assert.deepStrictEqual(journal.end.position === 0 && journal.end.epoch === 2, false)
      assert.isBelow(nth, 50)
    }
    assert.deepStrictEqual([content(1, 1), content(1, 2)], ["abc", "de"])
    assert.deepStrictEqual(journal.end, { epoch: 2, segment: 3, position: 0 })
  })

  it("writes small files that it knows, and follows no name out of its directory", async () => {
    const { disk, journal, paths } = await begin()
    const files = ["types.json.gz", "../../escaped", "journal/00000001-00000001", "level.json"].map(
      (name) => ({
        name,
        content: Buffer.from(name)
      })
    )
    await journal.apply({ ranges: [], files })
    assert.strictEqual(disk.contentOf(join(paths.root, "types.json.gz"), "seen")?.toString(), "types.json.gz")
    const there = disk.listing().map((line) => line.split(" ")[0] ?? "")
    assert.deepStrictEqual(
      there.filter((path) => /escaped|level|0000/.test(path)),
      []
    )
  })

  it("does not write what is before the first segment that anybody reads, and makes the file of an epoch that wrote nothing", async () => {
    const { content, journal } = await begin()
    await journal.apply(opening(1, null))
    await journal.beginWith(3)
    await journal.apply(ranges(range(1, 1, 0, "a"), range(1, 2, 0, "b"), range(1, 3, 0, "c")))
    assert.deepStrictEqual([content(1, 1), content(1, 2), content(1, 3)], [undefined, undefined, "c"])
    await journal.apply(opening(2, [1, 3, 1]))
    await journal.apply(opening(3, [2, 4, 0]))
    assert.strictEqual(content(2, 4), "")
    await journal.close()
  })
})
