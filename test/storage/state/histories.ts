import type { ShapeDefinition } from "../../../src/shapes/ShapeDefinition.ts"
import { makeDefinition } from "../../../src/shapes/MakeDefinition.ts"
import type { LogFile, Notice } from "../../../src/storage/records/Records.ts"
import { planRead } from "../../../src/storage/logs/ReadPlan.ts"
import { beforeAll, snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import type { ShapeState } from "../../../src/storage/state/ShapeState.ts"
import { ShapeStore } from "../../../src/storage/state/ShapeStore.ts"
import { ShapeTail } from "../../../src/storage/state/ShapeTail.ts"
import { Waiters } from "../../../src/storage/state/Waiters.ts"
import type { Random } from "../../../testing/Random.ts"
import { column, table } from "../../../testing/postgres/TableInfos.ts"

// Random histories of storage, for whoever compares two ways of keeping it.

/** A whole number from 0 up to `count`, without it. */
export const below = (random: Random, count: number): number => random.int(0, count - 1)

const items = table([column("id"), column("tenant")], { oid: 1, name: "items", primaryKey: ["id"] })

const clause = (text: string, constants: ReadonlyArray<string>) => ({
  sql: text,
  expression: { version: 1, plan: `{"n":${constants.length}}`, columns: ["tenant"], constants },
  classification: text.startsWith("tenant IN") ? ("postgres" as const) : ("indexed" as const)
})

export const someDefinition = (random: Random): ShapeDefinition => {
  const values = ["1", "22", "ä ö", "日本", 'a "quoted" one', "", "a\\b"]
  const value = () => values[below(random, values.length)] ?? ""
  const where =
    below(random, 5) === 0
      ? undefined
      : below(random, 3) === 0
        ? clause(`tenant IN (${value()})`, [value(), value()])
        : clause(`tenant = ${value()}`, below(random, 4) === 0 ? [] : [value()])
  return makeDefinition(items, {
    selection: { columns: items.columns, selectsAll: true },
    where,
    replica: below(random, 3) === 0 ? "full" : "default",
    log: below(random, 6) === 0 ? "changes_only" : "full"
  })
}

export const freshStore = () => new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 300 })

/** All that can be asked of a shape. */
export const facts = (shape: ShapeState) => {
  const { tail } = shape
  return {
    id: shape.id,
    handle: shape.handle,
    identity: shape.identity,
    definition: shape.definition,
    common: shape.common,
    uses: shape.uses,
    members: shape.members,
    hasCondition: shape.hasCondition,
    isDecidedByPostgres: shape.isDecidedByPostgres,
    handleMicros: shape.handleMicros,
    dropped: shape.dropped,
    createdAtMillis: shape.createdAtMillis,
    lastUsedMillis: shape.lastUsedMillis,
    visibility: shape.visibility,
    chunks: shape.snapshotChunks,
    readable: shape.readable,
    snapshotComplete: shape.snapshotComplete,
    compaction: shape.compaction,
    files: shape.files,
    hasHistory: shape.hasHistory,
    openChunkBytes: shape.openChunkBytes,
    end: shape.end,
    filesEnd: shape.filesEnd(),
    dirty: shape.dirty,
    rowBytes: shape.rowBytes,
    rowFileBytes: shape.rowFileBytes,
    logFileBytes: shape.logFileBytes,
    undecided: shape.undecided,
    included: [90, 100, 105, 120].map((xid) => shape.includesLate(5n, xid)),
    entries:
      tail === undefined
        ? []
        : Array.from({ length: tail.count }, (_, i) => [
            tail.offset(i),
            tail.segment(i),
            tail.length(i),
            tail.isLast(i),
            tail.isChunkEnd(i)
          ]),
    plans: [beforeAll, snapshotEnd, shape.end].map((offset) => planRead(shape, offset))
  }
}

export const nothing = Symbol("nothing happens")

const notice = (made: Notice) => (store: ShapeStore) => store.apply(made)

