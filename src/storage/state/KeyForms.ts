import { hashOfText, mixedBits } from "../../shared/KeyIndex.ts"

// Identities and handles as the numbers that they are made of, and what they are found by.

/** A digest without the characters that it is written with. */
export const identityBytes = 18
const identityCharacters = 24
/** Six bits for each character of an identity, by its code; 64 for any other one. */
const sixBits = new Uint8Array(128).fill(64)
for (const [bits, character] of Array.from(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
).entries())
  sixBits[character.charCodeAt(0)] = bits

/** Writes the bytes that an identity is of; false where it is not what these would be written as. */
export const writeDigest = (bytes: Buffer, start: number, identity: string): boolean => {
  if (identity.length !== identityCharacters) return false
  let to = start
  let bits = 0
  for (let i = 0; i < identityCharacters; i++) {
    const six = sixBits[identity.charCodeAt(i)] ?? 64
    if (six === 64) return false
    bits = (bits << 6) | six
    if (i % 4 !== 3) continue
    bytes[to++] = bits >>> 16
    bytes[to++] = bits >>> 8
    bytes[to++] = bits
    bits = 0
  }
  return true
}

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

const digest = Buffer.alloc(identityBytes)

/** Its first bits, which are as good as any others. */
export const hashOfIdentity = (identity: string): number =>
  writeDigest(digest, 0, identity) ? digest.readUInt32LE(0) : hashOfText(identity)
