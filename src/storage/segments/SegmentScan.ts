import { crc32 } from "node:zlib"
import { frameHeaderBytes, frameOf, scanFrame } from "../disk/Frame.ts"
import { decodeNotice, recordKind } from "../records/Records.ts"
import { recentXidsCapacity } from "../state/RecentXids.ts"
import { bytesOf, headField, headWords, indexMagic, sealIndex, tableStride } from "./SegmentIndex.ts"
import { tailLastFlag, tailStride } from "../state/ShapeTail.ts"
import { itemHeaderBytes, lastPart, partHeaderBytes } from "../records/TransactionPart.ts"

/** No index is made of more than so many entries: changes that belong to very many shapes are quick to read without. */
const maxEntries = 2 << 20
/** A notice begins like this; only those of a move are ever large. */
const noticeStart = /^\{"t":"(\w+)"(?:,"segment":(\d+))?/
const noticeStartBytes = 64

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
  /** Entries in the order of the journal, those of the open transaction last, and the number of each one's shape. */
  private words = new Uint32Array(tailStride * 1024)
  private slotOf = new Uint32Array(1024)
  private entries = 0
  private transactions: Array<number> = []

  private isOpen = false
  private openHigh = 0
  private openLow = 0
  private openXid = 0
  private isSkipping = false
  private openFrom = 0
  private inOrder = true

  constructor(epoch: number, segment: number) {
    this.epoch = epoch
    this.segment = segment
  }

  /** No index can be made of this segment, however much more is read. */
  get hopeless(): boolean {
    return this.isHopeless
  }

  /** Takes the whole records among the first `limit` bytes, which follow those taken before. Returns their length. */
  feed(buffer: Buffer, limit: number): number {
    let at = 0
    for (;;) {
      const scan = scanFrame(buffer, at, limit)
      if (scan._tag !== "Frame") break
      const from = at + frameHeaderBytes
      if (scan.kind === recordKind.transaction) this.part(buffer, from, scan.end)
      else if (scan.kind === recordKind.notice) this.notice(buffer, at, scan.end)
      else if (scan.kind === recordKind.inlineChunk) this.inlineChunk(buffer, from, scan.end)
      at = scan.end
    }
    this.crc = crc32(buffer.subarray(0, at), this.crc)
    this.end += at
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
  private part(buffer: Buffer, at: number, end: number): void {
    const low = buffer.readUInt32LE(at)
    const high = buffer.readUInt32LE(at + 4)
    if (!this.isOpen || this.openHigh !== high || this.openLow !== low) {
      this.entries = this.openFrom
      this.inOrder = true
      this.isOpen = true
      this.openHigh = high
      this.openLow = low
      this.openXid = buffer.readUInt32LE(at + 16)
      const n = this.transactions.length
      const last = n - tableStride
      this.isSkipping =
        n > 0 && !isAbove(high, low, this.transactions[last] as number, this.transactions[last + 1] as number)
    }
    if (!this.isSkipping) this.items(buffer, at + partHeaderBytes, end)
    if (buffer[at + 20] !== lastPart) return
    if (!this.isSkipping) {
      this.commit()
      this.reached(buffer.readUInt32LE(at + 12), buffer.readUInt32LE(at + 8))
    }
    this.isOpen = false
  }

  private items(buffer: Buffer, from: number, end: number): void {
    let next = from
    while (next < end) {
      const op = buffer.readUInt32LE(next)
      const length = buffer.readUInt32LE(next + 4)
      const messageAt = next + itemHeaderBytes
      const idsAt = messageAt + length
      next = idsAt + 4 * buffer.readUInt32LE(next + 8)
      for (let at = idsAt; at < next; at += 4)
        this.push(buffer.readUInt32LE(at), op, this.end + messageAt, length)
    }
  }

  private push(id: number, op: number, position: number, length: number): void {
    if (this.entries >= maxEntries) {
      this.isHopeless = true
      return
    }
    if (this.entries === this.slotOf.length) {
      const words = new Uint32Array(this.words.length * 2)
      words.set(this.words)
      this.words = words
      const slotOf = new Uint32Array(this.slotOf.length * 2)
      slotOf.set(this.slotOf)
      this.slotOf = slotOf
    }
    const n = this.entries++
    const at = n * tailStride
    const words = this.words
    if (n > this.openFrom && op < (words[at - tailStride + 2] as number)) this.inOrder = false
    words[at] = this.openHigh
    words[at + 1] = this.openLow
    words[at + 2] = op
    words[at + 3] = this.segment
    words[at + 4] = position
    words[at + 5] = length
    this.slotOf[n] = id === this.lastId ? this.lastSlot : this.slot(id)
  }

  private slot(id: number): number {
    let slot = this.slots.get(id)
    if (slot === undefined) {
      slot = this.ids.length
      this.ids.push(id)
      this.slots.set(id, slot)
    }
    this.lastId = id
    this.lastSlot = slot
    return slot
  }

  private commit(): void {
    const from = this.openFrom
    if (!this.inOrder) this.sortByOp(from)
    if (this.entries === from + 1) this.markLast(from)
    else if (this.entries > from) {
      const seen = new Set<number>()
      for (let n = this.entries - 1; n >= from; n--) {
        const slot = this.slotOf[n] as number
        if (seen.has(slot)) continue
        seen.add(slot)
        this.markLast(n)
      }
    }
    this.openFrom = this.entries
    this.inOrder = true
    this.transactions.push(this.openHigh, this.openLow, this.openXid)
    this.pushXid(this.openXid)
  }

  private markLast(entry: number): void {
    const at = entry * tailStride + 5
    this.words[at] = ((this.words[at] as number) | tailLastFlag) >>> 0
  }

  /** As a transaction is committed whose operations did not come in their order. */
  private sortByOp(from: number): void {
    const op = (n: number) => this.words[n * tailStride + 2] as number
    const order = Array.from({ length: this.entries - from }, (_, i) => from + i)
    order.sort((a, b) => op(a) - op(b) || a - b)
    const words = this.words.slice(from * tailStride, this.entries * tailStride)
    const slotOf = this.slotOf.slice(from, this.entries)
    order.forEach((n, i) => {
      const at = (n - from) * tailStride
      this.words.set(words.subarray(at, at + tailStride), (from + i) * tailStride)
      this.slotOf[from + i] = slotOf[n - from] as number
    })
  }

  /** The index of what has been read; `undefined` in the middle of a transaction, or when there can be none. */
  encode(): Uint32Array | undefined {
    if (this.isOpen || this.isHopeless) return undefined
    const { entries, rareBytes, slotOf, transactions } = this
    const counts = new Uint32Array(this.ids.length)
    for (let n = 0; n < entries; n++) {
      const slot = slotOf[n] as number
      counts[slot] = (counts[slot] as number) + 1
    }
    const used = counts.reduce((total, count) => total + (count > 0 ? 1 : 0), 0)
    const xids = this.xids.slice(-recentXidsCapacity)
    const entriesAt = headWords + 2 * used
    const xidsAt = entriesAt + tailStride * entries
    const rareAt = xidsAt + xids.length
    const tableAt = rareAt + ((rareBytes + 3) >>> 2)
    const words = new Uint32Array(tableAt + transactions.length)
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
    words[headField.entries] = entries
    words[headField.xids] = xids.length
    words[headField.rareBytes] = rareBytes
    words[headField.transactions] = transactions.length / tableStride
    const next = new Uint32Array(this.ids.length)
    let shape = headWords
    let at = entriesAt
    for (let slot = 0; slot < counts.length; slot++) {
      const count = counts[slot] as number
      if (count === 0) continue
      words[shape++] = this.ids[slot] as number
      words[shape++] = count
      next[slot] = at
      at += tailStride * count
    }
    for (let n = 0; n < entries; n++) {
      const slot = slotOf[n] as number
      const to = next[slot] as number
      next[slot] = to + tailStride
      const from = n * tailStride
      for (let i = 0; i < tailStride; i++) words[to + i] = this.words[from + i] as number
    }
    words.set(xids, xidsAt)
    bytesOf(words).set(this.rare.subarray(0, rareBytes), 4 * rareAt)
    words.set(transactions, tableAt)
    sealIndex(words)
    return words
  }
}

const isAbove = (high: number, low: number, thanHigh: number, thanLow: number): boolean =>
  high !== thanHigh ? high > thanHigh : low > thanLow
