/**
 * Log sequence numbers: unsigned 64-bit byte positions in the write-ahead log.
 * In memory a `bigint`; Postgres prints them as two hexadecimal halves, the HTTP protocol as one decimal number.
 * Source: PostgreSQL documentation, `pg_lsn` type.
 *
 * Those of Postgres may go backwards: after a failover that lost transactions, in a restored backup, in another cluster. What the
 * journal and clients know only rises. Between the two stands a *shift*, which is recorded with the source of the changes.
 */
export type Lsn = bigint

declare const countedByServer: unique symbol

/**
 * A position as the connected server counts it: a `bigint` as well, but for the compiler nothing that can be compared with
 * one of the journal. Made by `parseLsn` and `serverLsn`.
 */
export interface ServerLsn {
  readonly [countedByServer]: true
}

const asServer = (value: bigint): ServerLsn => value as unknown as ServerLsn
const asNumber = (lsn: ServerLsn): bigint => lsn as unknown as bigint

/** The number that goes over the wire. */
export const lsnNumber = asNumber

export const zeroServerLsn = asServer(0n)

/** What the journal calls a position of the server. */
export const journalLsn = (lsn: ServerLsn, shift: bigint): Lsn => asNumber(lsn) + shift

/** What the server calls a position of the journal; 0, which is before everything, for one of a history before the shift. */
export const serverLsn = (lsn: Lsn, shift: bigint): ServerLsn =>
  lsn > shift ? asServer(lsn - shift) : zeroServerLsn

const printed = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

/** `16/B374D848` → 0x16B374D848. `undefined` when the text is not an LSN. */
export const parseLsn = (text: string): ServerLsn | undefined => {
  const match = printed.exec(text)
  if (match === null) return undefined
  return asServer((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`))
}

/** The form Postgres prints and accepts, e.g. `16/B374D848`. */
export const formatLsn = (lsn: ServerLsn): string => {
  const value = asNumber(lsn)
  return `${(value >> 32n).toString(16).toUpperCase()}/${(value & 0xffffffffn).toString(16).toUpperCase()}`
}

export const maxLsn = (a: Lsn, b: Lsn): Lsn => (a > b ? a : b)
