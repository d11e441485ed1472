import { crc32 } from "node:zlib"
import { Effect } from "effect"
import { recordKind } from "../../storage/records/Records.ts"
import { RunningSnapshot } from "../../storage/state/RunningSnapshot.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { DiskFile } from "../../storage/disk/Disk.ts"
import { fromDisk } from "../../storage/disk/DiskFault.ts"
import { makeDirectories, writeFully } from "../../storage/disk/Files.ts"
import { shapeDir, snapshotChunkFile } from "../../storage/disk/StorageDir.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { type NotActive, notActive, SnapshotFailed } from "../ShapeRegistry.ts"
import type { SnapshotSink } from "./Snapshotter.ts"

/** A snapshot up to this size goes into the journal, together with everything else of the moment: no file, no extra sync. */
const inlineBytes = 32 * 1024

/** Chunks on their way to a bucket while the next one is being written. On a disk there is no such way. */
const mostLeaving = 3

type Failure = SnapshotFailed | NotActive

const takenOver = notActive("notDurable", "Another instance has taken over while the shape was being created")

const io = <A>(run: () => Promise<A>): Effect.Effect<A, Failure> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new SnapshotFailed({
        kind: "unavailable",
        message: `The snapshot could not be stored: ${cause instanceof Error ? cause.message : String(cause)}`
      })
  })

/** Where the rows that have come are. */
type State =
  /** In memory: all of them, as long as they are few. */
  | { readonly _tag: "Held"; readonly pieces: Array<Buffer>; bytes: number }
  /** In files of whole chunks. */
  | { readonly _tag: "Spilled" }
  /** Stored to the end, or given up. */
  | { readonly _tag: "Finished" }

/** The chunk that is being written to a file. */
interface OpenChunk {
  readonly index: number
  file: DiskFile | undefined
  position: number
  crc: number
}

/** A chunk whose file is whole, and is being kept where it is to stay. */
interface LeavingChunk {
  readonly chunk: OpenChunk
  readonly kept: Promise<void>
  isKept: boolean
}

/**
 * Stores the snapshot of one shape. The shape can be read (`onReadable`) once its creation is durable and the first
 * rows of a large snapshot, or all of a small one, are there.
 *
 * ```text
 * Held ── more than 32 KiB, or the end of a chunk ──► Spilled ── end ──► Finished
 *   └──────────────────────── end ───────────────────────────────────────▲
 * ```
 */
export class SnapshotWriter {
  readonly sink: SnapshotSink<Failure> = {
    write: (bytes) => this.write(bytes),
    endChunk: () => this.endChunk,
    end: () => this.end
  }

  private state: State = { _tag: "Held", pieces: [], bytes: 0 }
  private chunk: OpenChunk = openChunk(0)
  /** The oldest first: others are told of them in this order. */
  private leaving: Array<LeavingChunk> = []
  private readonly running = new RunningSnapshot()
  private readonly engine: StorageEngine
  private readonly shape: ShapeState
  private readonly onReadable: () => void

  constructor(engine: StorageEngine, shape: ShapeState, onReadable: () => void) {
    this.engine = engine
    this.shape = shape
    this.onReadable = onReadable
  }

  /** Gives up what is not finished: readers of the shape wait for no more rows. Nothing after `end`. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.finish()
    this.shape.running = undefined
    const { file } = this.chunk
    this.chunk.file = undefined
    // A file that was given up goes with its shape, whatever the disk says of it.
    return file === undefined ? Effect.void : Effect.ignore(fromDisk(() => file.close()))
  })

  private finish(): void {
    this.state = { _tag: "Finished" }
    this.running.finished = true
    this.running.advanced()
  }

  /** Everything so far is durable, and storage is still ours. */
  private readonly settled: Effect.Effect<void, Failure> = Effect.flatMap(
    io(() => this.engine.settled()),
    (ours) => (ours ? Effect.void : Effect.fail(takenOver))
  )

  /** The shape must still be there: the stream may have dropped it meanwhile. */
  private readonly alive: Effect.Effect<void, Failure> = Effect.suspend(() =>
    this.shape.dropped
      ? Effect.fail(new SnapshotFailed({ kind: "schemaChanged", message: "The table has changed meanwhile" }))
      : Effect.void
  )

  private write(bytes: Buffer): Effect.Effect<void, Failure> {
    return Effect.gen({ self: this }, function* () {
      yield* this.alive
      const { state } = this
      if (state._tag !== "Held") return yield* this.append(bytes)
      state.pieces.push(Buffer.from(bytes))
      state.bytes += bytes.length
      if (state.bytes > inlineBytes) yield* this.spill(state.pieces)
    })
  }

  private append(bytes: Buffer): Effect.Effect<void, Failure> {
    return io(async () => {
      const { chunk, running } = this
      const file = (chunk.file ??= await this.openFile(chunk.index))
      await writeFully(file, bytes, chunk.position)
      chunk.position += bytes.length
      chunk.crc = crc32(bytes, chunk.crc)
      // Readers are still at one that came before.
      if (running.index !== chunk.index) return
      running.writtenBytes = chunk.position
      running.advanced()
    })
  }

  private async openFile(index: number): Promise<DiskFile> {
    const { options, paths } = this.engine
    if (index === 0) {
      await makeDirectories(paths.disk, shapeDir(paths, this.shape.handle))
      if (options.durableWrites) await paths.disk.syncDirectory(paths.shapes)
    }
    return paths.disk.openToWrite(snapshotChunkFile(paths, this.shape.handle, index), "empty")
  }

