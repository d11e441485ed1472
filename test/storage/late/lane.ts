import { StreamPosition } from "../../../src/registry/routing/StreamPosition.ts"
import type { TransactionWriter } from "../../../src/storage/journal/TransactionWriter.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import type { ShapeHandle } from "../../../src/storage/ShapeLogs.ts"
import type { Random } from "../../../testing/Random.ts"
import { createShape, type Item, messageOf } from "../support.ts"

/** A transaction of Postgres. */
interface Sent {
  readonly lsn: bigint
  readonly endLsn: bigint
  readonly xid: number
  /** For shapes that take what comes as it comes, and for those that may have to wait. */
  readonly plain: ReadonlyArray<Item>
  readonly member: ReadonlyArray<Item>
  /** Those that may have to wait do. */
  readonly flips: boolean
}

interface KnownShape {
  readonly shape: ShapeHandle
  readonly isMember: boolean
  /** Its snapshot shows all transactions up to here. */
  readonly sinceLsn: bigint
}

const byOp = (items: ReadonlyArray<Item>) => items.toSorted((a, b) => a.op - b.op)

/**
 * What Postgres sends, and what it was told: it outlives all that storage loses. Shapes are those that storage was seen to
 * keep.
 */
export class Source {
  readonly sent: Array<Sent> = []
  shapes: ReadonlyArray<KnownShape> = []
  acknowledgedLsn = 0n
  private readonly random: Random

  constructor(random: Random) {
    this.random = random
  }

  /** The same for another storage, which has the same shapes and of which Postgres was told nothing. */
  copy(random: Random): Source {
    const copy = new Source(random)
    copy.sent.push(...this.sent)
    copy.shapes = this.shapes
    return copy
  }

  get lastEndLsn(): bigint {
    return this.sent.at(-1)?.endLsn ?? 0n
  }

  commit(): Sent {
    const { random } = this
    const n = this.sent.length + 1
    const lsn = BigInt(n * 100)
    const itemsFor = (isMember: boolean, parity: number): ReadonlyArray<Item> => {
      const ids = this.shapes.filter((known) => known.isMember === isMember).map(({ shape }) => shape.id)
      const items = Array.from({ length: random.int(0, 3) }, (_, i) => ({
        op: 4 * i + parity,
        ids: ids.filter(() => random.chance(0.6)),
        padding: random.int(0, 200)
      }))
      return items.filter((item) => item.ids.length > 0)
    }
    const sent = {
      lsn,
      endLsn: lsn + 8n,
      xid: 100 + n,
      plain: itemsFor(false, 0),
      member: itemsFor(true, 2),
      flips: random.chance(0.3)
    }
    this.sent.push(sent)
    return sent
  }

  /** The log of a shape, as `changes` gives it. */
  logOf({ shape, sinceLsn }: KnownShape, upTo = this.lastEndLsn): ReadonlyArray<string> {
    return this.sent.flatMap(({ lsn, member, plain }) => {
      if (lsn <= sinceLsn || lsn > upTo) return []
      const items = byOp([...plain, ...member]).filter((item) => item.ids.includes(shape.id))
      return items.map((item, i) => `${lsn}_${item.op}${i === items.length - 1 ? "!" : ""}`)
    })
  }
}

interface Open {
  readonly sent: Sent
  readonly items: ReadonlyArray<Item>
  /** Shapes for which something stands in the record that is taken back. */
  readonly retracted: ReadonlyArray<number>
  next: number
}

/** A session of the stream: it goes on from where storage is, and writes as the registry does, one small step at a time. */
export class Session {
  readonly position: StreamPosition
  private readonly engine: StorageEngine
  private readonly source: Source
  private readonly random: Random
  private received: number
  private ordinary: Open | undefined
  private late: Open | undefined
  private queue: Array<Sent> = []

  constructor(engine: StorageEngine, source: Source, random: Random) {
    const { writer } = engine
    if (writer === undefined) throw new Error("not writing")
    this.engine = engine
    this.source = source
    this.random = random
    this.position = new StreamPosition({
      engine,
      writer,
      inTransaction: () => this.ordinary !== undefined,
      onDurable: () => {
        const { durableLsn } = this.position
        if (durableLsn > source.acknowledgedLsn) source.acknowledgedLsn = durableLsn
      }
    })
    // Postgres sends what it was not told to forget; the session may ask for less.
    const from = random.chance(0.5) ? source.acknowledgedLsn : engine.store.resumeLsn
    this.received = source.sent.findIndex(({ endLsn }) => endLsn > from)
    if (this.received < 0) this.received = source.sent.length
    // Nobody knows the sets of the sub-selects yet.
    if (engine.store.level >= 3 && random.chance(0.7)) this.position.behind(engine.store.resumeLsn)
  }

