import { crcInTurns } from "../../shared/LargeBytes.ts"
import { frameHeaderBytes, frameOf, scanFrame } from "../disk/Frame.ts"
import { decodeNotice, recordKind } from "../records/Records.ts"
import { recentXidsCapacity } from "../state/RecentXids.ts"
import {
  bytesOf,
  headField,
  headWords,
  indexMagic,
  lateFlag,
  sealIndex,
  sourceXid,
  tableStride
} from "./SegmentIndex.ts"
import { tailStride } from "../state/ShapeTail.ts"
import { firstPart, itemHeaderBytes, lastPart, partHeaderBytes } from "../records/TransactionPart.ts"
import { ScannedEntries } from "./ScannedEntries.ts"

/** No index is made of more than so many entries: changes that belong to very many shapes are quick to read without. */
const maxEntries = 2 << 20
/** A notice begins like this; only those of a move are ever large. */
const noticeStart = /^\{"t":"(\w+)"(?:,"segment":(\d+))?/
const noticeStartBytes = 64

/** A transaction whose last part has not come yet. */
class OpenScan {
  isOpen = false
  high = 0
  low = 0
  xid = 0
  /** It has been there before. */
  isSkipping = false
  readonly entries = new ScannedEntries()
  /** Shapes that get nothing of it. */
  readonly retracted = new Set<number>()

  begin(high: number, low: number, xid: number): void {
    this.isOpen = true
    this.high = high
    this.low = low
    this.xid = xid
    this.isSkipping = false
    this.entries.clear()
    this.retracted.clear()
  }
}

/**
 * Reads a segment from its beginning, piece by piece, and makes its index: what applying the records one after the other
 * comes to, as far as that follows from the segment alone. What depends on more (which shapes there are, what their
 * snapshots contain) is left to the reader that takes the index over.
 */
export class SegmentScan {
  readonly epoch: number
  readonly segment: number
  /** Bytes read: whole records that are sound. */
  end = 0
  private crc = 0
  private isHopeless = false
  private rare = Buffer.alloc(1024)
  private rareBytes = 0
  private xids: Array<number> = []
  private positionHigh = 0
  private positionLow = 0

  private readonly slots = new Map<number, number>()
  private readonly ids: Array<number> = []
  private lastId = -1
  private lastSlot = -1
  private readonly entries = new ScannedEntries()
  /** The last commit that each shape has entries of, upper and lower half. */
  private readonly ends: Array<number> = []
  /** Ordinary transactions as the table has them, which is their order, and late ones. */
  private transactions: Array<number> = []
  private lateTransactions: Array<number> = []
  /** Shapes that have entries of late ones. */
  private readonly lateSlots = new Set<number>()
  /** The last record that says that no shapes with sub-selects are behind: what earlier segments named is, too, no longer. */
  private caughtUp = Buffer.alloc(0)
  /** The record after it of how far they are. */
  private behind = Buffer.alloc(0)
  /** Those after it that name other shapes which are behind. */
  private lateShapes: Array<Buffer> = []

  private readonly ordinary = new OpenScan()
  private readonly late = new OpenScan()

  constructor(epoch: number, segment: number) {
    this.epoch = epoch
    this.segment = segment
  }

  /** No index can be made of this segment, however much more is read. */
  get hopeless(): boolean {
    return this.isHopeless
  }

  /**
   * Takes the whole records among the first `limit` bytes, which follow those taken before. Returns their length. The bytes must not
   * change, and nothing else be asked, until that is done.
   */
  async feed(buffer: Buffer, limit: number): Promise<number> {
    const at = this.records(buffer, limit)
    this.crc = await crcInTurns(buffer.subarray(0, at), this.crc)
    this.end += at
    return at
  }

  private records(buffer: Buffer, limit: number): number {
    let at = 0
    for (;;) {
      const scan = scanFrame(buffer, at, limit)
      if (scan._tag !== "Frame") break
      const from = at + frameHeaderBytes
      if (scan.kind === recordKind.transaction) this.ordinaryPart(buffer, from, scan.end)
      else if (scan.kind === recordKind.lateTransaction) this.latePart(buffer, from, scan.end)
      else if (scan.kind === recordKind.notice) this.notice(buffer, at, scan.end)
      else if (scan.kind === recordKind.inlineChunk) this.inlineChunk(buffer, from, scan.end)
      at = scan.end
    }
    return at
  }

  private notice(buffer: Buffer, at: number, end: number): void {
    const from = at + frameHeaderBytes
    const start = noticeStart.exec(buffer.toString("latin1", from, Math.min(end, from + noticeStartBytes)))
    switch (start?.[1]) {
      case undefined:
        this.isHopeless = true
        return
      case "epoch":
      case "segment":
        return
      case "position":
      case "passed": {
        const notice = decodeNotice(buffer.subarray(from, end))
        if (notice.t === "position") {
          const lsn = BigInt(notice.lsn)
          this.reached(Number(lsn >> 32n), Number(lsn & 0xffffffffn))
        }
        if (notice.t === "position" || notice.t === "passed")
          for (const xid of notice.xids ?? []) this.pushXid(xid)
        return
      }
      case "behind":
        this.behind = Buffer.from(buffer.subarray(at, end))
        if (!isOver(decodeNotice(buffer.subarray(from, end)))) return
        this.caughtUp = this.behind
        this.behind = Buffer.alloc(0)
        this.lateShapes = []
        return
      case "late":
        this.lateShapes.push(Buffer.from(buffer.subarray(at, end)))
        return
      case "retracted": {
        const notice = decodeNotice(buffer.subarray(from, end))
        if (notice.t === "retracted") for (const id of notice.ids) this.ordinary.retracted.add(this.slot(id))
        return
      }
      case "purged":
        this.caughtUp = Buffer.alloc(0)
        this.behind = Buffer.alloc(0)
        this.lateShapes = []
        break
      case "source":
        this.pushXid(sourceXid)
        break
      case "moved":
        // Entries of this very segment can only be in files once it is over.
        if (start?.[2] === undefined || Number(start[2]) >= this.segment) this.isHopeless = true
    }
    this.pushRare(buffer, at, end)
  }

  private pushRare(buffer: Buffer, from: number, end: number): void {
    const needed = this.rareBytes + end - from
    if (needed > this.rare.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.rare.length))
      this.rare.copy(larger, 0, 0, this.rareBytes)
      this.rare = larger
    }
    buffer.copy(this.rare, this.rareBytes, from, end)
    this.rareBytes = needed
  }

  private inlineChunk(buffer: Buffer, at: number, end: number): void {
    const payload = Buffer.alloc(16)
    buffer.copy(payload, 0, at, at + 8)
    payload.writeUInt32LE(this.end + at + 8, 8)
    payload.writeUInt32LE(end - at - 8, 12)
    const frame = frameOf(recordKind.inlineChunk, payload)
    this.pushRare(frame, 0, frame.length)
  }

  private pushXid(xid: number): void {
    this.xids.push(xid)
    if (this.xids.length >= 2 * recentXidsCapacity) this.xids = this.xids.slice(-recentXidsCapacity)
  }

  private reached(high: number, low: number): void {
    if (!isAbove(high, low, this.positionHigh, this.positionLow)) return
    this.positionHigh = high
    this.positionLow = low
  }

  /** The part whose payload is `buffer[at .. end]`. */
  private ordinaryPart(buffer: Buffer, at: number, end: number): void {
    const open = this.ordinary
    const low = buffer.readUInt32LE(at)
    const high = buffer.readUInt32LE(at + 4)
    if (!open.isOpen || open.high !== high || open.low !== low) {
      open.begin(high, low, buffer.readUInt32LE(at + 16))
      const n = this.transactions.length
      const last = n - tableStride
      open.isSkipping =
        n > 0 && !isAbove(high, low, this.transactions[last] as number, this.transactions[last + 1] as number)
    }
    if (!open.isSkipping) this.items(open, buffer, at + partHeaderBytes, end)
    if (buffer[at + 20] !== lastPart) return
    open.isOpen = false
    if (open.isSkipping) return
    for (const slot of open.entries.seal()) if (!open.retracted.has(slot)) this.endsAt(slot, open)
    this.entries.addAll(open.entries, open.retracted)
    open.entries.clear()
    this.transactions.push(high, low, open.xid)
    this.pushXid(open.xid)
    this.reached(buffer.readUInt32LE(at + 12), buffer.readUInt32LE(at + 8))
  }

  /** The same for a late transaction, of which shapes that have it, or a later one, take nothing. */
  private latePart(buffer: Buffer, at: number, end: number): void {
    const open = this.late
    const flags = buffer[at + 20] ?? 0
    const low = buffer.readUInt32LE(at)
    const high = buffer.readUInt32LE(at + 4)
    if (!open.isOpen || open.high !== high || open.low !== low || (flags & firstPart) !== 0)
      open.begin(high, low, buffer.readUInt32LE(at + 16))
    this.items(open, buffer, at + partHeaderBytes, end)
    if ((flags & lastPart) === 0) return
    open.isOpen = false
    const known = new Set<number>()
    for (const slot of open.entries.seal()) {
      if (!isAbove(high, low, this.ends[2 * slot] as number, this.ends[2 * slot + 1] as number)) {
        known.add(slot)
        continue
      }
      this.lateSlots.add(slot)
      this.endsAt(slot, open)
    }
    this.entries.addAll(open.entries, known)
    open.entries.clear()
    this.lateTransactions.push(high, low, open.xid)
  }

  private endsAt(slot: number, { high, low }: OpenScan): void {
    this.ends[2 * slot] = high
    this.ends[2 * slot + 1] = low
  }

  private items(open: OpenScan, buffer: Buffer, from: number, end: number): void {
    let next = from
    while (next < end) {
      const op = buffer.readUInt32LE(next)
      const length = buffer.readUInt32LE(next + 4)
      const messageAt = next + itemHeaderBytes
      const idsAt = messageAt + length
      next = idsAt + 4 * buffer.readUInt32LE(next + 8)
      for (let at = idsAt; at < next; at += 4)
        this.push(open, buffer.readUInt32LE(at), op, this.end + messageAt, length)
    }
  }

  private push(open: OpenScan, id: number, op: number, position: number, length: number): void {
    if (this.entries.count + open.entries.count >= maxEntries) {
      this.isHopeless = true
      return
    }
    const slot = id === this.lastId ? this.lastSlot : this.slot(id)
    open.entries.push(slot, open.high, open.low, op, this.segment, position, length)
  }

  private slot(id: number): number {
    let slot = this.slots.get(id)
    if (slot === undefined) {
      slot = this.ids.length
      this.ids.push(id)
      this.ends.push(0, 0)
      this.slots.set(id, slot)
    }
    this.lastId = id
    this.lastSlot = slot
    return slot
  }

  /** For each transaction its commit LSN and id, in the order of the LSNs. */
  private table(): ReadonlyArray<number> {
    const { lateTransactions, transactions } = this
    if (lateTransactions.length === 0) return transactions
    const all = [...transactions, ...lateTransactions]
    const order = Array.from({ length: all.length / tableStride }, (_, i) => i * tableStride)
    order.sort(
      (a, b) =>
        (all[a] as number) - (all[b] as number) || (all[a + 1] as number) - (all[b + 1] as number) || a - b
    )
    const table: Array<number> = []
    for (const at of order) {
      const n = table.length
      // One that is read once more, or has ordinary entries as well, is the same one.
      if (n > 0 && table[n - 3] === all[at] && table[n - 2] === all[at + 1]) continue
      table.push(...all.slice(at, at + tableStride))
    }
    return table
  }

  /**
   * The index of what has been read; `undefined` when there can be none. In the middle of a transaction neither, unless the
   * segment `isOver`: then its end never comes.
   */
  encode(isOver: boolean): Uint32Array | undefined {
    if (this.isHopeless || (!isOver && (this.ordinary.isOpen || this.late.isOpen))) return undefined
    const { entries, rareBytes, transactions } = this
    const behind = Buffer.concat([this.caughtUp, this.behind, ...this.lateShapes])
    const table = this.table()
    const counts = new Uint32Array(this.ids.length)
    for (let n = 0; n < entries.count; n++) {
      const slot = entries.slot(n)
      counts[slot] = (counts[slot] as number) + 1
    }
    const used = counts.reduce((total, count) => total + (count > 0 ? 1 : 0), 0)
    const xids = this.xids.slice(-recentXidsCapacity)
    const entriesAt = headWords + 2 * used
    const xidsAt = entriesAt + tailStride * entries.count
    const rareAt = xidsAt + xids.length
    const allRareBytes = rareBytes + behind.length
    const tableAt = rareAt + ((allRareBytes + 3) >>> 2)
    const words = new Uint32Array(tableAt + table.length)
    words[headField.magic] = indexMagic
    words[headField.epoch] = this.epoch
    words[headField.segment] = this.segment
    words[headField.end] = this.end
    words[headField.segmentCrc] = this.crc
    words.set(transactions.slice(0, 2), headField.firstCommitHigh)
    words.set(transactions.slice(-tableStride, -1), headField.lastCommitHigh)
    words[headField.positionHigh] = this.positionHigh
    words[headField.positionLow] = this.positionLow
    words[headField.shapes] = used
    words[headField.entries] = entries.count
    words[headField.xids] = xids.length
    words[headField.rareBytes] = allRareBytes
    words[headField.transactions] = table.length / tableStride
    this.putEntries(words, counts, entriesAt)
    words.set(xids, xidsAt)
    bytesOf(words).set(this.rare.subarray(0, rareBytes), 4 * rareAt)
    bytesOf(words).set(behind, 4 * rareAt + rareBytes)
    words.set(table, tableAt)
    sealIndex(words)
    return words
  }

  /** Shapes and their numbers of entries, and from `entriesAt` on the entries of one shape after the other. */
  private putEntries(words: Uint32Array, counts: Uint32Array, entriesAt: number): void {
    const { entries } = this
    const next = new Uint32Array(counts.length)
    let shape = headWords
    let at = entriesAt
    for (let slot = 0; slot < counts.length; slot++) {
      const count = counts[slot] as number
      if (count === 0) continue
      words[shape++] = this.ids[slot] as number
      words[shape++] = this.lateSlots.has(slot) ? (count | lateFlag) >>> 0 : count
      next[slot] = at
      at += tailStride * count
    }
    for (let n = 0; n < entries.count; n++) {
      const slot = entries.slot(n)
      const to = next[slot] as number
      next[slot] = to + tailStride
      entries.copyTo(n, words, to)
    }
  }
}

/** Nobody is behind any more. */
const isOver = (notice: ReturnType<typeof decodeNotice>): boolean =>
  notice.t === "behind" && notice.lsn === null

const isAbove = (high: number, low: number, thanHigh: number, thanLow: number): boolean =>
  high !== thanHigh ? high > thanHigh : low > thanLow
