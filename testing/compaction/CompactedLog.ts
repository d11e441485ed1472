import { Effect } from "effect"
import {
  beforeAll,
  compareOffsets,
  formatOffset,
  isVirtual,
  type LogOffset
} from "../../src/shapes/LogOffset.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { MessageTexts } from "../../src/storage/records/MessageTexts.ts"
import { recordKind } from "../../src/storage/records/Records.ts"
import { makeShapeLogs } from "../../src/storage/ShapeLogsLive.ts"
import type { ShapeHandle } from "../../src/storage/ShapeLogs.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { withoutLastMark } from "../../src/storage/compaction/RowMessage.ts"
import { applyStrictly, asText, type Entry, type History } from "./Histories.ts"

/** A client of the log: where it is, and the rows that it has. */
export interface LogReader {
  at: LogOffset
  readonly rows: Map<string, Readonly<Record<string, string | null>>>
  /** Messages that it was given. */
  messages: number
  /** The last transaction whose end it was told of: clients take nothing more of it. */
  ended: string | undefined
}

export const newReader = (): LogReader => ({ at: beforeAll, rows: new Map(), messages: 0, ended: undefined })

/** One shape whose log is a known history: writes it to a storage engine, and judges what readers are given. */
export class CompactedLog {
  readonly handle: string
  private readonly history: History
  private readonly states: ReadonlyArray<string>

  constructor(handle: string, history: History) {
    this.handle = handle
    this.history = history
    const rows = new Map<string, Readonly<Record<string, string | null>>>()
    for (const text of history.firstRows) applyStrictly(rows, text)
    const states = [asText(rows)]
    for (const { text } of history.entries) {
      applyStrictly(rows, text)
      states.push(asText(rows))
    }
    this.states = states
  }

  /** Makes the shape with its first rows, in the journal. */
  create(engine: StorageEngine, definition: ShapeDefinition): ShapeHandle {
    const { writer, writing, store } = engine
    if (writer === undefined || writing === undefined) throw new Error("not writing")
    const id = store.nextId
    writing.write({ t: "created", id, handle: this.handle, definition, atMillis: 1 })
    writing.write({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
    const bytes = Buffer.from(this.history.firstRows.join(","))
    const payload = Buffer.alloc(8 + bytes.length)
    payload.writeUInt32LE(id, 0)
    payload.set(bytes, 8)
    const { segment, position } = writer.appendBetween(recordKind.inlineChunk, payload)
    store.inlineChunk(id, 0, segment, position + 8, bytes.length)
    writing.write({ t: "complete", id, chunks: 1 })
    const shape = store.get(id)
    if (shape === undefined) throw new Error("not created")
    return shape
  }

  /** The transaction of the history that comes next in this storage; false where there is none. */
  writeNext({ store, writer }: StorageEngine, shape: ShapeHandle): boolean {
    const { entries } = this.history
    const first = entries.findIndex(({ tx }) => tx > store.lastCommitLsn)
    const { tx } = entries[first] ?? {}
    if (writer === undefined || tx === undefined) return false
    const { ordinary } = writer
    ordinary.beginTransaction(tx, 100)
    for (const entry of entries.slice(first).filter((each: Entry) => each.tx === tx)) {
      ordinary.beginItem()
      const at = ordinary.out.length
      const message = Buffer.from(withoutLastMark(entry.text))
      ordinary.out.append(message)
      const ids = Uint32Array.of(shape.id)
      const position = ordinary.endItem(entry.op, at, ids, 1)
      store.item(entry.op, position, message.length, ids, 0, 1)
      ordinary.endOfItems()
    }
    ordinary.commitTransaction(tx + 1n, true)
    store.commit(tx, tx + 1n, 100, ordinary.segmentOfTransaction)
    writer.flush()
    return true
  }

  /** Gives a reader one more answer, and judges it. `expired`: it has to start over. */
  async read(
    engine: StorageEngine,
    reader: LogReader
  ): Promise<"more" | "upToDate" | "ahead" | "expired" | "dropped"> {
    const logs = makeShapeLogs(engine)
    const shape = logs.byHandle(this.handle)
    if (shape === undefined) return "dropped"
    const read = await Effect.runPromise(logs.read(shape, reader.at))
    if (read._tag === "Dropped") return "dropped"
    if (read._tag !== "Slice") return read._tag === "Ahead" ? "ahead" : "expired"
    const texts = new MessageTexts()
    const apply = (piece: Uint8Array) => {
      for (const text of texts.of(piece)) {
        reader.messages++
        const lsn = /"lsn":"(\d+)"/.exec(text.slice(text.lastIndexOf(`"headers":{`)))?.[1]
        if (lsn !== undefined && lsn === reader.ended)
          throw new Error(`behind ${formatOffset(reader.at)}: transaction ${lsn} had ended: ${text}`)
        if (text !== withoutLastMark(text)) reader.ended = lsn
        const wrong = applyStrictly(reader.rows, text)
        if (wrong !== undefined) throw new Error(`behind ${formatOffset(reader.at)}: ${wrong}`)
      }
    }
    if (read.body instanceof Uint8Array) apply(read.body)
    else for await (const piece of read.body()) apply(piece)
    if (!isVirtual(read.next) && compareOffsets(read.next, reader.at) < 0)
      throw new Error("offsets do not rise")
    reader.at = read.next
    if (read.upToDate) this.check(reader)
    return read.upToDate ? "upToDate" : "more"
  }

  /** A reader that has got to the end has the rows as they are there; before it, what is folded may come later than it was. */
  private check({ at, rows }: LogReader): void {
    if (isVirtual(at)) return
    const place = this.history.entries.findIndex((entry) => compareOffsets(entry, at) > 0)
    const expected = this.states[place < 0 ? this.history.entries.length : place]
    if (asText(rows) !== expected) throw new Error(`other rows at ${formatOffset(at)}`)
  }
}
