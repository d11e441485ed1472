import { assert, describe, it } from "@effect/vitest"
import { readdirSync } from "node:fs"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { onTestFinished } from "vitest"
import { BucketFault } from "../../../src/bucket/BucketFault.ts"
import { snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { walKey } from "../../../src/storage/chain/ChainObject.ts"
import { parseSegmentFile } from "../../../src/storage/disk/StorageDir.ts"
import { Mirror } from "../../../src/storage/mirror/Mirror.ts"
import type { MirrorContext } from "../../../src/storage/mirror/MirrorContext.ts"
import { afterFailure } from "../../../src/storage/mirror/MirrorPace.ts"
import { restore } from "../../../src/storage/mirror/Restore.ts"
import type { ShapeHandle } from "../../../src/storage/ShapeLogs.ts"
import { type Waiter, Waiters } from "../../../src/storage/state/Waiters.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { currentTimers, systemTimers, type Timers } from "../../../src/shared/Timers.ts"
import { MemoryStore } from "../../../testing/bucket/MemoryStore.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { changes, createShape, readAll } from "../support.ts"
import {
  begin,
  checkpoint,
  contextAt,
  copyShapes,
  DirectoryShipper,
  engineOn,
  numbered,
  scopeOfTest,
  write
} from "./support.ts"

/** A second takes 20 milliseconds, by all clocks. */
const fast: Timers = {
  ...systemTimers,
  nowMillis: () => systemTimers.nowMillis() * 50,
  after: (millis, work) => systemTimers.after(millis / 50, work)
}

interface Mirrored {
  readonly context: MirrorContext
  readonly mirror: Mirror
  readonly engine: StorageEngine
}

/** An instance that does not write, with an engine that follows what it brings. Nothing goes on by itself yet. */
const mirrorOf = async (
  store: MemoryStore,
  options: {
    readonly timers?: Timers
    readonly said?: Array<string>
    readonly removalDelayMillis?: number
  } = {}
): Promise<Mirrored> => {
  const { timers = systemTimers } = options
  const context = await contextAt(store, options)
  await restore(context)
  const engine = engineOn(context.paths, timers)
  await engine.load()
  engine.follow()
  const mirror = new Mirror({
    ...context,
    waiters: engine.waiters,
    onApplied: () => engine.lookNow(),
    removalDelayMillis: options.removalDelayMillis ?? 0
  })
  onTestFinished(() => mirror.close())
  return { context, mirror, engine }
}

const running = (mirror: Mirror): void => {
  const fiber = Effect.runFork(mirror.run)
  onTestFinished(() => Effect.runPromise(Fiber.interrupt(fiber)))
}

const logOf = async (engine: StorageEngine, shape: ShapeHandle): Promise<ReadonlyArray<string>> =>
  changes(await readAll(engine, shape, snapshotEnd))

/** Completes when the follower shows all transactions up to the last one. */
const shows = ({ engine }: Mirrored, shape: ShapeHandle, last: number): Promise<unknown> =>
  eventually(`transaction ${last}`, async () => (await logOf(engine, shape)).length === last)

/** A bucket whose answers are counted, and that can be out of reach. */
class WatchedStore extends MemoryStore {
  asked = 0
  isOut = false

  override get(...asked: Parameters<MemoryStore["get"]>): Promise<Buffer | undefined> {
    this.asked++
    if (!this.isOut) return super.get(...asked)
    const fault = { operation: "read", object: asked[0], kind: "unreachable", said: "ECONNREFUSED" } as const
    return Promise.reject(new BucketFault(fault))
  }
}

describe("a mirror", () => {
  it("shows what is in the bucket when it has caught up, and by itself to who waits", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    const mirrored = await mirrorOf(store)
    await write(engine, [shape.id], 1, 5)
    await shipper.ship(300)
    await Promise.all([mirrored.mirror.catchUp(), mirrored.mirror.catchUp()])
    await mirrored.engine.catchUp()
    assert.deepStrictEqual(await logOf(mirrored.engine, shape), numbered(1, 5))
    running(mirrored.mirror)
    const waiter: Waiter = { resume: () => {}, set: undefined, slot: 0 }
    mirrored.engine.waiters.add(waiter, new Set(), 60_000)
    await write(engine, [shape.id], 6, 30)
    await shipper.ship(300)
    await shows(mirrored, shape, 30)
    mirrored.engine.waiters.forget(waiter)
  })

  it("takes what the writer shows before it is in the chain, and does not ask for it again", async () => {
    const watched = new WatchedStore()
    const { engine, shipper } = await begin(watched)
    const shape = createShape(engine, "a")
    await engine.writer?.durable()
    await shipper.ship()
    const mirrored = await mirrorOf(watched)
    const { context, mirror } = mirrored
    const from = mirror.target()
    assert.deepStrictEqual(from, { url: "http://writer", ...mirror.end })
    await write(engine, [shape.id], 1, 3)
    // What has been written since, as the writer would send it.
    for (const range of await shipper.unshipped(mirror.end))
      assert.isTrue(await mirror.applyBytes(range.epoch, range.segment, range.position, range.bytes))
    await mirrored.engine.catchUp()
    assert.deepStrictEqual(await logOf(mirrored.engine, shape), numbered(1, 3))
    const before = shipper.chain.place
    await shipper.ship()
    const { crc, end, next } = shipper.chain.place
    assert.strictEqual(next, before.next + 1)
    const asked = watched.asked
    mirror.created(end.epoch, { n: before.next, previousCrc: before.crc, crc, end, holdsMore: false })
    assert.strictEqual(context.chain.place.next, next)
    assert.strictEqual(watched.asked, asked, "nothing was fetched")
    assert.strictEqual(context.objects.count, next)
    // One whose bytes have not come is read.
    await write(engine, [shape.id], 4, 6)
    await shipper.ship()
    const { place } = shipper.chain
    running(mirror)
    await eventually("the first look", () => watched.asked > asked)
    mirror.created(1, { n: next, previousCrc: crc, crc: place.crc, end: place.end, holdsMore: false })
    await shows(mirrored, shape, 6)
  })

  it("leaves its directory alone while this process writes, and goes on behind that", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    await write(engine, [shape.id], 1, 5)
    await shipper.ship()
    const mirrored = await mirrorOf(store)
    const { mirror } = mirrored
    running(mirror)
    await mirror.pause()
    assert.isUndefined(mirror.target())
    await write(engine, [shape.id], 6, 9)
    await shipper.ship()
    mirror.lookSoon()
    assert.isFalse(await mirror.applyBytes(1, 1, 0, Buffer.from("x")))
    mirror.isAlive(false)
    const { end } = mirror
    // A writer that is about to take over reads all the same.
    await mirror.catchUp()
    assert.notDeepEqual(mirror.end, end)
    await mirror.resume()
    await write(engine, [shape.id], 10, 12)
    await shipper.ship()
    mirror.lookSoon()
    await shows(mirrored, shape, 12)
  })

  it("goes on where it has written itself, and after it, turn by turn", async () => {
    const store = new MemoryStore()
    const instances = [
      await mirrorOf(store, { timers: fast }),
      await mirrorOf(store, { timers: fast })
    ] as const
    for (const { mirror } of instances) running(mirror)
    let shape: ShapeHandle | undefined
    let written = 0
    for (let turn = 0; turn < 6; turn++) {
      const [writer, other] = turn % 2 === 0 ? instances : [instances[1], instances[0]]
      const { context, engine, mirror } = writer
      await mirror.catchUp()
      await mirror.pause()
      await engine.takeOver()
      shape ??= createShape(engine, "a")
      const shipper = new DirectoryShipper(store, context.paths, context)
      const scope = Scope.makeUnsafe()
      for (let round = 0; round < 2; round++) {
        await write(engine, [shape.id], written + 1, written + 15)
        written += 15
        const key = await checkpoint(store, engine, shipper, scope)
        // Not each of them is announced, so its writer may be ahead of it.
        copyShapes(context.paths, other.context.paths)
        if (round === 0) await shipper.append({ epoch: engine.at.epoch, ranges: [], checkpoint: key })
      }
      await shows(writer, shape, written)
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await engine.release(1000)
      await shipper.ship()
      await mirror.resume()
      other.mirror.lookSoon()
      await shows(other, shape, written)
      // Whatever is in place here by now: it is enough to start from.
      for (const { paths } of [context, other.context]) {
        const worker = engineOn(paths, fast)
        await worker.load()
        assert.deepStrictEqual(await logOf(worker, shape), numbered(1, written), `turn ${turn}`)
        await worker.close()
      }
    }
    const third = await contextAt(store)
    copyShapes(instances[0].context.paths, third.paths)
    copyShapes(instances[1].context.paths, third.paths)
    await restore(third)
    const engine = engineOn(third.paths)
    await engine.load()
    assert.deepStrictEqual(shape && (await logOf(engine, shape)), numbered(1, written))
  })

  it("puts a checkpoint in place of its own while others load storage, and removes what came before, later", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    await write(engine, [shape.id], 1, 10)
    await shipper.ship(300)
    const mirrored = await mirrorOf(store, { timers: fast, removalDelayMillis: 30_000 })
    const { context, mirror } = mirrored
    running(mirror)
    const scope = scopeOfTest()
    const loads = { isOver: false, count: 0 }
    // As HTTP workers may, at any moment.
    const loading = (async () => {
      while (!loads.isOver) {
        const worker = engineOn(context.paths, fast)
        await worker.load()
        const log = await logOf(worker, shape)
        assert.deepStrictEqual(log, numbered(1, log.length))
        assert.isAtLeast(log.length, 10)
        await worker.close()
        loads.count++
      }
    })()
    let written = 10
    for (let round = 0; round < 4; round++) {
      await write(engine, [shape.id], written + 1, written + 20)
      written += 20
      const key = await checkpoint(store, engine, shipper, scope, () =>
        copyShapes(engine.paths, context.paths)
      )
      await shipper.append({ epoch: 1, ranges: [], checkpoint: key })
      mirror.lookSoon()
      await shows(mirrored, shape, written)
      const had = loads.count
      await eventually("a load", () => loads.count > had + 1)
    }
    const segments = () =>
      readdirSync(context.paths.journal).map((name) => parseSegmentFile(name)?.segment ?? -1)
    await eventually("what is superfluous is removed", () => Math.min(...segments()) === engine.oldestSegment)
    loads.isOver = true
    await loading
    assert.deepStrictEqual(await logOf(mirrored.engine, shape), numbered(1, written))
    assert.deepStrictEqual(
      readdirSync(context.paths.root).filter((name) => name.endsWith(".tmp")),
      []
    )
  })

  it("loads storage anew when what comes next was collected, and so does everybody who reads there", async () => {
    const { engine, shipper, store } = await begin()
    const shape = createShape(engine, "a")
    await write(engine, [shape.id], 1, 10)
    await shipper.ship(300)
    const said: Array<string> = []
    const mirrored = await mirrorOf(store, { timers: fast, said })
    const worker = engineOn(mirrored.context.paths, fast)
    await worker.load()
    worker.follow()
    await write(engine, [shape.id], 11, 60)
    const key = await checkpoint(store, engine, shipper, scopeOfTest())
    copyShapes(engine.paths, mirrored.context.paths)
    await store.remove(Array.from({ length: Number(key.slice(-20)) }, (_, n) => walKey(n)))
    await write(engine, [shape.id], 61, 70)
    await shipper.ship(300)
    // Longer than nothing can have been collected behind the end that was seen.
    const later = { ...fast, nowMillis: () => fast.nowMillis() + 3_600_000 }
    Object.assign(mirrored.context.chain, { timers: later })
    await mirrored.mirror.catchUp()
    await shows(mirrored, shape, 70)
    await shows({ ...mirrored, engine: worker }, shape, 70)
    assert.lengthOf(said, 1)
    assert.include(said[0], "was collected")
    assert.isFalse(mirrored.engine.store.byHandle(shape.handle)?.dropped)
  })

  const cadence = Effect.gen(function* () {
    const timers = yield* currentTimers
    const store = new WatchedStore()
    const said: Array<string> = []
    const context = yield* Effect.promise(() => contextAt(store, { timers, said }))
    const waiters = new Waiters()
    const mirror = new Mirror({ ...context, waiters, onApplied: () => {}, removalDelayMillis: 0 })
    yield* Effect.forkScoped(mirror.run)
    /** What a look asks is done in some turns of the event loop. */
    const settled = Effect.promise(async () => {
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    })
    const looksIn = (millis: number, step: number) =>
      Effect.gen(function* () {
        yield* settled
        const before = store.asked
        for (let passed = 0; passed < millis; passed += step) {
          yield* TestClock.adjust(step)
          yield* settled
        }
        return store.asked - before
      })
    return { mirror, waiters, store, said, looksIn }
  })

  it.effect(
    "looks at the chain every 5 s, and every 250 ms while clients wait and the writer cannot be heard",
    () =>
      Effect.gen(function* () {
        const { looksIn, mirror, waiters } = yield* cadence
        assert.strictEqual(yield* looksIn(60_000, 250), 12)
        const waiter: Waiter = { resume: () => {}, set: undefined, slot: 0 }
        waiters.add(waiter, new Set(), 600_000)
        assert.approximately(yield* looksIn(10_000, 250), 40, 1)
        mirror.isAlive(true)
        assert.approximately(yield* looksIn(60_000, 250), 12, 1)
        mirror.isAlive(false)
        // Its successor is to be found soon.
        assert.approximately(yield* looksIn(3_000, 50), 60, 1)
        assert.approximately(yield* looksIn(10_000, 250), 40, 1)
        waiters.forget(waiter)
        assert.approximately(yield* looksIn(60_000, 250), 12, 1)
      })
  )

  it.effect("asks a bucket that does not answer less and less often, and goes on", () =>
    Effect.gen(function* () {
      const { looksIn, mirror, said, store } = yield* cadence
      store.isOut = true
      assert.isAtLeast(yield* looksIn(60_000, 250), 6)
      assert.isAtMost(yield* looksIn(300_000, 250), 11)
      assert.include(
        String(yield* Effect.promise(() => mirror.catchUp().catch(String))),
        "BATON_BUCKET_ENDPOINT"
      )
      store.isOut = false
      assert.isAtLeast(yield* looksIn(60_000, 250), 6)
      // Who watches the bucket does.
      assert.deepStrictEqual(said, [])
    })
  )

  it("waits longer after each failure, up to half a minute", () => {
    assert.deepStrictEqual([0, 1, 2, 5, 6, 1000].map(afterFailure), [500, 1000, 2000, 16_000, 30_000, 30_000])
  })
})