/** One thing that happens to storage, as a function of a store: whatever it draws is drawn before. */
export const someEvent = (random: Random, model: ShapeStore, clock: { lsn: bigint; segment: number }) => {
  const all = [...model.all()]
  const shape = all[below(random, Math.max(1, all.length))]
  const kind = below(random, 16)
  if (shape === undefined || kind < 2) {
    const id = model.nextId
    const handle =
      below(random, 8) === 0 ? `named ${id}` : `${below(random, 1 << 27)}-${1_795_987_366_444_000 + id}`
    return notice({ t: "created", id, handle, definition: someDefinition(random), atMillis: 1000.5 + id })
  }
  const { id } = shape
  const xids = below(random, 2) === 0 ? [] : ["103", "105"]
  switch (kind) {
    case 2:
      return notice({
        t: "visible",
        id,
        visibility: {
          xmin: "100",
          xmax: "110",
          xipList: xids,
          ...(below(random, 2) === 0 ? {} : { containedBefore: String(clock.lsn + 500n) })
        }
      })
    case 3: {
      const index = shape.snapshotChunks.length
      const bytes = 10 + below(random, 1000)
      return below(random, 2) === 0
        ? notice({ t: "chunk", id, index, bytes, crc: below(random, 1 << 30) })
        : (store: ShapeStore) => store.inlineChunk(id, index, clock.segment, 1000, bytes)
    }
    case 4:
    case 5:
      return notice({ t: "complete", id, chunks: shape.snapshotChunks.length })
    case 6:
      return below(random, 4) === 0 ? notice({ t: "dropped", ids: [id], reason: "test" }) : nothing
    case 7:
      return below(random, 3) === 0
        ? notice({ t: "redefined", id, definition: someDefinition(random) })
        : nothing
    case 8:
      return (store: ShapeStore) => {
        const found = store.get(id)
        if (found !== undefined) found.lastUsedMillis = 5000 + Number(clock.lsn)
      }
    case 9:
      return someMove(model, clock, shape)
    case 10:
      return below(random, 3) === 0 && shape.files.length > 0
        ? someCompaction(random, shape, clock.lsn)
        : nothing
    case 11:
      return (store: ShapeStore) => {
        const found = store.get(id)
        if (found !== undefined) found.dirty = false
      }
    case 12: {
      const entries = new ShapeTail()
      clock.lsn += 100n
      for (let op = 0; op < 3; op++) entries.push(0, Number(clock.lsn), op, clock.segment, 50, 80)
      entries.markLast(2)
      const words = clock.lsn
      return (store: ShapeStore) => {
        const own = new ShapeTail()
        own.append(entries, 0, entries.count)
        store.adopt(id, clock.segment, own, false, () => (words % 2n === 0n ? 104 : 120))
      }
    }
    default: {
      clock.lsn += 100n
      const lsn = clock.lsn
      const xid = 95 + below(random, 30)
      const { segment } = clock
      const chosen = Uint32Array.from(all.filter(() => below(random, 3) === 0).map((one) => one.id))
      const count = 1 + below(random, 3)
      return (store: ShapeStore) => {
        for (let op = 0; op < count; op++) store.item(op, 100 * op, 90, chosen, 0, chosen.length)
        store.commit(lsn, lsn + 8n, xid, segment)
      }
    }
  }
}

/** What a move of everything up to the segment comes to, for one shape and for all of them. */
const someMove = (model: ShapeStore, clock: { segment: number }, only: ShapeState) => {
  const segment = clock.segment++
  const shapes = [...model.all()].flatMap((shape) => {
    const { tail } = shape
    if (shape !== only && shape.id % 3 !== 0) return []
    const count = tail?.countUpToSegment(segment) ?? 0
    const chunks = shape.snapshotChunks.flatMap((chunk, index) =>
      chunk?._tag === "Journal" ? [{ index, bytes: chunk.bytes, crc: 7 * index }] : []
    )
    if (tail === undefined || count === 0) return [{ id: shape.id, files: [], chunks }]
    const before = shape.files.at(-1)
    const open = before === undefined || before.closed ? undefined : before
    const file: LogFile = {
      index: open?.index ?? (before?.index ?? -1) + 1,
      bytes: (open?.bytes ?? 0) + 100 * count,
      crc: 1,
      entries: (open?.entries ?? 0) + count,
      entryBytes: (open?.entryBytes ?? 0) + 90 * count,
      endTx: String(tail.tx(count - 1)),
      endOp: tail.op(count - 1),
      closed: tail.isChunkEnd(count - 1)
    }
    return [{ id: shape.id, files: [file], chunks }]
  })
  return notice({ t: "moved", segment, shapes })
}

const someCompaction = (random: Random, { end, id }: ShapeState, lsn: bigint) => {
  return notice({
    t: "compacted",
    id,
    compaction: {
      bases: [
        {
          chunks: [{ index: 4_294_967_297 + below(random, 1000), bytes: 77, crc: 3 }],
          at: [String(end.tx), end.op === Infinity ? 0 : end.op],
          madeAtMillis: Number(lsn)
        }
      ],
      hasFirstRows: below(random, 2) === 0,
      marks: [[Number(lsn), [String(end.tx), 0]]]
    }
  })
}
