/**
 * A function in WebAssembly that escapes text, written down instruction by instruction: it is too small for a tool chain, and bytes
 * that nobody can read would be worse.
 */

// The instructions that it takes. Source: WebAssembly Core Specification 2.0, 5.4, "Instructions".

const leb128 = (value: number): ReadonlyArray<number> =>
  value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...leb128(value >>> 7)]
const get = (local: number) => [0x20, local]
const set = (local: number) => [0x21, local]
const number = (value: number) => [0x41, ...leb128(value)]
const long = (value: number) => [0x42, ...leb128(value)]
const add = [0x6a]
const subtract = [0x6b]
const shiftLeft = [0x74]
const isLess = [0x49]
const isZero = [0x45]
const trailingZeros = [0x68]
const shiftLongRight = [0x88]
const lowOfLong = [0xa7]
const loadByte = [0x2d, 0, 0]
const loadLong = [0x29, 0, 0]
const storeLong = [0x37, 0, 0]
const loadVector = [0xfd, 0x00, 0, 0]
const storeVector = [0xfd, 0x0b, 0, 0]
const sixteenTimes = [0xfd, 0x0f]
const areEqual = [0xfd, 0x23]
const areLess = [0xfd, 0x26]
const or = [0xfd, 0x50]
const oneBitEach = [0xfd, 0x64]
const loop = [0x03, 0x40]
const again = [0x0d, 0]
const ifSo = [0x04, 0x40]
const otherwise = [0x05]
const end = [0x0b]
const [i32, i64, v128] = [0x7f, 0x7e, 0x7b] as const

/** Its parameters, then variables. */
const [from, until, to, extra, found, entry, vector] = [0, 1, 2, 3, 4, 5, 6] as const

/**
 * `(from, until, to, extra) => end`: writes the text at `from` to `to`, with the entry of the table in the place of each control
 * character, quote, backslash, and byte that is `extra`. An entry has eight bytes: the text, and in the last one how many bytes that is. Sixteen bytes are copied whatever they are, up to the first that
 * has to be replaced; what was copied behind that, or behind `until`, is written over or counts for nothing.
 */
const code: ReadonlyArray<number> = [
  [loop],
  [get(to), get(from), loadVector, set(vector), get(vector), storeVector],
  [get(vector), number(0x20), sixteenTimes, areLess],
  [get(vector), number(0x22), sixteenTimes, areEqual, or],
  [get(vector), number(0x5c), sixteenTimes, areEqual, or],
  [get(vector), get(extra), sixteenTimes, areEqual, or],
  [oneBitEach, set(found)],
  [get(found), isZero, ifSo],
  // Apart from what follows, so that the processor need not wait for the place of the next sixteen.
  [get(from), number(16), add, set(from), get(to), number(16), add, set(to)],
  [otherwise, get(found), trailingZeros, set(found)],
  [get(from), get(found), add, set(from), get(to), get(found), add, set(to)],
  [get(from), get(until), isLess, ifSo],
  [get(to), get(from), loadByte, number(3), shiftLeft, loadLong, set(entry)],
  [get(entry), storeLong],
  [get(to), get(entry), long(56), shiftLongRight, lowOfLong, add, set(to)],
  [get(from), number(1), add, set(from), end, end],
  [get(from), get(until), isLess, again, end],
  [get(to), get(from), get(until), subtract, subtract, end]
].flat(2)

const section = (id: number, content: ReadonlyArray<number>) => [id, ...leb128(content.length), ...content]
const nameOf = (text: string) => [text.length, ...Buffer.from(text)]

const magicAndVersion = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

/** A module that exports `memory`, of so many pages, and `escape`, which finds its table at the beginning of the memory. */
export const escapeModule = (memoryPages: number): Uint8Array<ArrayBuffer> => {
  const body = [3, 1, i32, 1, i64, 1, v128, ...code]
  return Uint8Array.from([
    ...magicAndVersion,
    ...section(1, [1, 0x60, 4, i32, i32, i32, i32, 1, i32]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, memoryPages]),
    ...section(7, [2, ...nameOf("memory"), 2, 0, ...nameOf("escape"), 0, 0]),
    ...section(10, [1, ...leb128(body.length), ...body])
  ])
}
