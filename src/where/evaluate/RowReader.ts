import { nullLength, unchangedToastLength, type Tuple } from "../../postgres/Tuple.ts"
import { codecOf } from "../values/Codecs.ts"
import { undecided } from "../values/Failure.ts"
import type { TypeSpec } from "../values/TypeSpec.ts"

/** Reads a value of one type out of the bytes of a row. */
type Decoder = (buffer: Buffer, start: number, end: number) => unknown

const decodeInteger =
  (fallback: (text: string) => unknown): Decoder =>
  (buffer, start, end) => {
    let i = start
    const negative = buffer[i] === 45
    if (negative) i++
    if (end - i > 15 || i === end) return fallback(buffer.toString("latin1", start, end))
    let value = 0
    for (; i < end; i++) value = value * 10 + (buffer[i] ?? 48) - 48
    return negative ? 0 - value : value
  }

const decodeText: Decoder = (buffer, start, end) => {
  // Short texts are mostly ASCII: reading them byte by byte beats the call into the runtime.
  if (end - start <= 12) {
    let text = ""
    for (let i = start; i < end; i++) {
      const byte = buffer[i] ?? 0
      if (byte >= 128) return buffer.toString("utf8", start, end)
      text += String.fromCharCode(byte)
    }
    return text
  }
  return buffer.toString("utf8", start, end)
}

const decoderOf = (type: TypeSpec): Decoder => {
  const { read } = codecOf(type, "c")
  if (type === "int2" || type === "int4" || type === "int8" || type === "oid") return decodeInteger(read)
  if (type === "text" || type === "varchar" || type === "bpchar" || type === "name") return decodeText
  if (type === "bool") return (buffer, start) => buffer[start] === 116
  // A label that was added later is like any other, but for its place in their order, which is not known.
  if (typeof type !== "string" && "enum" in type) return decodeText
  return (buffer, start, end) => read(buffer.toString("utf8", start, end))
}

const unset = Symbol("unset")

/**
 * The current row of one relation: every column is decoded at most once per row, however many clauses read it.
 * Derived values (a lower-cased column) are remembered the same way.
 */
export class RowReader {
  private buffer: Buffer = Buffer.alloc(0)
  private starts = new Int32Array(0)
  private lengths = new Int32Array(0)
  private count = 0
  private readonly indexes: Array<number> = []
  private readonly decoders: Array<Decoder> = []
  private readonly values: Array<unknown> = []
  private readonly slots = new Map<string, number>()
  private readonly derived: Array<(() => unknown) | undefined> = []

  /** A slot for column `index` read as `type`; the same for equal arguments. */
  columnSlot(index: number, type: TypeSpec): number {
    const key = `${index}|${typeof type === "string" ? type : JSON.stringify(type)}`
    return this.slotFor(key, index, decoderOf(type), undefined)
  }

  /** A slot for a value computed from the row, under a key that says how. */
  derivedSlot(key: string, compute: () => unknown): number {
    return this.slotFor(`=${key}`, -1, decodeText, compute)
  }

  private slotFor(
    key: string,
    index: number,
    decoder: Decoder,
    compute: (() => unknown) | undefined
  ): number {
    let slot = this.slots.get(key)
    if (slot === undefined) {
      slot = this.indexes.length
      this.slots.set(key, slot)
      this.indexes.push(index)
      this.decoders.push(decoder)
      this.derived.push(compute)
      this.values.push(unset)
    }
    return slot
  }

  /** Makes `tuple` the current row. Its arrays must not change while it is. */
  load(tuple: Tuple): void {
    this.buffer = tuple.buffer
    this.starts = tuple.starts as Int32Array<ArrayBuffer>
    this.lengths = tuple.lengths as Int32Array<ArrayBuffer>
    this.count = tuple.columnCount
    this.values.fill(unset)
  }

  value(slot: number): unknown {
    const known = this.values[slot]
    return known === unset ? this.decode(slot) : known
  }

  private decode(slot: number): unknown {
    const compute = this.derived[slot]
    if (compute !== undefined) return (this.values[slot] = compute())
    const index = this.indexes[slot] ?? -1
    const length = index < this.count ? (this.lengths[index] ?? nullLength) : nullLength
    if (length < 0) {
      if (length === unchangedToastLength) return undecided("a column whose value was not sent")
      return (this.values[slot] = null)
    }
    const start = this.starts[index] ?? 0
    const decoder = this.decoders[slot] ?? decodeText
    return (this.values[slot] = decoder(this.buffer, start, start + length))
  }

  /** NULL test of a column without decoding it. */
  isNull(slot: number): boolean {
    const index = this.indexes[slot] ?? -1
    return (index < this.count ? (this.lengths[index] ?? nullLength) : nullLength) === nullLength
  }
}
