import type { Lsn } from "../../shared/Lsn.ts"
import { readUint64BE } from "../../shared/Uint64.ts"
import type { Effect } from "effect"
import type { Relation } from "../../postgres/Relation.ts"
import { makeTuple, nullLength, type Tuple, unchangedToastLength } from "../../postgres/Tuple.ts"
import type { ChangeSink } from "../ChangeSink.ts"
import { atEnd, exactly, MalformedMessage, tooShort, TransactionTooLarge } from "./MalformedMessage.ts"
import { readRelation, sameMessage } from "./RelationMessage.ts"

/** First byte of each message. */
const message = {
  begin: 0x42, // B
  commit: 0x43, // C
  relation: 0x52, // R
  insert: 0x49, // I
  update: 0x55, // U
  delete: 0x44, // D
  truncate: 0x54, // T
  origin: 0x4f, // O
  type: 0x59, // Y
  logical: 0x4d // M
} as const

/** Bytes that say what follows inside a message. */
const marker = {
  newRow: 0x4e, // N
  oldRow: 0x4f, // O
  oldKey: 0x4b, // K
  text: 0x74, // t
  null: 0x6e, // n
  unchanged: 0x75 // u
} as const

interface DecoderOptions {
  /** A transaction whose messages add up to more than this fails with `TransactionTooLarge`. */
  readonly maxTransactionBytes: number
  /** Between positions of the server and those of the sink; see `Lsn`. */
  readonly shift?: bigint
}

/**
 * Reads pgoutput messages (protocol version 1, text format) in place and calls the sink, once per message.
 *
 * Rows are handed over in two tuples that are filled again by the next message; nothing is allocated per column. An
 * unchanged TOAST value of a new row becomes a slice of the old row, which lies in the same buffer. A table keeps one
 * `Relation` object as long as its description stays the same, so the sink may compare by identity.
 *
 * `decode` throws `MalformedMessage` or `TransactionTooLarge` and nothing else of its own; what the sink throws passes
 * through. After a failure the decoder must not be used again. One decoder serves one START_REPLICATION: Postgres
 * describes every table anew in each.
 *
 * Source: PostgreSQL documentation, "Logical Replication Message Formats".
 */
export class PgoutputDecoder {
  /** Between Begin and Commit. Keepalive positions mean nothing there. */
  inTransaction = false

  private readonly sink: ChangeSink
  private readonly maxTransactionBytes: number
  private readonly shift: bigint
  private readonly isShifted: boolean
  private readonly relations = new Map<number, Relation>()
  private lastRelation: Relation | undefined
  private readonly oldTuple: Tuple = makeTuple()
  private readonly newTuple: Tuple = makeTuple()
  private transactionBytes = 0
  private xid = 0
  private commitLsn = 0n

  constructor(sink: ChangeSink, options: DecoderOptions) {
    this.sink = sink
    this.maxTransactionBytes = options.maxTransactionBytes
    this.shift = options.shift ?? 0n
    this.isShifted = this.shift !== 0n
  }

  /** To add nothing takes as long as to add something, and most journals are not shifted. */
  private positionAt(buffer: Buffer, at: number): Lsn {
    const lsn = readUint64BE(buffer, at)
    return this.isShifted ? lsn + this.shift : lsn
  }

  /**
   * Decodes the message in `buffer[start .. end]`. Returns what the sink returned: an Effect that has to complete before
   * the next call, or `undefined`.
   */
  decode(buffer: Buffer, start: number, end: number): Effect.Effect<void> | undefined {
    if (start >= end) throw new MalformedMessage({ kind: "?", why: "a message is empty" })
    const kind = buffer[start]
    const at = start + 1
    if (this.inTransaction) {
      this.transactionBytes += end - start
      if (this.transactionBytes > this.maxTransactionBytes) {
        throw this.tooLarge()
      }
    }
    switch (kind) {
      case message.insert:
        return this.decodeInsert(buffer, at, end)
      case message.update:
        return this.decodeUpdate(buffer, at, end)
      case message.delete:
        return this.decodeDelete(buffer, at, end)
      case message.begin:
        return this.decodeBegin(buffer, at, end)
      case message.commit:
        return this.decodeCommit(buffer, at, end)
      case message.relation:
        return this.decodeRelation(buffer, at, end)
      case message.truncate:
        return this.decodeTruncate(buffer, at, end)
      case message.origin:
      case message.type:
      case message.logical:
        return undefined
      default:
        throw new MalformedMessage({ kind: `0x${(kind ?? 0).toString(16)}`, why: "its type is unknown" })
    }
  }

  /** The failure for a transaction, or a single message in it, that is beyond the limit. */
  tooLarge(): TransactionTooLarge {
    return new TransactionTooLarge({ limitBytes: this.maxTransactionBytes, xid: this.xid })
  }

  private decodeBegin(buffer: Buffer, at: number, end: number): undefined {
    exactly(20, at, end, "Begin")
    if (this.inTransaction) {
      throw new MalformedMessage({ kind: "Begin", why: "a transaction begins inside another one" })
    }
    this.commitLsn = this.positionAt(buffer, at)
    this.xid = buffer.readUInt32BE(at + 16)
    this.inTransaction = true
    this.transactionBytes = end - at + 1
    this.sink.begin(this.commitLsn, this.xid, buffer.readBigInt64BE(at + 8))
    return undefined
  }

  private decodeCommit(buffer: Buffer, at: number, end: number): Effect.Effect<void> | undefined {
    exactly(25, at, end, "Commit")
    this.requireTransaction("Commit")
    if (this.positionAt(buffer, at + 1) !== this.commitLsn) {
      throw new MalformedMessage({ kind: "Commit", why: "its position is not the one announced by Begin" })
    }
    this.inTransaction = false
    return this.sink.commit(this.positionAt(buffer, at + 9))
  }