  /** From memory to a file: the snapshot turned out to be large. */
  private spill(pieces: ReadonlyArray<Buffer>): Effect.Effect<void, Failure> {
    return Effect.gen({ self: this }, function* () {
      this.state = { _tag: "Spilled" }
      this.shape.running = this.running
      yield* this.append(Buffer.concat(pieces))
      yield* this.settled
      this.running.readable = true
      this.engine.store.wake(this.shape)
      this.onReadable()
    })
  }

  /** The chunk's file is whole, and durable on this disk; nobody is told yet. */
  private readonly closeFile: Effect.Effect<void, Failure> = Effect.gen({ self: this }, function* () {
    yield* this.alive
    if (this.state._tag === "Held") yield* this.spill(this.state.pieces)
    if (this.chunk.file === undefined) yield* this.append(Buffer.alloc(0))
    const { file } = this.chunk
    this.chunk.file = undefined
    const { options, paths } = this.engine
    yield* io(async () => {
      try {
        if (options.durableWrites) await file?.sync()
      } finally {
        await file?.close()
      }
      if (options.durableWrites) await paths.disk.syncDirectory(shapeDir(paths, this.shape.handle))
    })
    if (this.engine.writer === undefined) return yield* takenOver
  })

  /** Begins to keep the chunk where it is to stay. Who needs that to have ended waits for it. */
  private keep({ index }: OpenChunk): Promise<void> {
    const kept = this.engine.keepFile(snapshotChunkFile(this.engine.paths, this.shape.handle, index))
    kept.catch(() => {})
    return kept
  }

  private chunkNotice({ crc, index, position }: OpenChunk) {
    return { t: "chunk", id: this.shape.id, index, bytes: position, crc } as const
  }

  /** Readers go on with the chunk after this one, as far as it has been written. */
  private passOn({ index }: OpenChunk): void {
    const next = this.leaving[0]?.chunk ?? this.chunk
    this.running.index = index + 1
    this.running.writtenBytes = next.index === index + 1 ? next.position : 0
    this.running.advanced()
    this.engine.store.wake(this.shape)
  }

  /** Others are told of the chunks that are kept, unless the snapshot was given up. */
  private tellKept(): void {
    for (let [first] = this.leaving; first?.isKept === true; [first] = this.leaving) {
      if (this.state._tag === "Finished") return
      this.leaving.shift()
      this.engine.writing?.write(this.chunkNotice(first.chunk))
      this.passOn(first.chunk)
    }
  }

  /** Completes when no more chunks than this are on their way. */
  private leaveAtMost(count: number): Effect.Effect<void, Failure> {
    return io(async () => {
      for (
        let [first] = this.leaving;
        first !== undefined && this.leaving.length > count;
        [first] = this.leaving
      ) {
        await first.kept
        if (this.state._tag === "Finished") return
        first.isKept = true
        this.tellKept()
      }
    })
  }

  private readonly endChunk: Effect.Effect<void, Failure> = Effect.suspend(() =>
    Effect.flatMap(this.closeFile, () => {
      const { chunk } = this
      const leaving: LeavingChunk = { chunk, kept: this.keep(chunk), isKept: false }
      leaving.kept.then(
        () => {
          leaving.isKept = true
          this.tellKept()
        },
        // Who waits for it hears of it.
        () => {}
      )
      this.leaving.push(leaving)
      this.chunk = openChunk(chunk.index + 1)
      return this.leaveAtMost(this.engine.options.bucket === undefined ? 0 : mostLeaving)
    })
  )

  /**
   * Nobody gets the end of the snapshot before it is certain that the snapshot is not dropped as one that was cut off: a
   * client that has all of it never has to fetch it again.
   */
  private readonly finishLastFile: Effect.Effect<void, Failure> = Effect.gen({ self: this }, function* () {
    const { engine, shape } = this
    yield* this.closeFile
    const { chunk } = this
    const kept = this.keep(chunk)
    yield* this.leaveAtMost(0)
    yield* io(() => kept)
    if (engine.writer === undefined) return yield* takenOver
    const complete = { t: "complete", id: shape.id, chunks: chunk.index + 1 } as const
    const notices = [this.chunkNotice(chunk), complete]
    const segment = engine.writer?.segment ?? 0
    for (const notice of notices) engine.writer?.notice(notice)
    yield* this.settled
    yield* this.alive
    for (const notice of notices) {
      // A checkpoint that was written meanwhile may stand for the segment, and does not know of it.
      if (engine.oldestSegment > segment) engine.writing?.write(notice)
      else engine.store.apply(notice)
    }
    this.chunk = openChunk(chunk.index + 1)
    this.passOn(chunk)
  })

  private finishInline(pieces: ReadonlyArray<Buffer>, bytes: number): Effect.Effect<void, Failure> {
    return Effect.gen({ self: this }, function* () {
      const { engine, shape } = this
      yield* this.alive
      const { writer } = engine
      if (writer === undefined) return yield* takenOver
      const payload = Buffer.allocUnsafe(8 + bytes)
      payload.writeUInt32LE(shape.id, 0)
      payload.writeUInt32LE(0, 4)
      Buffer.concat(pieces).copy(payload, 8)
      const { segment, position: at } = writer.appendBetween(recordKind.inlineChunk, payload)
      engine.store.inlineChunk(shape.id, 0, segment, at + 8, bytes)
      engine.writing?.write({ t: "complete", id: shape.id, chunks: 1 })
    })
  }

  private readonly end: Effect.Effect<void, Failure> = Effect.gen({ self: this }, function* () {
    const { state } = this
    if (state._tag === "Held") yield* this.finishInline(state.pieces, state.bytes)
    else yield* this.finishLastFile
    this.finish()
    yield* this.settled
    this.shape.running = undefined
    if (state._tag === "Held") this.onReadable()
  })
}

const openChunk = (index: number): OpenChunk => ({ index, file: undefined, position: 0, crc: 0 })
