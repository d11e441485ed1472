import { hash } from "node:crypto"
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
