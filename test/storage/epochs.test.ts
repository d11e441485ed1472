import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import {
  claimEpoch,
  type EpochRecord,
  highestClaim,
  publishEpoch,
  readEpochs,
  removeEpochsBefore,
  successor,
  withdrawClaim
} from "../../src/storage/journal/Epochs.ts"
import { secureEpoch } from "../../src/storage/journal/SecureEpoch.ts"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import {
  createLayout,
  epochFile,
  segmentFile,
  storagePaths,
  type StoragePaths
} from "../../src/storage/disk/StorageDir.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { changes, createShape, openEngine, readAll, temporaryDirectory, writeTransaction } from "./support.ts"

const place = async (): Promise<StoragePaths> => {
  const directory = temporaryDirectory()
  const paths = storagePaths(directory, "default")
  await createLayout(paths)
  return paths
}

const endOf = (epoch: number, segment: number, position: number) => ({ epoch, segment, position })

describe("epochs", () => {
  it("gives every claimant a number of its own, above all that were given", async () => {
    const paths = await place()
    assert.strictEqual(await highestClaim(paths), 0)
    const claims = await Promise.all(Array.from({ length: 12 }, () => claimEpoch(paths)))
    assert.deepStrictEqual(
      claims.toSorted((a, b) => a - b),
      Array.from({ length: 12 }, (_, i) => i + 1)
    )
    assert.strictEqual(await highestClaim(paths), 12)
    assert.strictEqual(await claimEpoch(paths), 13)
  })

  it("a claim that was taken back is as if it had never been; a published one stays", async () => {
    const paths = await place()
    const first = await claimEpoch(paths)
    await publishEpoch(paths, { epoch: first, previous: null })
    const second = await claimEpoch(paths)
    await withdrawClaim(paths, second)
    await withdrawClaim(paths, second)
    assert.strictEqual(await highestClaim(paths), first)
    assert.deepStrictEqual(await readEpochs(paths, 0), [{ epoch: first, previous: null }])
  })

  it("is read by those who are behind, in order, and costs the others a look", async () => {
    const paths = await place()
    const records: ReadonlyArray<EpochRecord> = [
      { epoch: 1, previous: null },
      { epoch: 2, previous: endOf(1, 3, 100) },
      { epoch: 4, previous: endOf(2, 5, 7) }
    ]
    for (const record of records) await publishEpoch(paths, record)
    writeFileSync(`${paths.epochs}/00000009.tmp`, "half of an ep")
    assert.deepStrictEqual(await readEpochs(paths, 0), records)
    assert.deepStrictEqual(await readEpochs(paths, 2), records.slice(1))
    assert.deepStrictEqual(await readEpochs(paths, 4), [])
    await removeEpochsBefore(paths, 2)
    assert.deepStrictEqual(await readEpochs(paths, 0), records.slice(1))
  })

  it("is made durable together with those before it that nobody has made durable", async () => {
    const paths = await place()
    const marked = () =>
      readdirSync(paths.epochs)
        .filter((name) => name.endsWith(".claim") && readFileSync(`${paths.epochs}/${name}`, "utf8") !== "")
        .toSorted()
    const records: Array<EpochRecord> = []
    for (let i = 1; i <= 4; i++) {
      const epoch = await claimEpoch(paths)
      const record = { epoch, previous: i === 1 ? null : endOf(epoch - 1, i - 1, 10) }
      records.push(record)
      await publishEpoch(paths, record)
      if (i === 2 || i === 4) await secureEpoch(paths, record)
      if (i === 2) assert.deepStrictEqual(marked(), ["00000001.claim", "00000002.claim"])
      // Nobody needs the oldest any more.
      if (i === 3) await removeEpochsBefore(paths, 2)
    }
    assert.deepStrictEqual(marked(), ["00000002.claim", "00000003.claim", "00000004.claim"])
    assert.deepStrictEqual(await readEpochs(paths, 0), records.slice(1))
  })

  it("is never claimed twice, even if a crash of the system has left nothing of it but its journal", async () => {
    const paths = await place()
    writeFileSync(segmentFile(paths, 7, 3), "")
    assert.strictEqual(await claimEpoch(paths), 8)
  })

  it("leads every epoch of the chain to the next one, and tells the others that they are lost", () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }),
        fc.nat(11),
        (published, removed) => {
          // Epochs in a row; some were claimed and fenced off before they were published.
          const records: Array<EpochRecord> = []
          for (const [i, isPublished] of published.entries()) {
            if (!isPublished) continue
            const before = records.at(-1)
            records.push({
              epoch: i + 1,
              previous: before === undefined ? null : endOf(before.epoch, i, i * 10)
            })
          }
          for (const [i, record] of records.entries()) {
            const next = records[i + 1]
            assert.deepStrictEqual(successor(records, record.epoch), next)
            // What is older may have been removed.
            const rest = records.slice(Math.min(removed, i))
            assert.deepStrictEqual(successor(rest, record.epoch), next)
          }
          const last = records.at(-1)?.epoch ?? 0
          for (let epoch = 1; epoch <= published.length; epoch++) {
            if (published[epoch - 1] === true) continue
            assert.strictEqual(successor(records, epoch), epoch > last ? undefined : "lost")
          }
          if (records.length > 0) assert.deepStrictEqual(successor(records, 0), records[0])
        }
      )
    )
  })
})

