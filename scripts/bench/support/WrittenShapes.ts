import { Effect } from "effect"
import { type ShapeDefinition } from "../../../src/shapes/ShapeDefinition.ts"
import { Maintenance } from "../../../src/storage/Maintenance.ts"
import { recordKind, type SnapshotVisibility } from "../../../src/storage/records/Records.ts"
import { SegmentIndexer } from "../../../src/storage/SegmentIndexer.ts"
import type { ShapeState } from "../../../src/storage/state/ShapeState.ts"
import { storagePaths } from "../../../src/storage/disk/StorageDir.ts"
import { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { isStoredExpression } from "../../../src/where/index.ts"

const streamId = "default"

/** The storage directory, written by the very code that the service writes it with. */
export const openEngine = async (directory: string): Promise<StorageEngine> => {
  const engine = new StorageEngine({
    paths: storagePaths(directory, streamId),
    chunkBytesThreshold: 10 << 20,
    segmentBytes: 64 << 20,
    recentBytes: 1 << 20,
    durableWrites: false,
    removeOnClose: false,
    run: (effect) => void Effect.runPromise(effect)
  })
  await engine.load()
  await engine.takeOver()
  return engine
}

/** Housekeeping as in the service, and everything on disk. */
export const closeEngine = async (engine: StorageEngine, moves: boolean): Promise<void> => {
  await engine.writer?.durable()
  if (moves) {
    const maintenance = new Maintenance(engine, {
      retainedSegments: 1,
      retainedEntries: 10_000_000,
      removalDelayMillis: 0,
      meta: { synchronous: "OFF", cacheBytes: 8 << 20 }
    })
    await Effect.runPromise(Effect.scoped(maintenance.round()))
  } else await new SegmentIndexer(engine).round()
  await engine.close()
}

/** The definition of `tenant = 0` with another tenant. */
const definitionFor = (model: ShapeDefinition, tenant: number): ShapeDefinition => {
  const { where } = model
  if (where === undefined || !isStoredExpression(where.expression))
    throw new Error("The shape has no clause.")
  return {
    ...model,
    where: {
      ...where,
      sql: where.sql.replace("0", String(tenant)),
      expression: { ...where.expression, constants: [String(tenant)] }
    }
  }
}

/** What making a shape leaves in the journal. */
const writeShape = (
  engine: StorageEngine,
  definition: ShapeDefinition,
  visibility: SnapshotVisibility
): void => {
  const { store, writer } = engine
  if (writer === undefined) throw new Error("The storage directory is not ours.")
  const id = store.nextId
  const handle = `${id}-${1_000_000_000_000 + id}`
  engine.writing?.write({ t: "created", id, handle, definition, atMillis: Date.now() })
  engine.writing?.write({ t: "visible", id, visibility })
  const { xipList: xip_list, xmax, xmin } = visibility
  const rows = Buffer.from(JSON.stringify({ headers: { control: "snapshot-end", xmin, xmax, xip_list } }))
  const payload = Buffer.alloc(8 + rows.length)
  payload.writeUInt32LE(id, 0)
  payload.set(rows, 8)
  const { position, segment } = writer.appendBetween(recordKind.inlineChunk, payload)
  store.inlineChunk(id, 0, segment, position + 8, rows.length)
  engine.writing?.write({ t: "complete", id, chunks: 1 })
}

/** Shapes 0 to `count - 1`, with first rows of none, seen where those of `model` were. */
export const writeShapes = async (
  engine: StorageEngine,
  model: ShapeState,
  count: number,
  definition: (index: number) => ShapeDefinition
): Promise<void> => {
  const visibility = model.visibility ?? { xmin: "1", xmax: "1", xipList: [] }
  for (let index = 0; index < count; index++) {
    writeShape(engine, definition(index), visibility)
    if (index % 5000 === 0) await engine.writer?.durable()
  }
}

/** Shapes `tenant = 1`, `tenant = 2` and so on, up to `count` with the one that is there already, whose form they have. */
export const manyShapes =
  (count: number) =>
  (engine: StorageEngine, model: ShapeState): Promise<void> =>
    writeShapes(engine, model, count - 1, (index) => definitionFor(model.definition, index + 1))