  private decodeInsert(buffer: Buffer, at: number, end: number): Effect.Effect<void> | undefined {
    const relation = this.changedRelation(buffer, at, end, "Insert")
    const row = this.newTuple
    expectMarker(buffer, at + 4, marker.newRow, "Insert")
    atEnd(readTuple(row, relation, buffer, at + 5, end, "Insert"), end, "Insert")
    return this.sink.insert(relation, row)
  }

  private decodeUpdate(buffer: Buffer, at: number, end: number): Effect.Effect<void> | undefined {
    const relation = this.changedRelation(buffer, at, end, "Update")
    const row = this.newTuple
    const before = buffer[at + 4]
    let next = at + 4
    if (before === marker.oldRow || before === marker.oldKey) {
      next = readTuple(this.oldTuple, relation, buffer, at + 5, end, "Update")
    }
    if (next >= end) throw tooShort("Update")
    expectMarker(buffer, next, marker.newRow, "Update")
    atEnd(readTuple(row, relation, buffer, next + 1, end, "Update"), end, "Update")
    if (before !== marker.oldRow) return this.sink.update(relation, undefined, row)
    fillUnchanged(row, this.oldTuple)
    return this.sink.update(relation, this.oldTuple, row)
  }

  private decodeDelete(buffer: Buffer, at: number, end: number): Effect.Effect<void> | undefined {
    const relation = this.changedRelation(buffer, at, end, "Delete")
    const before = buffer[at + 4]
    if (before !== marker.oldRow && before !== marker.oldKey) {
      throw new MalformedMessage({ kind: "Delete", why: "it holds neither a row nor a key" })
    }
    atEnd(readTuple(this.oldTuple, relation, buffer, at + 5, end, "Delete"), end, "Delete")
    return this.sink.delete(relation, this.oldTuple, before === marker.oldRow)
  }

  private decodeTruncate(buffer: Buffer, at: number, end: number): Effect.Effect<void> | undefined {
    this.requireTransaction("Truncate")
    if (end - at < 5) throw tooShort("Truncate")
    const count = buffer.readUInt32BE(at)
    exactly(5 + count * 4, at, end, "Truncate")
    const relations: Array<Relation> = []
    for (let i = 0; i < count; i++) {
      relations.push(this.relationOf(buffer.readUInt32BE(at + 5 + i * 4), "Truncate"))
    }
    return this.sink.truncate(relations)
  }

  private decodeRelation(buffer: Buffer, at: number, end: number): Effect.Effect<void> | undefined {
    const read = readRelation(buffer, at, end)
    const known = this.relations.get(read.oid)
    const relation = known !== undefined && sameMessage(known, read) ? known : read
    this.relations.set(relation.oid, relation)
    this.lastRelation = relation
    return this.sink.relation(relation)
  }

  /** The table of a row change, whose message must hold at least a marker behind it. */
  private changedRelation(buffer: Buffer, at: number, end: number, kind: string): Relation {
    this.requireTransaction(kind)
    if (end - at < 5) throw tooShort(kind)
    return this.relationOf(buffer.readUInt32BE(at), kind)
  }

  private relationOf(oid: number, kind: string): Relation {
    const last = this.lastRelation
    if (last !== undefined && last.oid === oid) return last
    const relation = this.relations.get(oid)
    if (relation === undefined) {
      throw new MalformedMessage({ kind, why: `table ${oid} was not described before` })
    }
    this.lastRelation = relation
    return relation
  }

  private requireTransaction(kind: string): void {
    if (!this.inTransaction) throw new MalformedMessage({ kind, why: "it is outside a transaction" })
  }
}

const expectMarker = (buffer: Buffer, at: number, expected: number, kind: string): void => {
  if (buffer[at] !== expected) throw new MalformedMessage({ kind, why: "it holds no new row" })
}

/** Fills `tuple` with the TupleData that begins at `at`; returns the position after it. */
const readTuple = (
  tuple: Tuple,
  relation: Relation,
  buffer: Buffer,
  at: number,
  end: number,
  kind: string
): number => {
  if (end - at < 2) throw tooShort(kind)
  const columns = buffer.readUInt16BE(at)
  if (columns !== relation.columns.length) {
    throw new MalformedMessage({
      kind,
      why: `a row of table ${relation.oid} has ${columns} columns instead of ${relation.columns.length}`
    })
  }
  if (columns > tuple.starts.length) {
    tuple.starts = new Int32Array(columns * 2)
    tuple.lengths = new Int32Array(columns * 2)
  }
  const starts = tuple.starts
  const lengths = tuple.lengths
  tuple.buffer = buffer
  tuple.columnCount = columns
  let next = at + 2
  for (let i = 0; i < columns; i++) {
    if (next >= end) throw tooShort(kind)
    const format = buffer[next++]
    starts[i] = next
    if (format === marker.text) {
      if (end - next < 4) throw tooShort(kind)
      const length = buffer.readInt32BE(next)
      next += 4
      if (length < 0 || length > end - next) throw tooShort(kind)
      starts[i] = next
      lengths[i] = length
      next += length
    } else if (format === marker.null) lengths[i] = nullLength
    else if (format === marker.unchanged) lengths[i] = unchangedToastLength
    else throw new MalformedMessage({ kind, why: `a column value has an unknown format` })
  }
  return next
}

const fillUnchanged = (row: Tuple, old: Tuple): void => {
  const lengths = row.lengths
  for (let i = 0; i < row.columnCount; i++) {
    if (lengths[i] === unchangedToastLength) {
      lengths[i] = old.lengths[i] ?? unchangedToastLength
      row.starts[i] = old.starts[i] ?? 0
    }
  }
}