const open = async (directory: string): Promise<StorageEngine> => {
  const engine = await openEngine(directory)
  engine.follow()
  return engine
}

describe("taking over", () => {
  it("is not even tried without the lock", async () => {
    const directory = temporaryDirectory()
    const engine = await open(directory)
    assert.isUndefined(await engine.takeOver(() => Promise.resolve(false)))
    assert.deepStrictEqual(readdirSync(directory), [])
    assert.isUndefined(engine.writer)
  })

  it("is given up when the lock is lost before it is done; the writer before is not disturbed", async () => {
    const directory = temporaryDirectory()
    const active = await open(directory)
    await active.takeOver()
    const shape = createShape(active, "a")
    assert.isTrue(await active.settled())
    const late = await open(directory)
    const answers = [true, false]
    assert.isUndefined(
      await late.takeOver(() => Promise.resolve(answers.shift() ?? assert.fail("asked again")))
    )
    assert.isTrue(await active.settled(), "it was fenced off")
    writeTransaction(active, 100n, [{ op: 0, ids: [shape.id] }])
    assert.isTrue(await active.settled())
    await late.catchUp()
    assert.strictEqual(late.store.lastCommitLsn, 100n, "it follows no more")
    const next = await late.takeOver()
    assert.isDefined(next)
    assert.isFalse(await active.settled())
  })

  it("goes by the journal where the file of an epoch is damaged", async () => {
    const directory = temporaryDirectory()
    const first = await open(directory)
    await first.takeOver()
    const shape = createShape(first, "a")
    writeTransaction(first, 100n, [{ op: 0, ids: [shape.id] }])
    await first.release(1000)
    await first.close()
    const second = await open(directory)
    await second.takeOver()
    writeTransaction(second, 200n, [{ op: 0, ids: [shape.id] }])
    await second.writer?.durable()
    await second.close()
    const path = epochFile(second.paths, 2)
    const sound = readFileSync(path)
    for (let at = 0; at < sound.length; at += 3) {
      const bytes = Buffer.from(sound)
      bytes[at] = (bytes[at] ?? 0) ^ 0x01
      writeFileSync(path, bytes)
      const third = await open(directory)
      assert.deepStrictEqual(
        changes(await readAll(third, shape, snapshotEnd)),
        ["100_0!", "200_0!"],
        `byte ${at}`
      )
      await third.close()
    }
    const third = await open(directory)
    await third.takeOver()
    assert.strictEqual(third.writer?.epoch, 3)
    assert.deepStrictEqual(changes(await readAll(third, shape, snapshotEnd)), ["100_0!", "200_0!"])
  })

  it("that fails leaves a follower that can try again", async () => {
    const directory = temporaryDirectory()
    const engine = await open(directory)
    // Where the journal should be is something else.
    mkdirSync(engine.paths.root, { recursive: true })
    writeFileSync(engine.paths.journal, "")
    const failed = await engine.takeOver().then(
      () => "done",
      () => "failed"
    )
    assert.strictEqual(failed, "failed")
    assert.isUndefined(engine.writer)
    rmSync(engine.paths.journal)
    assert.isDefined(await engine.takeOver())
  })
})
