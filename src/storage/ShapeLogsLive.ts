import { Effect, Layer } from "effect"
import { type Lsn, maxLsn } from "../shared/Lsn.ts"
import { failingWith, type PieceSource } from "../shared/Pieces.ts"
import { plainHandle } from "../shapes/HandleAlias.ts"
import { type LogOffset, snapshotChunk, snapshotEnd } from "../shapes/LogOffset.ts"
import { discardLostHistory } from "./DiscardShape.ts"
import { logChunkFile, snapshotChunkFile } from "./disk/StorageDir.ts"
import { FileIntegrity } from "./disk/FileIntegrity.ts"
import { Lending } from "./logs/Lending.ts"
import { logPieces, type LogSource, snapshotPieces, tailInMemory } from "./logs/ReadPieces.ts"
import { type ChunkPlan, type LogPlan, planRead } from "./logs/ReadPlan.ts"
import { SharedSlices } from "./logs/SharedSlices.ts"
import { SnapshotChunks } from "./logs/SnapshotChunks.ts"
import { firstChunk } from "./records/Compaction.ts"
import type { LogFile } from "./records/Records.ts"
import { ShapeFailures } from "./ShapeFailures.ts"
import { type LogRead, type LogSlice, type ShapeHandle, ShapeLogs, type ShapeReadError } from "./ShapeLogs.ts"
import type { ShapeState } from "./state/ShapeState.ts"
import { digestOf } from "./state/IdentityDigest.ts"
import { Watch } from "./state/Watch.ts"
import { Storage } from "./Storage.ts"
import type { StorageEngine } from "./StorageEngine.ts"
import { chunkWaitMillis } from "./StorageTimings.ts"

const dropped: LogRead = { _tag: "Dropped" }

/** Reads logs: what is planned for an offset is found in memory where it is there, and in files otherwise. */
class LogReads {
  private readonly engine: StorageEngine
  private readonly source: LogSource
  private readonly chunks: SnapshotChunks
  private readonly shared: SharedSlices
  private readonly failures: ShapeFailures

  constructor(engine: StorageEngine) {
    this.engine = engine
    this.source = {
      paths: engine.paths,
      memory: (segment, position, length) => engine.memory(segment, position, length),
      lending: new Lending((bytes) => engine.isLasting(bytes)),
      readSegment: (segment, position, into) => engine.segments.read(segment, position, into),
      integrity: new FileIntegrity(engine.paths.disk, engine.files)
    }
    this.chunks = new SnapshotChunks(this.source)
    this.shared = new SharedSlices(engine.timers)
    this.failures = new ShapeFailures(engine)
  }

  readonly read = (handle: ShapeHandle, after: LogOffset): Effect.Effect<LogRead, ShapeReadError> =>
    Effect.suspend(() => {
      const shape = this.engine.live(handle)
      if (shape === undefined || this.isLost(shape, after)) return Effect.succeed(dropped)
      const plan = planRead(shape, after)
      switch (plan._tag) {
        case "Expired":
          this.engine.compactions.expiredReads++
          return Effect.succeed<LogRead>({ _tag: "Expired" })
        case "Dropped":
        case "Ahead":
          return Effect.succeed<LogRead>({ _tag: plan._tag })
        case "Log":
          return plan.file === undefined
            ? Effect.succeed(this.logSlice(shape, after, plan))
            : this.readLogFile(shape, after, plan, plan.file)
        case "SnapshotChunk":
          return this.readChunk(shape, plan)
        case "AwaitChunk":
          return Effect.andThen(this.awaitChunk(handle, plan.index), this.read(handle, after))
      }
    })

