import { assert, describe, it } from "vitest"
import fc from "fast-check"
import { readWhole, writeWhole } from "../../src/storage/disk/Files.ts"
import { epochFile, segmentFile } from "../../src/storage/disk/StorageDir.ts"
import { durableIn, markDurable, parseMark } from "../../src/storage/journal/SecureEpoch.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import { createShape, engineAt, hasty, temporaryDirectory, writeTransaction } from "./support.ts"

const engineOn = (disk: FaultyDisk, isKilled = () => false) =>
  engineAt(FaultyDisk.directory, {
    disk: disk.mount({
      through: (work) => {
        if (!isKilled()) work()
      }
    }),
    metaDir: temporaryDirectory(),
    losesPower: true,
    durableWrites: true,
    timers: hasty
  })

const nowhere = { isSecured: false, upTo: { segment: 0, position: 0 } }

/** A writer, with all that it has written in its file; and the next, whose epoch is durable. */
const handover = async (disk: FaultyDisk, isOrderly: boolean) => {
  let isKilled = false
  const first = engineOn(disk, () => isKilled)
  await first.takeOver()
  const shape = createShape(first, "a")
  assert.isTrue(await first.settled())
  writeTransaction(first, 100n, [{ op: 0, ids: [shape.id], padding: 5000 }])
  const { writer } = first
  if (isOrderly) await first.release(1000)
  else {
    const fault = disk.fail({ operation: "sync", path: /journal/, times: 1 })
    first.writer?.flush()
    await eventually("a sync", () => fault.hits() > 0)
    isKilled = true
  }
  const second = engineOn(disk)
  await second.load()
  assert.strictEqual(second.store.lastCommitLsn, 100n)
  const calls = disk.calls.length
  await second.takeOver()
  assert.isTrue(await second.settled())
  await second.close()
  const path = segmentFile(second.paths, 1, writer?.segment ?? 0)
  const written = disk.calls.slice(calls).filter((call) => call.path === path && call.operation === "write")
  return { second, path, writes: written.length }
}

describe("what a takeover has read", () => {
  it("is durable afterwards, although its sync had failed and the next would have proved nothing", async () => {
    const disk = new FaultyDisk()
    const { path, second, writes } = await handover(disk, false)
    assert.isAbove(writes, 0)
    const isDurable = (file: string) =>
      assert.deepStrictEqual(disk.contentOf(file, "durable"), disk.contentOf(file, "seen"))
    isDurable(path)
    isDurable(epochFile(second.paths, 2))
  })

  it("has its level, too, whose name nobody had synced", async () => {
    const disk = new FaultyDisk()
    const first = engineOn(disk)
    await first.takeOver()
    assert.isTrue(await first.settled())
    const { root } = first.paths
    await writeWhole(first.paths.disk, `${root}/level.json`, "{}")
    assert.notInclude(disk.namesIn(root, "durable"), "level.json")
    const second = engineOn(disk)
    await second.takeOver()
    assert.isTrue(await second.settled())
    assert.include(disk.namesIn(root, "durable"), "level.json")
  })

  it("stands in the file of each epoch, also of one of which a power cut has left the name only", async () => {
    const disk = new FaultyDisk()
    const { second } = await handover(disk, true)
    const { paths } = second
    await writeWhole(paths.disk, epochFile(paths, 2), "")
    await writeWhole(paths.disk, `${epochFile(paths, 2)}.claim`, "")
    const third = engineOn(disk)
    await third.takeOver()
    assert.isTrue(await third.settled())
    const text = disk.contentOf(epochFile(paths, 2), "durable")?.toString() ?? ""
    assert.match(text, /^{"epoch":2,"previous":{"epoch":1,/)
    assert.strictEqual(third.store.lastCommitLsn, 100n)
  })

  it("is not written once more where its writer has said that it is durable", async () => {
    const { second, writes } = await handover(new FaultyDisk(), true)
    assert.strictEqual(writes, 0)
    assert.strictEqual(second.store.lastCommitLsn, 100n)
  })

  it("is durable up to where its writer says, which is never beyond where it ends", () => {
    const place = fc.record({ segment: fc.nat(3), position: fc.nat(9) })
    fc.assert(
      fc.property(place, place, (end, upTo) => {
        const isBefore = (position: number) =>
          end.segment < upTo.segment || (end.segment === upTo.segment && position < upTo.position)
        const durable = durableIn(end, upTo)
        for (let position = 0; position < end.position; position++)
          assert.strictEqual(position < durable, isBefore(position))
      })
    )
  })

  it("is taken for durable only where the claim says so in full", async () => {
    const disk = new FaultyDisk()
    const engine = engineOn(disk)
    await engine.takeOver()
    assert.isTrue(await engine.settled())
    // What it has written itself it says, too.
    await engine.close()
    await markDurable(engine.paths, { epoch: 1, segment: 7, position: 123_456 })
    const said = (await readWhole(engine.paths.disk, `${epochFile(engine.paths, 1)}.claim`))?.toString() ?? ""
    assert.deepStrictEqual(parseMark(said), { isSecured: true, upTo: { segment: 7, position: 123_456 } })
    await markDurable(engine.paths, { epoch: 1, segment: 6, position: 99 })
    const other =
      (await readWhole(engine.paths.disk, `${epochFile(engine.paths, 1)}.claim`))?.toString() ?? ""
    for (let cut = 0; cut < said.length; cut++) {
      if (cut !== "durable".length) assert.deepStrictEqual(parseMark(said.slice(0, cut)), nowhere)
      // Where two were written at once.
      const mixed = said.slice(0, cut) + other.slice(cut)
      if (mixed !== said && mixed !== other) assert.deepStrictEqual(parseMark(mixed), nowhere)
    }
    assert.deepStrictEqual(parseMark("durable"), { isSecured: true, upTo: { segment: 0, position: 0 } })
  })
})
