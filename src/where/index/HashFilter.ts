/** The hash of an empty text. */
export const hashOfNothing = 0x811c9dc5 | 0

/** The hash of a text with one more UTF-16 unit, 32 bits. Source: the FNV-1a hash, by units. */
export const addUnit = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193)

export const hashOf = (text: string): number => {
  let hash = hashOfNothing
  for (let at = 0; at < text.length; at++) hash = addUnit(hash, text.charCodeAt(at))
  return hash
}

const bitsPerKey = 16

/**
 * Says of a hash that it is not among those that were added; one in fifty others is let through. A Bloom filter of blocks: the three bits of a
 * hash stand in one word, so that a question is one read of memory. Takes two bytes for each of `capacity` keys.
 */
export class HashFilter {
  readonly capacity: number
  private readonly words: Uint32Array
  private readonly shift: number

  constructor(capacity: number) {
    const bits = Math.max(5, Math.ceil(Math.log2((capacity * bitsPerKey) / 32)))
    this.words = new Uint32Array(2 ** bits)
    this.capacity = capacity
    this.shift = 32 - bits
  }

  add(hash: number): void {
    const mixed = mix(hash)
    const word = mixed >>> this.shift
    this.words[word] = (this.words[word] ?? 0) | bitsOf(mixed)
  }

  mayHave(hash: number): boolean {
    const mixed = mix(hash)
    const bits = bitsOf(mixed)
    return ((this.words[mixed >>> this.shift] ?? 0) & bits) === bits
  }
}

/** So that all bits of it count for the word, and for those in it. */
const mix = (hash: number): number => {
  const once = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  const twice = Math.imul(once ^ (once >>> 12), 0x297a2d39)
  return twice ^ (twice >>> 15)
}

const bitsOf = (mixed: number): number => {
  const more = Math.imul(mixed, 0x9e3779b1)
  return (1 << (more >>> 27)) | (1 << ((more >>> 22) & 31)) | (1 << ((more >>> 17) & 31))
}
