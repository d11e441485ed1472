import { Effect } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { writeWhole } from "../../src/storage/disk/Files.ts"
import { epochFile, segmentFile } from "../../src/storage/disk/StorageDir.ts"
import type { EpochRecord } from "../../src/storage/journal/Epochs.ts"
import { firstThatCounts } from "../../src/storage/journal/FirstSegment.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import {
  changes,
  createShape,
  engineAt,
  hasty,
  maintenanceOf,
  readAll,
  temporaryDirectory,
  writeTransaction
} from "./support.ts"

const engineOn = (
  disk: FaultyDisk,
  metaDir: string,
  { isKilled = () => false, said = [] }: { isKilled?: () => boolean; said?: Array<string> } = {}
) =>
  engineAt(FaultyDisk.directory, {
    disk: disk.mount({
      through: (work) => {
        if (!isKilled()) work()
      }
    }),
    metaDir,
    losesPower: true,
    durableWrites: true,
    segmentBytes: 2000,
    timers: hasty,
    said
  })

/** A durable transaction for one shape, and the processes that took over after that and were killed before their epochs were durable. */
const killedInARow = async (metaDir: string) => {
  const disk = new FaultyDisk([metaDir])
  const first = engineOn(disk, metaDir)
  await first.takeOver()
  const shape = createShape(first, "a")
  writeTransaction(first, 100n, [{ op: 0, ids: [shape.id] }])
  assert.isTrue(await first.settled())
  await first.close()
  const fault = disk.fail({ operation: "sync", path: /epochs\/|journal\// })
  const epochs = [2, 3, 4]
  for (const epoch of epochs) {
    let isKilled = false
    const next = engineOn(disk, metaDir, { isKilled: () => isKilled })
    await next.takeOver()
    const segment = segmentFile(next.paths, epoch, next.writer?.segment ?? 0)
    await eventually("its segment", () => (disk.contentOf(segment, "seen")?.length ?? 0) > 100)
    isKilled = true
  }
  fault.end()
  return { disk, shape, epochs }
}

const fates = ["kept", "empty", "gone"] as const

describe("epochs that nobody has made durable", () => {
  it("may be lost with the power, each in its own way: nothing durable is lost with them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...fates), { minLength: 3, maxLength: 3 }), async (lost) => {
        const metaDir = temporaryDirectory()
        const { disk, epochs, shape } = await killedInARow(metaDir)
        const next = engineOn(disk, metaDir)
        for (const [i, fate] of lost.entries()) {
          const path = epochFile(next.paths, epochs[i] ?? 0)
          if (fate === "empty") await writeWhole(next.paths.disk, path, "")
          else if (fate === "gone") await next.paths.disk.remove(path)
        }
        await next.takeOver()
        assert.isTrue(await next.settled())
        assert.strictEqual(next.store.lastCommitLsn, 100n)
        assert.deepStrictEqual(changes(await readAll(next, shape, snapshotEnd)), ["100_0!"])
        await next.close()
      }),
      { numRuns: 12 }
    )
  })
})

describe("a journal that does not lead from the checkpoint to its end", () => {
  it("is gone on with all the same; its shapes are dropped, and that is said", async () => {
    const metaDir = temporaryDirectory()
    const disk = new FaultyDisk([metaDir])
    const first = engineOn(disk, metaDir)
    await first.takeOver()
    const shape = createShape(first, "a")
    for (let lsn = 100n; lsn < 2000n; lsn += 100n)
      writeTransaction(first, lsn, [{ op: 0, ids: [shape.id], padding: 300 }])
    assert.isTrue(await first.settled())
    await Effect.runPromise(Effect.scoped(maintenanceOf(first).round()))
    assert.isAbove(first.oldestSegment, 1)
    await first.close()
    const next = engineOn(disk, metaDir)
    await next.takeOver()
    assert.isTrue(await next.settled())
    const ruined = [epochFile(next.paths, 2), segmentFile(next.paths, 2, next.writer?.segment ?? 0)]
    await next.close()
    const third = engineOn(disk, metaDir)
    await third.takeOver()
    assert.isTrue(await third.settled())
    await third.close()
    // Neither tells of the epoch any more.
    for (const path of ruined) await writeWhole(third.paths.disk, path, "")
    const said: Array<string> = []
    const last = engineOn(disk, metaDir, { said })
    await last.takeOver()
    assert.isTrue(await last.settled())
    assert.isUndefined(last.store.byHandle(shape.handle))
    assert.match(said.join("\n"), /does not lead from segment .* It is read without the checkpoint/)
    await last.close()
  })
})

const at = (epoch: number, segment: number) => ({ epoch, segment })
const record = (epoch: number, before?: readonly [epoch: number, segment: number]): EpochRecord => ({
  epoch,
  previous: before === undefined ? null : { epoch: before[0], segment: before[1], position: 9 }
})

describe("where reading begins without a checkpoint", () => {
  const epochs = [record(1), record(2, [1, 3]), record(4, [2, 5])]

  for (const [what, segments, records, expected] of [
    ["nothing is there", [], epochs, undefined],
    ["all is there", [at(2, 4), at(1, 1), at(1, 2), at(4, 6)], epochs, at(1, 1)],
    ["the oldest are gone", [at(1, 3), at(2, 4), at(4, 6)], epochs, at(1, 3)],
    ["the oldest was begun when its epoch was over", [at(1, 4), at(2, 4), at(4, 6)], epochs, at(2, 4)],
    ["the oldest is of an epoch that does not count", [at(3, 5), at(4, 6)], epochs, at(4, 6)],
    [
      "an epoch on the way is unknown",
      [at(1, 3), at(2, 4), at(4, 6)],
      [record(1), record(4, [2, 5])],
      at(2, 4)
    ],
    ["the first epoch is unknown", [at(1, 1), at(2, 4)], [record(2, [1, 3])], at(1, 1)],
    ["no epoch is known", [at(3, 5), at(2, 9)], [], at(2, 9)],
    ["nothing is left of what is known", [at(7, 8)], epochs, at(7, 8)]
  ] as const)
    it(`where ${what}`, () => assert.deepStrictEqual(firstThatCounts(segments, records), expected))
})
