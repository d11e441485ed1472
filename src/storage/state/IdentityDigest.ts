import { hash } from "node:crypto"
import { hashOfText } from "../../shared/tables/KeyIndex.ts"
import { type ShapeDefinition, shapeIdentity } from "../../shapes/ShapeDefinition.ts"

const digestLength = 24
const wholeDigest = Buffer.alloc(43)

/** Digest that stands for a shape's identity in look-ups and in storage. */
export const digestOf = (identity: string): string => {
  // By way of bytes: a part of the whole text would keep that in memory. A digest as bytes takes three times as long.
  wholeDigest.write(hash("sha256", identity, "base64url"), "latin1")
  return wholeDigest.toString("latin1", 0, digestLength)
}

export const identityDigest = (definition: ShapeDefinition): string => digestOf(shapeIdentity(definition))

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

const digest = Buffer.alloc(identityBytes)

/** Its first bits, which are as good as any others. */
export const hashOfIdentity = (identity: string): number =>
  writeDigest(digest, 0, identity) ? digest.readUInt32LE(0) : hashOfText(identity)
