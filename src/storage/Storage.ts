import { existsSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { Config } from "../config/BatonConfig.ts"
import { maxLsn } from "../shared/Lsn.ts"
import { type LogOffset, snapshotEnd } from "../shapes/LogOffset.ts"
import {
  logPieces,
  type LogSource,
  type MakePieces,
  planRead,
  type ReadPlan,
  snapshotPieces,
  tailInMemory
} from "./logs/LogReading.ts"
import { DamagedFile, FileIntegrity } from "./disk/FileIntegrity.ts"
import { discardDamaged, discardUnreadable } from "./DiscardShape.ts"
import { ReadFailures } from "./logs/ReadFailures.ts"
import { failingWith, piecesToStream } from "./logs/PiecesToStream.ts"
import {
  ShapeReadError,
  type LogPieces,
  type LogRead,
  type LogSlice,
  type ShapeHandle,
  ShapeLogs
} from "./ShapeLogs.ts"
import type { ShapeState } from "./state/ShapeState.ts"
import { SnapshotChunks } from "./logs/SnapshotChunks.ts"
import { digestOf } from "./state/ShapeStore.ts"
import { otherFormatVersions, storagePaths } from "./disk/StorageDir.ts"
import { StorageEngine } from "./StorageEngine.ts"
import { longestLateMillis } from "./disk/Sight.ts"
import { timersOf } from "../shared/Timers.ts"
import { Watch } from "./state/Watch.ts"
import { checkWritable } from "./disk/WriteCheck.ts"

/** The storage directory cannot be used. Heals when the cause (permissions, disk) is removed and the service restarts. */
export class StorageUnusable extends Schema.TaggedError<StorageUnusable>()("StorageUnusable", {
  message: Schema.String
}) {}

/** A disk that refuses once is asked again so often, after so many milliseconds and twice as many each time. */
const loadRetries = 5
const loadRetryMillis = 100

const recentBytes = 32 << 20
/** The latest bytes of the journal stay in memory for one to two times as long. */
const recentMillis = 10_000
/** Woken clients at the same offset share one body for this long. */
const sharingMillis = 50
/** A snapshot chunk that does not come for so long is given up on. */
const chunkWaitMillis = 60_000
const rememberedDoubts = 1000

/** The storage of one replication stream. Empty until `load` has been run; closed with its scope. */
export class Storage extends Context.Service<
  Storage,
  {
    readonly engine: StorageEngine
    /**
     * Finds out whether storage can be written, reads what it holds, then follows it. Every shape is readable when this
     * succeeds.
     */
    readonly load: Effect.Effect<void, StorageUnusable>
  }
>()("baton/storage/Storage") {
  static readonly layer = Layer.effect(
    Storage,
    Effect.gen(function* () {
      const config = yield* Config
      const memory = config.storage === "memory"
      const directory = memory ? memoryDirectory() : config.storageDir
      const metaDir =
        memory || config.shapeDbStorageDir === undefined || config.shapeDbStorageDir === ":memory:"
          ? undefined
          : config.shapeDbStorageDir
      const run = Effect.runForkWith(yield* Effect.context<never>())
      const timers = timersOf(yield* Clock.Clock)
      const engine = yield* Effect.acquireRelease(
        Effect.sync(
          () =>
            new StorageEngine({
              paths: storagePaths(directory, config.replicationStreamId, metaDir),
              chunkBytesThreshold: config.chunkBytesThreshold,
              segmentBytes: config.journalSegmentBytes,
              recentBytes,
              durableWrites: !memory,
              removeOnClose: memory,
              run: (effect) => void run(effect),
              timers
            })
        ),
        (opened) => Effect.promise(() => opened.close())
      )
      const storageDir = { variable: "ELECTRIC_STORAGE_DIR", path: directory }
      const directories =
        metaDir === undefined
          ? [storageDir]
          : [storageDir, { variable: "ELECTRIC_SHAPE_DB_STORAGE_DIR", path: metaDir }]
      const loading = Effect.tryPromise({
        try: () => engine.load(),
        catch: (cause) =>
          new StorageUnusable({
            message: `Cannot read the storage directory ${directory}: ${String(cause)}. Check that it is on a working disk and belongs to this user, then start again.`
          })
      })
      /** One error of a disk does not end a start. */
      const loadPatiently = (retries: number, delayMillis: number): typeof loading =>
        Effect.catch(loading, (error) =>
          retries === 0
            ? Effect.fail(error)
            : Effect.logWarning(`${error.message} It is tried again in ${delayMillis} ms.`).pipe(
                Effect.andThen(Effect.sleep(delayMillis)),
                Effect.andThen(loadPatiently(retries - 1, 2 * delayMillis))
              )
        )
      const checkWriting = Effect.gen(function* () {
        const problem = yield* Effect.promise(() => checkWritable(directories, engine.paths))
        if (problem === undefined) return
        // A full disk may have room again by itself, and what it holds can be served until then.
        if (problem.isFull && existsSync(engine.paths.root))
          return yield* Effect.logWarning(`${problem.message}. Until then this instance can only read.`)
        return yield* new StorageUnusable({ message: `${problem.message}. Then start again.` })
      })
      const load = Effect.gen(function* () {
        if (!memory) yield* checkWriting
        const others = yield* Effect.promise(() =>
          otherFormatVersions(directory, config.replicationStreamId).catch(() => [])
        )
        if (others.length > 0) {
          yield* Effect.logInfo(
            `The storage directory also holds shapes in another format (${others.join(", ")}), written by another version. They are left alone; this version has its own.`
          )
        }
        yield* loadPatiently(loadRetries, loadRetryMillis)
        engine.follow()
      })
      const age = Effect.sync(() => {
        const writer = engine.writer ?? engine.leaving
        if (writer === undefined) engine.recent.age()
        else writer.ageRecent()
      })
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(recentMillis), age)))
      return Storage.of({ engine, load })
    })
  )
}

