import { crc32 } from "node:zlib"

/** Handled in one turn of the event loop: a millisecond, or three where the memory that is written to is new. */
const turnBytes = 4 << 20

const othersTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The checksum of bytes behind those that have `crc`. Of many, everything else has its turn in between: they must not change. */
export const crcInTurns = async (bytes: Uint8Array, crc = 0): Promise<number> => {
  let sum = crc
  for (let at = 0; at < bytes.length; at += turnBytes) {
    if (at > 0) await othersTurn()
    sum = crc32(bytes.subarray(at, at + turnBytes), sum)
  }
  return sum
}

/** Copies `source[from .. to]` to `at`, in the same way. */
export const copyInTurns = async (
  source: Buffer,
  out: Buffer,
  at: number,
  from: number,
  to: number
): Promise<void> => {
  for (let next = from; next < to; next += turnBytes) {
    if (next > from) await othersTurn()
    source.copy(out, at + next - from, next, Math.min(to, next + turnBytes))
  }
}
