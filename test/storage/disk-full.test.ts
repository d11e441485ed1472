import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { vi } from "vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { eventually } from "../../testing/Eventually.ts"
import { changes, createShape, hasty, readAll, temporaryDirectory, writeTransaction } from "./support.ts"
import { patient } from "../../testing/Load.ts"

const fault = vi.hoisted(() => ({ full: false }))

/** For where no file system of our own can be mounted: a write that fails in the middle. */
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>()
  const { promisify } = await import("node:util")
  const write = (...args: Parameters<typeof real.write>) => real.write(...args)
  const writeAt = promisify(real.write)
  const failing = async (fd: number, buffer: Buffer, offset: number, length: number, position: number) => {
    if (!fault.full) return writeAt(fd, buffer, offset, length, position)
    await writeAt(fd, buffer, offset, Math.floor(length / 2), position)
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })
  }
  Object.defineProperty(write, promisify.custom, { value: failing })
  return { ...real, write }
})

interface Disk {
  readonly path: string
  readonly fill: () => void
  readonly free: () => void
  readonly remove: () => void
}

/** A file system of a megabyte where that can be had (root on Linux), otherwise a made-up one. */
const smallDisk = (): Disk => {
  const path = temporaryDirectory()
  const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path]).status === 0
  const filler = join(path, "filler")
  return {
    path,
    fill: () => {
      if (!isMounted) fault.full = true
      else
        for (const size of [100_000, 10_000, 1000]) {
          for (let n = 0; ; n++) {
            try {
              writeFileSync(filler, Buffer.alloc(size), { flag: "a" })
            } catch {
              break
            }
          }
        }
    },
    free: () => {
      fault.full = false
      rmSync(filler, { force: true })
    },
    remove: () => {
      if (isMounted) spawnSync("umount", ["-l", path])
      rmSync(path, { recursive: true, force: true })
    }
  }
}

it("a full disk holds up what is durable, and nothing else; what was written meanwhile is not lost", async () => {
  const disk = smallDisk()
  const warnings: Array<string> = []
  const log = Logger.layer([Logger.make(({ message }) => warnings.push(String(message)))])
  const open = async () => {
    const engine = new StorageEngine({
      paths: storagePaths(disk.path, "default"),
      chunkBytesThreshold: 1 << 20,
      segmentBytes: 1 << 20,
      recentBytes: 1 << 20,
      durableWrites: true,
      removeOnClose: false,
      run: (effect) => void Effect.runPromise(Effect.provide(effect, log)),
      timers: hasty
    })
    await engine.load()
    return engine
  }
  mkdirSync(disk.path, { recursive: true })
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
    engine.hooks.onDurable = (marker) => (acknowledgeable = marker)

    disk.fill()
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

    disk.free()
    assert.isTrue(await durable)
    assert.isFalse(engine.writer?.isFailing)
    assert.strictEqual(acknowledgeable, marker)
    write(21)
    await eventually("the follower has all of it", () => follower.store.lastCommitLsn === 2100n)
    assert.strictEqual(changes(await readAll(follower, shape, snapshotEnd)).length, 21)

    disk.fill()
    for (let t = 22; t <= 40; t++) write(t)
    await eventually("the disk is seen to be full", () => engine.writer?.isFailing)
    const began = performance.now()
    await engine.release(500)
    assert.isBelow(performance.now() - began, patient(5000))
    disk.free()
    // What was not durable comes again from Postgres, to whoever is next.
    await follower.takeOver()
    const left = changes(await readAll(follower, shape, snapshotEnd)).length
    assert.isBelow(left, 40)
    assert.isAtLeast(left, 21)
    for (let t = left + 1; t <= 40; t++)
      writeTransaction(follower, BigInt(t * 100), [{ op: 0, ids: [shape.id], padding: 3000 }])
    assert.isTrue(await follower.writer?.durable())
    await eventually("the old one follows", () => engine.store.lastCommitLsn === 4000n)
    const whole = Array.from({ length: 40 }, (_, i) => `${(i + 1) * 100}_0!`)
    for (const each of [engine, follower])
      assert.deepStrictEqual(changes(await readAll(each, shape, snapshotEnd)), whole)
    assert.match(warnings[0] ?? "", /cannot write journal segment 1.*ENOSPC.*retrying/)
  } finally {
    disk.free()
    await engine.close().catch(() => {})
    await follower.close().catch(() => {})
    disk.remove()
  }
})
