/**
 * 64-bit numbers in bytes and in halves. Shifts and masks of a `bigint`, and Node's own functions for buffers, make several
 * objects for each number: where there is one for each transaction, that is most of the garbage.
 */
const whole = new BigUint64Array(1)
const halves = new Uint32Array(whole.buffer)
const [low, high] = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? [0, 1] : [1, 0]

/** The upper half of a number from 0 to 2^64 - 1. */
export const upperHalf = (value: bigint): number => {
  whole[0] = value
  return halves[high] as number
}

/** The lower half of a number from 0 to 2^64 - 1. */
export const lowerHalf = (value: bigint): number => {
  whole[0] = value
  return halves[low] as number
}

/** An unsigned number, most significant byte first. */
export const readUint64BE = (buffer: Buffer, at: number): bigint => {
  halves[high] = buffer.readUInt32BE(at)
  halves[low] = buffer.readUInt32BE(at + 4)
  return whole[0] as bigint
}

/** An unsigned number of 32 bits, least significant byte first, without a look whether it is one. */
export const writeUint32LE = (buffer: Buffer, value: number, at: number): void => {
  buffer[at] = value
  buffer[at + 1] = value >>> 8
  buffer[at + 2] = value >>> 16
  buffer[at + 3] = value >>> 24
}

/** An unsigned number, least significant byte first. */
export const writeUint64LE = (buffer: Buffer, value: bigint, at: number): void => {
  whole[0] = value
  const lower = halves[low] as number
  const upper = halves[high] as number
  buffer[at] = lower
  buffer[at + 1] = lower >>> 8
  buffer[at + 2] = lower >>> 16
  buffer[at + 3] = lower >>> 24
  buffer[at + 4] = upper
  buffer[at + 5] = upper >>> 8
  buffer[at + 6] = upper >>> 16
  buffer[at + 7] = upper >>> 24
}
