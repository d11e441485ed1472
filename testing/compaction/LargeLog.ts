import { Effect, Exit, Scope } from "effect"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { ownLevels } from "../../src/storage/levels/Levels.ts"
import { Maintenance } from "../../src/storage/Maintenance.ts"
import { recordKind } from "../../src/storage/records/Records.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import type { Random } from "../Random.ts"

/** Storage with the sizes of production, of which this process is the writer. */
export const openStorage = async (directory: string): Promise<StorageEngine> => {
  const engine = new StorageEngine({
    paths: storagePaths(directory, "default"),
    chunkBytesThreshold: 10 << 20,
    segmentBytes: 32 << 20,
    recentBytes: 16 << 20,
    durableWrites: true,
    removeOnClose: false,
    run: (effect) => void Effect.runPromise(effect)
  })
  await engine.load()
  await engine.takeOver()
  if (!(await engine.settled())) throw new Error("storage cannot be written")
  const raised = { raisedBy: "0.2.0", raisedAtMillis: 1, sinceMillis: 1, lastSeen: {}, holds: null }
  await engine.writing?.raiseLevel(ownLevels.newest, { level: ownLevels.newest, ...raised })
  return engine
}

const definition: ShapeDefinition = {
  table: { oid: 1, schema: "public", name: "items" },
  keyColumns: ["id"],
  hasPrimaryKey: true,
  columns: ["id", "v", "t"],
  selectsAllColumns: true,
  where: undefined,
  replica: "default",
  log: "full",
  tableColumns: [{ name: "id", typeOid: 20 }],
  schemaHeader: "{}"
}