  readonly readNow = (handle: ShapeHandle, after: LogOffset): LogRead | undefined => {
    const { chunks, shared } = this
    const shape = this.engine.live(handle)
    if (shape === undefined || this.isLost(shape, after)) return dropped
    const again = shared.again(shape, after)
    if (again !== undefined) return again
    const plan = planRead(shape, after)
    if (plan._tag === "Log") {
      const slice = this.logSlice(shape, after, plan)
      if (!(slice.body instanceof Uint8Array)) return undefined
      shared.remember(shape, after, slice)
      return slice
    }
    if (plan._tag === "SnapshotChunk") {
      const bytes = chunks.now(shape, plan.index)
      return bytes === undefined ? undefined : chunkSlice(shape, plan, bytes)
    }
    return plan._tag === "AwaitChunk" ? undefined : { _tag: plan._tag }
  }

  /** Who is there cannot go on, nor anybody else who may have come the same way. */
  private isLost(shape: ShapeState, { tx }: LogOffset): boolean {
    const { engine } = this
    const kind = shape.members.length > 0 ? "members" : "ordinary"
    if (!engine.store.lostHistory.has(tx, kind, () => BigInt(shape.visibility?.containedBefore ?? 0)))
      return false
    discardLostHistory(engine, shape)
    return true
  }

  private logSlice(shape: ShapeState, after: LogOffset, plan: LogPlan): LogSlice {
    const { shared, source } = this
    const { next, upToDate } = plan
    if (plan.file === undefined) {
      const known = shared.get(shape, after, next)
      // The log may have gone on behind what was its end.
      if (known !== undefined) return known.upToDate === upToDate ? known : { ...known, upToDate }
      const body = tailInMemory(source, shape, plan.from, plan.to)
      if (body !== undefined) return shared.share(shape, after, { _tag: "Slice", next, upToDate, body })
    }
    const body = this.inPieces(shape, logPieces(source, shape, plan))
    return { _tag: "Slice", next, upToDate, body }
  }

  private readChunk(shape: ShapeState, plan: ChunkPlan): Effect.Effect<LogRead, ShapeReadError> {
    const { chunks, engine } = this
    const { index } = plan
    const known = chunks.now(shape, index)
    if (known !== undefined) return Effect.succeed(chunkSlice(shape, plan, known))
    if (chunks.isSmall(shape, index))
      return Effect.tryPromise({
        try: async () => chunkSlice(shape, plan, await chunks.read(shape, index)),
        catch: this.failures.of(shape)
      }).pipe(
        // Its files go with it.
        Effect.catch((error) =>
          engine.live(shape) === undefined ? Effect.succeed(dropped) : Effect.fail(error)
        )
      )
    const make: PieceSource = (buffer) => snapshotPieces(this.source, shape, index, buffer)
    const finished = shape.chunkAt(index)
    return Effect.map(
      finished?._tag === "File"
        ? this.onDisk(shape, snapshotChunkFile(engine.paths, shape.handle, index), finished.bytes)
        : Effect.void,
      () => chunkSlice(shape, plan, this.inPieces(shape, make))
    )
  }

  private readLogFile(
    shape: ShapeState,
    after: LogOffset,
    plan: LogPlan,
    file: LogFile
  ): Effect.Effect<LogRead, ShapeReadError> {
    // Noted now: while the file is looked for, entries of the tail may be moved, and the plan is one of those that are there.
    const slice = this.logSlice(shape, after, plan)
    const path = logChunkFile(this.engine.paths, shape.handle, file.index)
    return Effect.as(this.onDisk(shape, path, file.bytes), slice)
  }

  /** Where files are copies: the file is here when this completes. An answer whose file cannot be had is not begun. */
  private onDisk(shape: ShapeState, path: string, bytes: number): Effect.Effect<void, ShapeReadError> {
    const { integrity } = this.source
    if (integrity.origin === undefined) return Effect.void
    return Effect.tryPromise({ try: () => integrity.present(path, bytes), catch: this.failures.of(shape) })
  }

  private inPieces(shape: ShapeHandle, make: PieceSource): PieceSource {
    const onError = this.failures.of(shape)
    return (buffer) => failingWith(make(buffer), onError)
  }

