/**
 * Position in a shape's log, written `<tx>_<op>` on the wire.
 *
 * `tx` is the commit LSN of a transaction, `op` the position of an operation inside it (even numbers; the odd
 * one above is the second half of a split operation). `tx` 0 is the snapshot: `0_<n>` is the end of snapshot
 * chunk n, `0_inf` the end of the snapshot. `-1` is before everything.
 * Source: HTTP API, `offset`.
 */
export interface LogOffset {
  readonly tx: bigint
  /** `Infinity` is written `inf`. */
  readonly op: number
}

export const beforeAll: LogOffset = { tx: -1n, op: 0 }
export const snapshotEnd: LogOffset = { tx: 0n, op: Infinity }
export const snapshotChunk = (index: number): LogOffset => ({ tx: 0n, op: index })

/** Negative, zero or positive as `a` is before, at or after `b`. */
export const compareOffsets = (a: LogOffset, b: LogOffset): number =>
  a.tx < b.tx ? -1 : a.tx > b.tx ? 1 : a.op < b.op ? -1 : a.op > b.op ? 1 : 0

export const isVirtual = (offset: LogOffset): boolean => offset.tx === 0n

export const formatOffset = (offset: LogOffset): string =>
  offset.tx < 0n ? "-1" : `${offset.tx}_${offset.op === Infinity ? "inf" : offset.op}`

/** A minus is a sign like any other, but only zero can have it. */
const syntax = /^(?:\+|-(?=0+_))?([0-9]+)_(?:(?:\+|-(?=0+$))?([0-9]+)|(inf))$/

/**
 * Reads an offset as requests carry it; `now` is not an offset. Leading zeros and signs are tolerated, `-1_0`
 * means `-1`. `undefined` when the text is no offset. An `op` past 2^53 is read as `inf`.
 */
export const parseOffset = (text: string): LogOffset | undefined => {
  if (text === "-1" || text === "-1_0") return beforeAll
  const match = syntax.exec(text)
  if (match === null) return undefined
  const [, tx = "0", op] = match
  const value = op === undefined ? Infinity : Number(op)
  return { tx: BigInt(tx), op: Number.isSafeInteger(value) ? value : Infinity }
}
