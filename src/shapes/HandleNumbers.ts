import { hashOfText, mixedBits } from "../shared/tables/KeyIndex.ts"

/** The two numbers of a handle of ours; `undefined` where they do not make up the same text. */
export const numbersOf = (handle: string): readonly [hash: number, micros: number] | undefined => {
  const dash = handle.indexOf("-")
  const hash = numberIn(handle, 0, dash)
  const micros = numberIn(handle, dash + 1, handle.length)
  return hash === undefined || hash > 0xffffffff || micros === undefined ? undefined : [hash, micros]
}

/** The number of which a part of a text is the decimal form. */
const numberIn = (text: string, from: number, end: number): number | undefined => {
  if (end <= from || end - from > 16 || (text.charCodeAt(from) === 0x30 && end - from > 1)) return undefined
  let number = 0
  for (let i = from; i < end; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return undefined
    number = 10 * number + digit
  }
  return Number.isSafeInteger(number) ? number : undefined
}

export const hashOfNumbers = (hash: number, micros: number): number =>
  mixedBits(Math.imul(hash, 0x9e3779b1) ^ mixedBits(micros ^ (micros / 0x100000000)))

export const hashOfHandle = (handle: string): number => {
  const numbers = numbersOf(handle)
  return numbers === undefined ? hashOfText(handle) : hashOfNumbers(numbers[0], numbers[1])
}