  /** Until it is known whether the snapshot has this chunk, or the shape is gone. */
  private awaitChunk(handle: ShapeHandle, index: number): Effect.Effect<void, ShapeReadError> {
    const { engine } = this
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
        return Effect.fail(this.failures.of(handle)("the snapshot makes no progress"))
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
}

const chunkSlice = (shape: ShapeState, plan: ChunkPlan, body: LogSlice["body"]): LogSlice => {
  const finished = shape.chunkAt(plan.index)
  return {
    _tag: "Slice",
    next: plan.next,
    upToDate: false,
    body,
    ...(finished === undefined ? {} : { finishedBytes: finished.bytes })
  }
}

const watchOn =
  (engine: StorageEngine): ShapeLogs["Service"]["watch"] =>
  (shape, after, timeoutMillis, watcher) => {
    const made = new Watch(engine, shape, after, timeoutMillis, watcher)
    return made.begin() ?? made
  }

/** How far shapes with sub-selects are, and all others. */
class SeenPositions {
  private readonly engine: StorageEngine

  constructor(engine: StorageEngine) {
    this.engine = engine
  }

  /** Of the last transaction that was processed. */
  private get last(): Lsn {
    const { lastCommitLsn, positionLsn } = this.engine.store
    return maxLsn(this.engine.processedLsn, maxLsn(lastCommitLsn, positionLsn))
  }

  readonly of = (shape: ShapeHandle): Lsn => {
    const { last } = this
    const { behindLsn } = this.engine.store
    return behindLsn === undefined || behindLsn >= last || !this.mayBeBehind(shape) ? last : behindLsn
  }

  private mayBeBehind(shape: ShapeHandle): boolean {
    const live = this.engine.live(shape)
    return live !== undefined && (live.members.length > 0 || this.engine.store.lateIds.has(live.id))
  }

  readonly caughtUp = (shape: ShapeHandle, timeoutMillis: number): Effect.Effect<void> | undefined => {
    const { engine, last } = this
    // Most of the time there is nothing behind.
    if (engine.store.behindLsn === undefined || this.of(shape) >= last) return undefined
    const deadlineMillis = engine.timers.nowMillis() + timeoutMillis
    const step: Effect.Effect<void> = Effect.suspend(() => {
      const millis = deadlineMillis - engine.timers.nowMillis()
      if (millis <= 0 || engine.live(shape) === undefined || this.of(shape) >= last) return Effect.void
      // Looking and beginning to wait are one step.
      return Effect.andThen(
        engine.waiters.wait(() => engine.store.behindWaiters, millis),
        step
      )
    })
    return step
  }
}

/** It is about to be read. */
const awake = (shape: ShapeState | undefined): ShapeState | undefined => {
  shape?.wake()
  return shape
}

/** What readers see of the shapes of a storage engine, whether it writes or follows. */
export const makeShapeLogs = (engine: StorageEngine): ShapeLogs["Service"] => {
  const { read, readNow } = new LogReads(engine)
  const seen = new SeenPositions(engine)
  return ShapeLogs.of({
    byHandle: (handle) => awake(engine.store.byHandle(plainHandle(handle))),
    byIdentity: (identity) => awake(engine.store.byIdentity(digestOf(identity))),
    count: () => engine.store.count,
    isReadable: (shape) => engine.live(shape)?.readable === true,
    firstOffset: (shape) => snapshotChunk(firstChunk(engine.live(shape)?.compaction)),
    lastOffset: (shape) => engine.live(shape)?.end ?? snapshotEnd,
    read,
    readNow,
    watch: watchOn(engine),
    lastSeenLsn: seen.of,
    caughtUp: seen.caughtUp
  })
}

/** `ShapeLogs` on a storage engine. */
export const shapeLogsLayer: Layer.Layer<ShapeLogs, never, Storage> = Layer.effect(
  ShapeLogs,
  Effect.map(Storage, ({ engine }) => makeShapeLogs(engine))
)