  get isBehind(): boolean {
    return this.engine.store.behindLsn !== undefined
  }
  /** Postgres has sent more than has been dealt with. */
  get hasMore(): boolean {
    return this.ordinary !== undefined || this.received < this.source.sent.length
  }
  get isIdle(): boolean {
    return this.ordinary === undefined && this.late === undefined && this.queue.length === 0
  }
  get hasAll(): boolean {
    return this.isIdle && this.received === this.source.sent.length && !this.isBehind
  }
  get canCreate(): boolean {
    return this.hasAll
  }

  create(isMember: boolean): KnownShape {
    const { engine, source } = this
    const xmin = String(101 + source.sent.length)
    const sinceLsn = source.lastEndLsn
    const shape = createShape(engine, `t${engine.store.nextId}`, {
      xmin,
      xmax: xmin,
      xipList: [],
      ...(this.random.chance(0.5) ? { containedBefore: String(sinceLsn) } : {})
    })
    return { shape, isMember, sinceLsn }
  }

  close(): void {
    this.position.close()
  }

  /** One step of the stream. */
  receive(): void {
    const { engine, random, source } = this
    const { writer } = engine
    if (writer === undefined) return
    const open = this.ordinary
    if (open === undefined) {
      const sent = source.sent[this.received] ?? source.commit()
      this.received++
      const isReplayed = sent.lsn <= engine.store.lastCommitLsn
      const isBehind = this.isBehind || sent.flips
      const items = isReplayed ? [] : isBehind ? sent.plain : byOp([...sent.plain, ...sent.member])
      engine.store.recentXids.push(sent.xid)
      if (!isReplayed) writer.ordinary.beginTransaction(sent.lsn, sent.xid)
      const retracted = isReplayed || !isBehind ? [] : this.someMember()
      const vain = retracted.map((id) => ({ op: 1001, ids: [id], padding: random.int(0, 50) }))
      const inOrder = [...vain, ...items]
      this.ordinary = {
        sent,
        items: random.chance(0.2) ? inOrder.toReversed() : inOrder,
        retracted,
        next: 0
      }
      return
    }
    const { sent } = open
    const item = open.items[open.next++]
    if (item !== undefined) return this.write(writer.ordinary, false, sent, item)
    const isReplayed = sent.lsn <= engine.store.lastCommitLsn
    if (open.retracted.length > 0) engine.writing?.write({ t: "retracted", ids: open.retracted })
    // The notice stands before the record that goes beyond it.
    if (sent.flips && !this.isBehind) this.position.behind(engine.store.positionLsn)
    if (this.isBehind) this.queue.push(sent)
    this.ordinary = undefined
    const wrote = engine.store.hasPending
    if (!isReplayed) writer.ordinary.commitTransaction(sent.endLsn, wrote)
    if (wrote) {
      engine.store.commit(sent.lsn, sent.endLsn, sent.xid, writer.ordinary.segmentOfTransaction)
      this.position.recordedUpTo(sent.endLsn)
    } else this.position.passed(sent.xid)
    this.position.processedUpTo(sent.endLsn)
    if (random.chance(0.3)) this.position.record()
    if (random.chance(0.5)) writer.flush()
  }

  private someMember(): ReadonlyArray<number> {
    const { random, source } = this
    const members = source.shapes.filter(({ isMember }) => isMember)
    return members.length > 0 && random.chance(0.2) ? [random.pick(members).shape.id] : []
  }

  /** One step of what is late. */
  process(): void {
    const { engine, late, random } = this
    const { writer } = engine
    if (writer === undefined) return
    const [sent] = this.queue
    if (late === undefined) {
      if (sent === undefined) {
        if (this.ordinary === undefined && this.isBehind) this.position.caughtUp()
        return
      }
      writer.late.beginTransaction(sent.lsn, sent.xid)
      this.late = { sent, items: sent.member, retracted: [], next: 0 }
      return
    }
    if (random.chance(0.05)) {
      // What it needs to know of Postgres could not be had: it is tried again.
      writer.late.abandonTransaction()
      engine.store.abandonLate()
      this.late = undefined
      return
    }
    const item = late.items[late.next++]
    if (item !== undefined) return this.write(writer.late, true, late.sent, item)
    const { endLsn, lsn, xid } = late.sent
    writer.late.commitTransaction(endLsn, late.items.length > 0)
    engine.store.commitLate(lsn, xid, writer.late.segmentOfTransaction)
    this.late = undefined
    this.queue.shift()
    if (random.chance(0.5)) this.position.behind(endLsn)
  }

  private write(writer: TransactionWriter, isLate: boolean, { lsn }: Sent, item: Item): void {
    const { store } = this.engine
    const message = messageOf(lsn, item)
    const ids = Uint32Array.from(item.ids)
    writer.beginItem()
    const at = writer.out.length
    writer.out.append(Buffer.from(message))
    const position = writer.endItem(item.op, at, ids, ids.length)
    store.item(item.op, position, message.length, ids, 0, ids.length, isLate)
    // A part may end behind any item.
    if (this.random.chance(0.3)) this.engine.writing?.write({ t: "passed", xids: [] })
    else writer.endOfItems()
  }
}
