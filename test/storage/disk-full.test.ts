import { assert, it } from "@effect/vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../testing/Eventually.ts"
import { patient } from "../../testing/Load.ts"
import { changes, createShape, engineAt, hasty, readAll, writeTransaction } from "./support.ts"

it("a full disk holds up what is durable, and nothing else; what was written meanwhile is not lost", async () => {
  const disk = new FaultyDisk()
  const warnings: Array<string> = []
  const open = async () => {
    const engine = engineAt(FaultyDisk.directory, {
      disk: disk.mount(),
      durableWrites: true,
      segmentBytes: 1 << 20,
      timers: hasty,
      said: warnings
    })
    await engine.load()
    return engine
  }
  const engine = await open()
  const follower = await open()
  try {
    await engine.takeOver()
    follower.follow()
    const shape = createShape(engine, "a")
    const write = (t: number) =>
      writeTransaction(engine, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 3000 }])
    write(1)
    assert.isTrue(await engine.writer?.durable())
    let acknowledgeable = engine.writer?.durableMarker ?? 0
    engine.listeners.durable.subscribe((marker) => (acknowledgeable = marker))

    disk.isFull = true
    for (let t = 2; t <= 20; t++) write(t)
    const marker = engine.writer?.marker ?? 0
    const durable = engine.writer?.durable()
    await eventually("the disk is seen to be full", () => engine.writer?.isFailing)
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.isBelow(acknowledgeable, marker)
    assert.isBelow(engine.writer?.durableMarker ?? 0, marker)
    // Its own readers go on; those of the follower have what is durable, in whole transactions.
    assert.strictEqual(changes(await readAll(engine, shape, snapshotEnd)).length, 20)
    const seen = changes(await readAll(follower, shape, snapshotEnd))
    assert.deepStrictEqual(
      seen,
      Array.from({ length: seen.length }, (_, i) => `${(i + 1) * 100}_0!`)
    )

    disk.isFull = false
    assert.isTrue(await durable)
    assert.isFalse(engine.writer?.isFailing)
    assert.strictEqual(acknowledgeable, marker)
    write(21)
    await eventually("the follower has all of it", () => follower.store.lastCommitLsn === 2100n)
    assert.strictEqual(changes(await readAll(follower, shape, snapshotEnd)).length, 21)

    disk.isFull = true
    for (let t = 22; t <= 40; t++) write(t)
    await eventually("the disk is seen to be full", () => engine.writer?.isFailing)
    const began = performance.now()
    await engine.release(500)
    assert.isBelow(performance.now() - began, patient(5000))
    disk.isFull = false
    // What was not durable comes again from Postgres, to the next writer.
    await follower.takeOver()
    const left = changes(await readAll(follower, shape, snapshotEnd)).length
    assert.isBelow(left, 40)
    assert.isAtLeast(left, 21)
    for (let t = left + 1; t <= 40; t++)
      writeTransaction(follower, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 3000 }])
    assert.isTrue(await follower.writer?.durable())
    // Until it has read what counts it has what it wrote itself.
    await eventually(
      "the old one follows",
      () => engine.at.epoch === follower.at.epoch && engine.store.lastCommitLsn === 4000n
    )
    const whole = Array.from({ length: 40 }, (_, i) => `${(i + 1) * 100}_0!`)
    for (const each of [engine, follower])
      assert.deepStrictEqual(changes(await readAll(each, shape, snapshotEnd)), whole)
    assert.match(warnings[0] ?? "", /cannot write journal segment 1.*ENOSPC.*retrying/)
  } finally {
    disk.isFull = false
    await engine.close().catch(() => {})
    await follower.close().catch(() => {})
  }
})
