/**
 * Log sequence numbers: unsigned 64-bit byte positions in the write-ahead log.
 * In memory a `bigint`; Postgres prints them as two hexadecimal halves, the HTTP protocol as one decimal number.
 * Source: PostgreSQL documentation, `pg_lsn` type.
 */
export type Lsn = bigint

const printed = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

/** `16/B374D848` → 0x16B374D848. `undefined` when the text is not an LSN. */
export const parseLsn = (text: string): Lsn | undefined => {
  const match = printed.exec(text)
  if (match === null) return undefined
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)
}

/** The form Postgres prints and accepts, e.g. `16/B374D848`. */
export const formatLsn = (lsn: Lsn): string =>
  `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`

export const maxLsn = (a: Lsn, b: Lsn): Lsn => (a > b ? a : b)