/** The n-th one, with no rows. */
const createShape = ({ store, writer, writing }: StorageEngine, n = 0): ShapeState => {
  if (writer === undefined || writing === undefined) throw new Error("not writing")
  const id = store.nextId
  const name = n === 0 ? "items" : `items_${n}`
  writing.write({
    t: "created",
    id,
    handle: `${n + 1}-1000`,
    definition: { ...definition, table: { oid: n + 1, schema: "public", name } },
    atMillis: 1
  })
  writing.write({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
  const bytes = Buffer.from(`{"headers":{"control":"snapshot-end","xmin":"1","xmax":"1","xip_list":[]}}`)
  const payload = Buffer.alloc(8 + bytes.length)
  payload.writeUInt32LE(id, 0)
  payload.set(bytes, 8)
  const { position, segment } = writer.appendBetween(recordKind.inlineChunk, payload)
  store.inlineChunk(id, 0, segment, position + 8, bytes.length)
  writing.write({ t: "complete", id, chunks: 1 })
  const shape = store.get(id)
  if (shape === undefined) throw new Error("not created")
  return shape
}

/** What a reader of the log holds at its end. */
export interface Held {
  readonly rows: number
  /** The sum of what their column `v` holds. */
  readonly sum: number
}

const text = "x".repeat(300)
const changesPerTransaction = 500

/** Rows by their ids, which are given once: what `v` is, or -1 where the row is gone. */
class Table {
  readonly versions: Array<number> = []
  rows = 0
  sum = 0

  private set(id: number, version: number): void {
    const before = this.versions[id] ?? -1
    this.rows += Number(version >= 0) - Number(before >= 0)
    this.sum += Math.max(0, version) - Math.max(0, before)
    this.versions[id] = version
  }

  /** The next change, as a message without its headers' place. Of ten there are four inserts, five updates and a delete. */
  next(random: Random): string {
    const dice = this.rows < 10 ? 0 : random.int(0, 9)
    if (dice < 4) {
      const id = this.versions.length
      this.set(id, 0)
      return rowMessage(id, 0, "insert")
    }
    const id = random.int(0, this.versions.length - 1)
    const version = this.versions[id] ?? -1
    if (version < 0) return this.next(random)
    if (dice < 9) {
      this.set(id, version + 1)
      return rowMessage(id, version + 1, "update")
    }
    this.set(id, -1)
    return messageOf(id, `{"id":"${id}"}`, "delete")
  }
}

const messageOf = (id: number, value: string, operation: string): string =>
  `{"key":"\\"public\\".\\"items\\"/\\"${id}\\"","value":${value},"headers":{"operation":"${operation}","relation":["public","items"],`

const rowMessage = (id: number, version: number, operation: string): string =>
  messageOf(id, `{"id":"${id}","v":"${version}","t":"${text}"}`, operation)

/** Writes to the journal, and moves what stands there to files. */
class LogWriter {
  private readonly engine: StorageEngine
  private readonly scope = Scope.makeUnsafe()
  private readonly housekeeping: Maintenance
  private tx = 1000n

  constructor(engine: StorageEngine) {
    this.engine = engine
    this.housekeeping = new Maintenance(engine, {
      retainedSegments: 0,
      retainedEntries: 1e9,
      meta: { synchronous: "OFF", cacheBytes: 1 << 20 },
      removalDelayMillis: 0
    })
  }

  /** One transaction; `next` gives its changes, each with its shape. Gives the bytes of their messages. */
  write(changes: number, next: () => { readonly shape: ShapeState; readonly message: string }): number {
    const { store, writer } = this.engine
    if (writer === undefined) throw new Error("not writing")
    const { ordinary } = writer
    const tx = (this.tx += 10n)
    let bytes = 0
    ordinary.beginTransaction(tx, 100)
    for (let op = 0; op < 2 * changes; op += 2) {
      const { message, shape } = next()
      const change = Buffer.from(`${message}"lsn":"${tx}","txids":[${tx}],"op_position":${op}}}`)
      const ids = Uint32Array.of(shape.id)
      ordinary.beginItem()
      const at = ordinary.out.length
      ordinary.out.append(change)
      const position = ordinary.endItem(op, at, ids, 1)
      store.item(op, position, change.length, ids, 0, 1)
      ordinary.endOfItems()
      bytes += change.length
    }
    ordinary.commitTransaction(tx + 1n, true)
    store.commit(tx, tx + 1n, 100, ordinary.segmentOfTransaction)
    writer.flush()
    return bytes
  }

  async move(): Promise<void> {
    if (!(await this.engine.settled())) throw new Error("storage cannot be written")
    await Effect.runPromise(Scope.provide(this.housekeeping.round(), this.scope))
  }

  end(): Promise<void> {
    return Effect.runPromise(Scope.close(this.scope, Exit.void))
  }
}

/** Writes the log of one shape, of so many bytes, through the journal to files, as the service does. */
export const writeLargeLog = async (engine: StorageEngine, bytes: number, random: Random): Promise<Held> => {
  const shape = createShape(engine)
  const table = new Table()
  const log = new LogWriter(engine)
  let written = 0
  for (let inJournal = 0; written < bytes;) {
    inJournal += log.write(changesPerTransaction, () => ({ shape, message: table.next(random) }))
    if (inJournal < 8 << 20) continue
    written += inJournal
    inJournal = 0
    await log.move()
  }
  await log.move()
  await log.end()
  return { rows: table.rows, sum: table.sum }
}

/**
 * Makes so many shapes of so many rows each and updates the rows at random, until so many bytes of changes have been written.
 * `round` is called whenever all that there is has been moved to files, each time about `roundBytes` later.
 */
export const writeUpdates = async (
  engine: StorageEngine,
  load: {
    readonly shapes: number
    readonly rows: number
    readonly bytes: number
    readonly roundBytes: number
  },
  random: Random,
  round: () => Promise<void>
): Promise<void> => {
  const shapes = Array.from({ length: load.shapes }, (_, n) => createShape(engine, n))
  const log = new LogWriter(engine)
  for (const shape of shapes) {
    let id = 0
    log.write(load.rows, () => ({ shape, message: rowMessage(id++, 0, "insert") }))
  }
  await log.move()
  await round()
  let version = 0
  for (let written = 0; written < load.bytes;) {
    let inRound = 0
    while (inRound < load.roundBytes)
      inRound += log.write(changesPerTransaction, () => ({
        shape: random.pick(shapes),
        message: rowMessage(random.int(0, load.rows - 1), ++version, "update")
      }))
    written += inRound
    await log.move()
    await round()
  }
  await log.end()
}
