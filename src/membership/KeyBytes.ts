import type { LinkKey } from "../where/index.ts"

const int32 = 1
const float64 = 2
const uuid = 3
const latin1 = 4
const utf16 = 5
const bigInteger = 6
const yes = 7
const no = 8

/** Where a text stands, after the length of all of it. */
const textAt = 5

/** Of all bytes of the key that begins there. */
export const keyLength = (bytes: Buffer, start: number): number => {
  switch (bytes[start]) {
    case int32:
      return 5
    case float64:
      return 9
    case uuid:
      return 17
    case yes:
    case no:
      return 1
    default:
      return bytes.readUInt32LE(start + 1)
  }
}

/** Keys as bytes, equal for equal keys and only for them: a UUID takes 17, an integer 5. */
export class KeyBytes {
  /** The first `length` bytes are the key that was written last. */
  bytes: Buffer = Buffer.alloc(256)
  length = 0

  write(key: LinkKey): void {
    if (typeof key === "string") {
      if (!this.writeUuid(key)) this.writeText(key, latin1)
    } else if (typeof key === "number") this.writeNumber(key)
    else if (typeof key === "bigint") this.writeText(String(key), bigInteger)
    else if (typeof key === "boolean") {
      this.bytes[0] = key ? yes : no
      this.length = 1
    } else throw new Error(`a ${typeof key} is no key of a value`)
  }

  private writeNumber(key: number): void {
    // -0 is 0, as for a Map.
    if ((key | 0) === key) {
      const { bytes } = this
      bytes[0] = int32
      bytes[1] = key
      bytes[2] = key >> 8
      bytes[3] = key >> 16
      bytes[4] = key >> 24
      this.length = 5
    } else {
      this.bytes[0] = float64
      this.bytes.writeDoubleLE(key, 1)
      this.length = 9
    }
  }

  private writeUuid(text: string): boolean {
    if (text.length !== 36) return false
    const { bytes } = this
    let at = 1
    for (let i = 0; i < 36; i += 2) {
      if (i === 8 || i === 13 || i === 18 || i === 23) {
        if (text.charCodeAt(i) !== 45) return false
        i++
      }
      const high = hexDigit(text.charCodeAt(i))
      const low = hexDigit(text.charCodeAt(i + 1))
      if (high < 0 || low < 0) return false
      bytes[at++] = high * 16 + low
    }
    bytes[0] = uuid
    this.length = at
    return true
  }

  private writeText(text: string, tag: number): void {
    const { length } = text
    if (this.bytes.length < textAt + 2 * length) this.bytes = Buffer.alloc(textAt + 4 * length)
    const { bytes } = this
    bytes[0] = tag
    this.length = textAt + length
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 255) {
        bytes[0] = utf16
        this.length = textAt + bytes.write(text, textAt, "utf16le")
        break
      }
      bytes[textAt + i] = code
    }
    bytes.writeUInt32LE(this.length, 1)
  }

  /** Of the key that was written last. */
  get hash(): number {
    return hashOf(this.bytes, 0, this.length)
  }
}

const hexDigit = (code: number): number =>
  code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 : -1

/** FNV-1a, and a last step that lets every bit count in the lowest ones. */
export const hashOf = (bytes: Uint8Array, start: number, end: number): number => {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** The key that begins there. */
export const readKey = (bytes: Buffer, start: number): LinkKey => {
  const end = start + keyLength(bytes, start)
  switch (bytes[start]) {
    case int32:
      return bytes.readInt32LE(start + 1)
    case float64:
      return bytes.readDoubleLE(start + 1)
    case uuid: {
      const hex = bytes.toString("hex", start + 1, end)
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
    }
    case latin1:
      return bytes.toString("latin1", start + textAt, end)
    case utf16:
      return bytes.toString("utf16le", start + textAt, end)
    case bigInteger:
      return BigInt(bytes.toString("latin1", start + textAt, end))
    default:
      return bytes[start] === yes
  }
}