const memoryDirectory = (): string =>
  mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "baton-"))

const dropped: LogRead = { _tag: "Dropped" }

/** `ShapeLogs` on a storage engine. */
export const shapeLogsLayer: Layer.Layer<ShapeLogs, never, Storage> = Layer.effect(
  ShapeLogs,
  Effect.map(Storage, ({ engine }) => makeShapeLogs(engine))
)

const chunkSlice = (
  shape: ShapeState,
  plan: Extract<ReadPlan, { _tag: "SnapshotChunk" }>,
  body: LogSlice["body"]
): LogSlice => {
  const finished = shape.snapshotChunks[plan.index]
  return {
    _tag: "Slice",
    next: plan.next,
    upToDate: false,
    body,
    ...(finished === undefined ? {} : { finishedBytes: finished.bytes })
  }
}

export const makeShapeLogs = (engine: StorageEngine): ShapeLogs["Service"] => {
  const source: LogSource = {
    paths: engine.paths,
    memory: (segment, position, length) => engine.memory(segment, position, length),
    readSegment: (segment, position, into) => engine.segments.read(segment, position, into),
    integrity: new FileIntegrity(engine.paths.sight)
  }
  const chunks = new SnapshotChunks(source)

  const failures = new ReadFailures(engine.timers.nowMillis, () => engine.paths.sight.mayBeLate)

  /** When files were first found to be short that may only be seen late. */
  const doubts = new Map<string, number>()

  /** It is damaged, and not only seen late. Whoever reads it meanwhile gets an error, and may come again. */
  const isSure = ({ isShort, path }: DamagedFile): boolean => {
    if (!isShort || !engine.paths.sight.mayBeLate) return true
    const nowMillis = engine.timers.nowMillis()
    const sinceMillis = doubts.get(path) ?? nowMillis
    if (doubts.size >= rememberedDoubts) doubts.clear()
    doubts.set(path, sinceMillis)
    return nowMillis - sinceMillis >= longestLateMillis
  }

  /** Damage costs the shape, and so does what cannot be read each time: whoever asks again is told to start over. */
  const failure = (shape: ShapeHandle) => (cause: unknown) => {
    const message = cause instanceof Error ? cause.message : String(cause)
    if (cause instanceof DamagedFile) {
      if (isSure(cause)) discardDamaged(engine, shape, message)
    } else if (engine.live(shape) !== undefined && failures.isHopeless(shape.id, cause))
      discardUnreadable(engine, shape, message)
    return new ShapeReadError({ handle: shape.handle, message })
  }

  /** A body that is read as its consumer asks for it. */
  const inPieces = (shape: ShapeHandle, make: MakePieces): LogPieces => {
    const onError = failure(shape)
    return {
      stream: piecesToStream(() => make(undefined), onError),
      into: (buffer) => failingWith(make(buffer), onError)
    }
  }

  let shared = new Map<string, LogSlice>()
  /** The last of them: thousands that are woken together ask for the same, with the same objects. */
  let latest: { shape: ShapeState; after: LogOffset; end: LogOffset; slice: LogSlice } | undefined

  const forgetShared = () => {
    shared = new Map()
    latest = undefined
  }

  const share = (key: string, slice: LogSlice): LogSlice => {
    if (shared.size === 0) setTimeout(forgetShared, sharingMillis).unref()
    shared.set(key, slice)
    return slice
  }

  const logSlice = (
    shape: ShapeState,
    after: LogOffset,
    plan: Extract<ReadPlan, { _tag: "Log" }>
  ): LogSlice => {
    const { next, upToDate } = plan
    if (plan.file !== undefined)
      return { _tag: "Slice", next, upToDate, body: inPieces(shape, logPieces(source, shape, after, plan)) }
    const key = `${shape.id} ${after.tx} ${after.op} ${next.tx} ${next.op}`
    const known = shared.get(key)
    if (known !== undefined) return known
    const body = tailInMemory(source, shape, plan.from, plan.to)
    if (body !== undefined) return share(key, { _tag: "Slice", next, upToDate, body })
    return { _tag: "Slice", next, upToDate, body: inPieces(shape, logPieces(source, shape, after, plan)) }
  }

  const readChunk = (
    shape: ShapeState,
    plan: Extract<ReadPlan, { _tag: "SnapshotChunk" }>
  ): Effect.Effect<LogRead, ShapeReadError> => {
    const { index } = plan
    const known = chunks.now(shape, index)
    if (known !== undefined) return Effect.succeed(chunkSlice(shape, plan, known))
    if (chunks.isSmall(shape, index))
      return Effect.tryPromise({
        try: async () => chunkSlice(shape, plan, await chunks.read(shape, index)),
        catch: failure(shape)
      }).pipe(
        // Its files go with it.
        Effect.catch((error) =>
          engine.live(shape) === undefined ? Effect.succeed<LogRead>(dropped) : Effect.fail(error)
        )
      )
    const make: MakePieces = (buffer) => snapshotPieces(source, shape, index, buffer)
    return Effect.succeed(chunkSlice(shape, plan, inPieces(shape, make)))
  }

  const read = (handle: ShapeHandle, after: LogOffset): Effect.Effect<LogRead, ShapeReadError> =>
    Effect.suspend(() => {
      const shape = engine.live(handle)
      if (shape === undefined) return Effect.succeed<LogRead>({ _tag: "Dropped" })
      const plan = planRead(shape, after)
      switch (plan._tag) {
        case "Dropped":
        case "Ahead":
          return Effect.succeed<LogRead>({ _tag: plan._tag })
        case "Log":
          return Effect.succeed(logSlice(shape, after, plan))
        case "SnapshotChunk":
          return readChunk(shape, plan)
        case "AwaitChunk":
          return awaitChunk(handle, plan.index).pipe(Effect.andThen(read(handle, after)))
      }
    })

  const readNow = (handle: ShapeHandle, after: LogOffset): LogRead | undefined => {
    const shape = engine.live(handle)
    if (shape === undefined) return dropped
    if (latest?.after === after && latest.shape === shape && latest.end === shape.end) return latest.slice
    const plan = planRead(shape, after)
    if (plan._tag === "Log") {
      const slice = logSlice(shape, after, plan)
      if (!(slice.body instanceof Uint8Array)) return undefined
      if (shared.size > 0) latest = { shape, after, end: shape.end, slice }
      return slice
    }
    if (plan._tag === "SnapshotChunk") {
      const bytes = chunks.now(shape, plan.index)
      return bytes === undefined ? undefined : chunkSlice(shape, plan, bytes)
    }
    return plan._tag === "Dropped" || plan._tag === "Ahead" ? { _tag: plan._tag } : undefined
  }

  /** Until it is known whether the snapshot has this chunk, or the shape is gone. */
  const awaitChunk = (handle: ShapeHandle, index: number): Effect.Effect<void, ShapeReadError> => {
    const deadline = engine.timers.nowMillis() + chunkWaitMillis
    const decided = () => {
      const shape = engine.live(handle)
      if (shape === undefined || shape.snapshotComplete || shape.snapshotChunks[index] !== undefined)
        return true
      const running = shape.running
      return running !== undefined && running.readable && running.index >= index
    }
    const step: Effect.Effect<void, ShapeReadError> = Effect.suspend(() => {
      if (decided()) return Effect.void
      if (engine.timers.nowMillis() > deadline)
        return Effect.fail(failure(handle)("the snapshot makes no progress"))
      return engine.waiters
        .wait(() => {
          if (decided()) return "changed"
          const shape = engine.live(handle)
          return shape === undefined ? "dropped" : (shape.waiters ??= new Set())
        }, 1000)
        .pipe(Effect.andThen(step))
    })
    return step
  }

  const watch: ShapeLogs["Service"]["watch"] = (shape, after, timeoutMillis, watcher) => {
    const made = new Watch(engine, shape, after, timeoutMillis, watcher)
    return made.begin() ?? made
  }

  const awaitChange: ShapeLogs["Service"]["awaitChange"] = (shape, after, timeoutMillis) =>
    Effect.callback((resume) => {
      const made = watch(shape, after, timeoutMillis, {
        woken: (reason) => resume(Effect.succeed(reason))
      })
      if (typeof made === "string") resume(Effect.succeed(made))
      return Effect.sync(() => (typeof made === "string" ? undefined : made.stop()))
    })

  return ShapeLogs.of({
    byHandle: (handle) => engine.store.byHandle(handle),
    byIdentity: (identity) => engine.store.byIdentity(digestOf(identity)),
    count: () => engine.store.count,
    isReadable: (shape) => engine.live(shape)?.readable === true,
    lastOffset: (shape) => engine.live(shape)?.end ?? snapshotEnd,
    read,
    readNow,
    awaitChange,
    watch,
    lastSeenLsn: () => {
      const { lastCommitLsn, positionLsn } = engine.store
      return maxLsn(engine.processedLsn, maxLsn(lastCommitLsn, positionLsn))
    }
  })
}
