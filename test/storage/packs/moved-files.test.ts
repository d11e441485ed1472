import { existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { onTestFinished } from "vitest"
import { piecesOf } from "../../../testing/readers/Pieces.ts"
import { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"
import { beforeAll as beforeAllOffset, snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { extentBytes } from "../../../src/storage/packs/Extents.ts"
import { makeShapeLogs } from "../../../src/storage/ShapeLogsLive.ts"
import { type ShapeHandle, ShapeReadError } from "../../../src/storage/ShapeLogs.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import {
  changes,
  createShape,
  type EngineSettings,
  hasty,
  maintenanceOf,
  openEngine,
  type ReadAll,
  readAll,
  temporaryDirectory,
  writingEngine
} from "../support.ts"
import { filesOf, shapeWithChunks, TroubledStore, wipeShapes, writeChanges } from "./support.ts"

const settings: EngineSettings = { segmentBytes: 1000, chunkBytesThreshold: 3000, timers: hasty }

const roundsOf = (engine: StorageEngine): (() => Promise<void>) => {
  const scope = Scope.makeUnsafe()
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const work = maintenanceOf(engine)
  return () => Effect.runPromise(Scope.provide(work.round(), scope))
}

const numbered = (from: number, to: number, op = 0): ReadonlyArray<string> =>
  Array.from({ length: to - from + 1 }, (_, i) => `${(from + i) * 100}_${op}`)

const flip = (path: string): void => {
  const bytes = readFileSync(path)
  bytes[3] = (bytes[3] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

/** What a client gets for the first rows, or how it fails. */
const firstRows = (engine: StorageEngine, shape: ShapeHandle): Promise<string> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const read = yield* makeShapeLogs(engine).read(shape, beforeAllOffset)
      if (read._tag !== "Slice") return read._tag
      const { body } = read
      if (body instanceof Uint8Array) return Buffer.from(body).toString()
      return yield* Effect.tryPromise({
        try: async () => Buffer.concat(await piecesOf(body())).toString(),
        catch: (cause) => (cause instanceof ShapeReadError ? cause : new Error(String(cause)))
      })
    }).pipe(Effect.catch((error) => Effect.succeed(`cut: ${error.message}`)))
  )

const log = async (engine: StorageEngine, shape: ShapeHandle): Promise<ReadonlyArray<string>> =>
  changes(await readAll(engine, shape, snapshotEnd)).map((text) => text.replace("!", ""))

describe("files of shapes beside a bucket", () => {
  it("are in packs when a move is over, and come back from there, byte for byte", async () => {
    const bucket = new TroubledStore()
    const directory = temporaryDirectory()
    const engine = await writingEngine(directory, { ...settings, bucket })
    const shapes = [createShape(engine, "a"), createShape(engine, "b")]
    const round = roundsOf(engine)
    await writeChanges(engine, shapes, 1, 60)
    await round()
    const before = filesOf(engine)
    assert.isAbove(before.size, 5)
    assert.isAbove((await bucket.keys("packs/")).length, 0)
    wipeShapes(engine)
    for (const [op, shape] of shapes.entries()) {
      assert.deepStrictEqual(await log(engine, shape), numbered(1, 60, op))
      assert.include(await firstRows(engine, shape), "snapshot-end")
    }
    assert.deepStrictEqual([...filesOf(engine).keys()], [...before.keys()])
    assert.deepStrictEqual(filesOf(engine), before)
    // An instance that has nothing but the rest of storage.
    wipeShapes(engine)
    const other = await openEngine(directory, { ...settings, bucket })
    for (const [op, shape] of shapes.entries())
      assert.deepStrictEqual(await log(other, shape), numbered(1, 60, op))
    assert.isAtMost(filesOf(other).size, before.size)
  })

  it("grow in few extents, whatever of them is there when they do", async () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    const bucket = new TroubledStore()
    const engine = await writingEngine(undefined, { ...settings, chunkBytesThreshold: 1e9, bucket })
    const shape = createShape(engine, "a")
    const round = roundsOf(engine)
    let t = 0
    for (let move = 0; move < 30; move++) {
      const next = t + random.int(8, 30)
      await writeChanges(engine, [shape], t + 1, next, random.int(20, 300))
      t = next
      const [file] = filesOf(engine).keys()
      const path = join(engine.paths.shapes, file ?? "")
      const fate = file === undefined ? 9 : random.int(0, 9)
      if (fate < 3) wipeShapes(engine)
      else if (fate < 5) truncateSync(path, random.int(0, 100))
      else if (fate < 7) {
        const bytes = readFileSync(path)
        bytes[bytes.length - 1] = 1
        writeFileSync(path, bytes)
      }
      await round()
      if (random.chance(0.3))
        assert.deepStrictEqual(await log(engine, shape), numbered(1, t), `with seed ${seed}`)
    }
    wipeShapes(engine)
    assert.deepStrictEqual(await log(engine, shape), numbered(1, t), `with seed ${seed}`)
    const [file] = engine.store.get(shape.id)?.files ?? []
    assert.strictEqual(extentBytes(file?.extents ?? []), file?.bytes, `with seed ${seed}`)
    assert.isAtMost(file?.extents?.length ?? 0, 20, `with seed ${seed}`)
  })

  it("wait in the journal while the bucket does not take them", async () => {
    const bucket = new TroubledStore()
    const engine = await writingEngine(undefined, { ...settings, bucket })
    const shape = createShape(engine, "a")
    const round = roundsOf(engine)
    await writeChanges(engine, [shape], 1, 30)
    bucket.away = "unreachable"
    await round()
    assert.strictEqual(engine.store.movedSegment, 0)
    assert.isAbove(bucket.calls.length, 1, "it is asked again")
    assert.deepStrictEqual(await log(engine, shape), numbered(1, 30))
    bucket.away = "denied"
    bucket.calls.length = 0
    await round()
    assert.strictEqual(bucket.calls.length, 1, "what does not pass is not asked again at once")
    bucket.away = undefined
    bucket.unanswered = 2
    await round()
    assert.isAbove(engine.store.movedSegment, 0)
    wipeShapes(engine)
    assert.deepStrictEqual(await log(engine, shape), numbered(1, 30))
  })

  it("need no room on the disk: a full one fails who reads what is not there, and no more", async () => {
    const bucket = new TroubledStore()
    const metaDir = temporaryDirectory()
    const disk = new FaultyDisk([metaDir])
    const engine = await writingEngine(FaultyDisk.directory, {
      ...settings,
      bucket,
      disk: disk.mount(),
      metaDir
    })
    const shape = createShape(engine, "a")
    const round = roundsOf(engine)
    await writeChanges(engine, [shape], 1, 30)
    await round()
    const full = disk.fail({ operation: "write", path: /shapes/ }, "ENOSPC")
    await writeChanges(engine, [shape], 31, 60)
    await round()
    assert.isAbove(full.hits(), 0)
    assert.isAbove(engine.store.movedSegment, 5, "the bucket has it all the same")
    for (let i = 0; i < 5; i++) {
      const cut = await log(engine, shape).then(
        () => "whole",
        (error: unknown) => String(error)
      )
      assert.match(cut, /cannot write .*\.tmp: ENOSPC \(the disk is full; it goes on once there is room\)/)
    }
    assert.isDefined(engine.live(shape))
    full.end()
    assert.deepStrictEqual(await log(engine, shape), numbered(1, 60))
  })

  it("are fetched when the copy is wrong, and the shape goes only when the bucket's is wrong, too", async () => {
    const bucket = new TroubledStore()
    const said: Array<string> = []
    const engine = await writingEngine(undefined, { ...settings, bucket, said })
    const shape = createShape(engine, "a")
    const round = roundsOf(engine)
    await writeChanges(engine, [shape], 1, 60)
    await round()
    const damage = (how: (path: string) => void) => {
      for (const file of filesOf(engine).keys()) how(join(engine.paths.shapes, file))
    }
    for (const how of [flip, (path: string) => truncateSync(path, 10)]) {
      damage(how)
      assert.deepStrictEqual(await log(engine, shape), numbered(1, 60))
      assert.include(await firstRows(engine, shape), "snapshot-end")
    }
    damage(flip)
    for (const key of await bucket.keys("packs/")) bucket.spoiled.add(key)
    const fresh = await openEngine(undefined, { ...settings, bucket })
    assert.isUndefined(fresh.store.byHandle(shape.handle))
    await log(engine, shape).catch(() => {})
    await eventually("the shape goes", () => engine.live(shape) === undefined)
    await eventually("it is said", () => said.join("\n").includes("its checksum is wrong in memory://bucket"))
  })

  it("that turn out wrong while they are sent are cut once, and fetched by the next reader", async () => {
    const bucket = new TroubledStore()
    const engine = await writingEngine(undefined, { ...settings, bucket })
    const text = "x".repeat(600_000)
    const shape = await shapeWithChunks(engine, "a", [text])
    const path = join(engine.paths.shapes, shape.handle, "s0")
    assert.strictEqual(await firstRows(engine, shape), text)
    writeFileSync(path, `y${text.slice(1)}`)
    assert.match(await firstRows(engine, shape), /^cut: .*s0 is damaged: its checksum is wrong/)
    await eventually("the copy goes", () => !existsSync(path))
    assert.isDefined(engine.live(shape))
    assert.strictEqual(await firstRows(engine, shape), text)
    // A disk that keeps nothing.
    for (let i = 0; engine.live(shape) !== undefined; i++) {
      assert.isBelow(i, 5)
      writeFileSync(path, `y${text.slice(1)}`)
      await firstRows(engine, shape)
      await eventually("the copy goes", () => !existsSync(path))
      await firstRows(engine, shape)
    }
  })

  it("fail their readers, and no more, while the bucket is away", async () => {
    const bucket = new TroubledStore()
    const engine = await writingEngine(undefined, { ...settings, bucket })
    const shape = createShape(engine, "a")
    const large = await shapeWithChunks(engine, "b", ["z".repeat(600_000), "z"])
    const round = roundsOf(engine)
    await writeChanges(engine, [shape], 1, 60)
    await round()
    wipeShapes(engine)
    for (const kind of ["unreachable", "denied"] as const) {
      bucket.away = kind
      for (let i = 0; i < 5; i++) {
        const cut = await log(engine, shape).then(
          () => "whole",
          (error: unknown) => String(error)
        )
        assert.match(cut, /cannot read packs\/00000001-00000000: the test wants it/)
        const refused = await Effect.runPromise(
          Effect.flip(makeShapeLogs(engine).read(large, beforeAllOffset))
        )
        assert.isTrue(refused.mayPass, "that is a 503, before anything is sent")
        assert.match(await firstRows(engine, large), /^cut: cannot read shapes\/.*\/s0: the test wants it/)
      }
    }
    bucket.away = undefined
    assert.deepStrictEqual(await log(engine, shape), numbered(1, 60))
    assert.strictEqual((await firstRows(engine, large)).length, 600_000)
  })

  it("are missing for good when the rest of the bucket is there, and not when all of it is gone", async () => {
    const bucket = new TroubledStore()
    const engine = await writingEngine(undefined, { ...settings, bucket })
    const shape = await shapeWithChunks(engine, "a", ["z".repeat(600_000)])
    wipeShapes(engine)
    await bucket.remove([`shapes/${shape.handle}/s0`])
    for (let i = 0; i < 5; i++)
      assert.match(await firstRows(engine, shape), /s0: it is missing, and so is everything else/)
    assert.isDefined(engine.live(shape))
    await bucket.create("wal/00000000000000000000", [Buffer.from("x")])
    assert.match(await firstRows(engine, shape), /s0 is missing, or does not have its bytes 0 to 600000/)
    assert.isUndefined(engine.live(shape))
  })

  it("may grow while they are fetched, and readers get what was to be read, without a gap", async () => {
    const bucket = new TroubledStore()
    const engine = await writingEngine(undefined, { ...settings, chunkBytesThreshold: 1e9, bucket })
    const shape = createShape(engine, "a")
    const round = roundsOf(engine)
    await writeChanges(engine, [shape], 1, 60)
    await round()
    wipeShapes(engine)
    const { promise, resolve: open } = Promise.withResolvers<void>()
    bucket.gate = promise
    bucket.calls.length = 0
    const reading = Effect.runPromise(makeShapeLogs(engine).read(shape, snapshotEnd))
    await eventually("it is asked for", () => bucket.read().length > 0)
    const { movedSegment } = engine.store
    await writeChanges(engine, [shape], 61, 120)
    await round()
    assert.isAbove(engine.store.movedSegment, movedSegment)
    open()
    const read = await reading
    assert.ok(read._tag === "Slice" && !(read.body instanceof Uint8Array))
    const text = Buffer.concat(await piecesOf(read.body())).toString()
    const messages = JSON.parse(`[${text}]`) as ReadAll["messages"]
    assert.deepStrictEqual(read.next, { tx: 6000n, op: 0 })
    assert.deepStrictEqual(
      changes({ messages, offsets: [] }).map((change) => change.replace("!", "")),
      numbered(1, 60)
    )
    assert.deepStrictEqual(await log(engine, shape), numbered(1, 120))
  })

  it("are fetched once for all who ask, and no other file with them", async () => {
    const bucket = new TroubledStore()
    const engine = await writingEngine(undefined, { ...settings, bucket })
    const shape = await shapeWithChunks(engine, "a", ["z".repeat(20_000_000), "z"])
    wipeShapes(engine)
    const { promise, resolve: open } = Promise.withResolvers<void>()
    bucket.gate = promise
    bucket.calls.length = 0
    const readers = Array.from({ length: 20 }, () => firstRows(engine, shape))
    await eventually("it is asked for", () => bucket.calls.length > 0)
    open()
    for (const rows of await Promise.all(readers)) assert.strictEqual(rows.length, 20_000_000)
    assert.deepStrictEqual(new Set(bucket.read()), new Set([`shapes/${shape.handle}/s0`]))
    assert.strictEqual(bucket.calls.length, 3, "in ranges of 8 MiB")
  })
})
