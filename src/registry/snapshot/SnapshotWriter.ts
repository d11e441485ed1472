import { crc32 } from "node:zlib"
import { Effect } from "effect"
import { recordKind } from "../../storage/records/Records.ts"
import { RunningSnapshot } from "../../storage/state/RunningSnapshot.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { DiskFile } from "../../storage/disk/Disk.ts"
import { makeDirectories, writeFully } from "../../storage/disk/Files.ts"
import { shapeDir, snapshotChunkFile } from "../../storage/disk/StorageDir.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import { type NotActive, notActive, SnapshotFailed } from "../ShapeRegistry.ts"
import type { SnapshotSink } from "./Snapshotter.ts"

/** A snapshot up to this size goes into the journal, together with everything else of the moment: no file, no extra sync. */
const inlineBytes = 32 * 1024

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

/**
 * Stores the snapshot of one shape. The shape can be read (`onReadable`) once its creation is durable and the first
 * rows of a large snapshot, or all of a small one, are there.
 */
export const makeSnapshotWriter = (
  engine: StorageEngine,
  shape: ShapeState,
  onReadable: () => void
): { readonly sink: SnapshotSink<Failure>; readonly close: Effect.Effect<void> } => {
  let held: Array<Buffer> = []
  let heldBytes = 0
  let file: DiskFile | undefined
  let inFiles = false
  let index = 0
  let position = 0
  let crc = 0
  const running = new RunningSnapshot()

  const settled: Effect.Effect<void, Failure> = Effect.flatMap(
    io(() => engine.settled()),
    (ours) => (ours ? Effect.void : Effect.fail(takenOver))
  )

  /** The shape must still be there: the stream may have dropped it meanwhile. */
  const alive: Effect.Effect<void, Failure> = Effect.suspend(() =>
    shape.dropped
      ? Effect.fail(new SnapshotFailed({ kind: "schemaChanged", message: "The table has changed meanwhile" }))
      : Effect.void
  )

  const append = (bytes: Buffer) =>
    io(async () => {
      if (file === undefined) {
        if (index === 0) {
          await makeDirectories(engine.paths.disk, shapeDir(engine.paths, shape.handle))
          if (engine.options.durableWrites) await engine.paths.disk.syncDirectory(engine.paths.shapes)
        }
        file = await engine.paths.disk.openToWrite(
          snapshotChunkFile(engine.paths, shape.handle, index),
          "empty"
        )
        position = 0
        crc = 0
      }
      await writeFully(file, bytes, position)
      position += bytes.length
      crc = crc32(bytes, crc)
      running.writtenBytes = position
      running.advanced()
    })

  /** From memory to a file: the snapshot turned out to be large. */
  const spill: Effect.Effect<void, Failure> = Effect.gen(function* () {
    inFiles = true
    shape.running = running
    const bytes = Buffer.concat(held)
    held = []
    heldBytes = 0
    yield* append(bytes)
    yield* settled
    running.readable = true
    engine.store.wake(shape)
    onReadable()
  })

  const write = (bytes: Buffer): Effect.Effect<void, Failure> =>
    Effect.gen(function* () {
      yield* alive
      if (inFiles) return yield* append(bytes)
      held.push(Buffer.from(bytes))
      heldBytes += bytes.length
      if (heldBytes > inlineBytes) yield* spill
    })

  /** The chunk's file is whole and durable; nobody is told yet. */
  const closeFile: Effect.Effect<void, Failure> = Effect.gen(function* () {
    yield* alive
    if (!inFiles) yield* spill
    if (file === undefined) yield* append(Buffer.alloc(0))
    const done = file
    file = undefined
    yield* io(async () => {
      try {
        if (engine.options.durableWrites) await done?.sync()
      } finally {
        await done?.close()
      }
      if (engine.options.durableWrites)
        await engine.paths.disk.syncDirectory(shapeDir(engine.paths, shape.handle))
    })
    if (engine.writer === undefined) return yield* takenOver
  })

  const chunkNotice = () => ({ t: "chunk", id: shape.id, index, bytes: position, crc }) as const

  const nextChunk = () => {
    index++
    running.index = index
    running.writtenBytes = 0
    running.advanced()
    engine.store.wake(shape)
  }

  const finishFile: Effect.Effect<void, Failure> = Effect.map(closeFile, () => {
    engine.writing?.write(chunkNotice())
    nextChunk()
  })

  /**
   * Nobody gets the end of the snapshot before it is certain that the snapshot is not dropped as one that was cut off: a
   * client that has all of it never has to fetch it again.
   */
  const finishLastFile: Effect.Effect<void, Failure> = Effect.gen(function* () {
    yield* closeFile
    const notices = [chunkNotice(), { t: "complete", id: shape.id, chunks: index + 1 } as const]
    const segment = engine.writer?.segment ?? 0
    for (const notice of notices) engine.writer?.notice(notice)
    yield* settled
    yield* alive
    for (const notice of notices) {
      // A checkpoint that was written meanwhile may stand for the segment, and does not know of it.
      if (engine.oldestSegment > segment) engine.writing?.write(notice)
      else engine.store.apply(notice)
    }
    nextChunk()
  })

  const finishInline: Effect.Effect<void, Failure> = Effect.gen(function* () {
    yield* alive
    const writer = engine.writer
    if (writer === undefined) return yield* takenOver
    const payload = Buffer.allocUnsafe(8 + heldBytes)
    payload.writeUInt32LE(shape.id, 0)
    payload.writeUInt32LE(0, 4)
    Buffer.concat(held).copy(payload, 8)
    const { segment, position: at } = writer.appendBetween(recordKind.inlineChunk, payload)
    engine.store.inlineChunk(shape.id, 0, segment, at + 8, heldBytes)
    held = []
  })

  const end: Effect.Effect<void, Failure> = Effect.gen(function* () {
    const small = !inFiles
    if (small) {
      yield* finishInline
      if (engine.writer === undefined) return yield* takenOver
      engine.writing?.write({ t: "complete", id: shape.id, chunks: 1 })
    } else yield* finishLastFile
    running.finished = true
    running.advanced()
    yield* settled
    shape.running = undefined
    if (small) onReadable()
  })

  return {
    sink: { write, endChunk: () => finishFile, end: () => end },
    close: Effect.promise(async () => {
      running.finished = true
      running.advanced()
      shape.running = undefined
      await file?.close()
      file = undefined
    })
  }
}
