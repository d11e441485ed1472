import { assert, describe, it } from "vitest"
import { ByteWriter } from "../../src/shared/ByteWriter.ts"
import { appendJsonText, appendKeyText } from "../../src/shapes/JsonText.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"

/** The rule once more, byte by byte. */
const escaped = (text: Buffer, isKey: boolean): Buffer => {
  const parts: Array<Buffer> = []
  for (const byte of text) {
    const one = Buffer.of(byte)
    if (isKey && byte === 0x2f) parts.push(Buffer.from("//"))
    else parts.push(byte >= 0x80 ? one : Buffer.from(JSON.stringify(one.toString("latin1")).slice(1, -1)))
  }
  return Buffer.concat(parts)
}

const written = (text: Buffer, start: number, length: number, isKey: boolean): Buffer => {
  const w = new ByteWriter(64)
  w.append(Buffer.from("before"))
  const append = isKey ? appendKeyText : appendJsonText
  append(w, text, start, length)
  w.append(Buffer.from("behind"))
  const bytes = Buffer.from(w.written())
  assert.strictEqual(bytes.subarray(0, 6).toString(), "before")
  assert.strictEqual(bytes.subarray(-6).toString(), "behind")
  return bytes.subarray(6, -6)
}

const assertEscaped = (text: Buffer, start: number, length: number, message: string): void => {
  for (const isKey of [false, true]) {
    const expected = escaped(text.subarray(start, start + length), isKey)
    assert.isTrue(expected.equals(written(text, start, length, isKey)), `${message}, key ${isKey}`)
  }
}

describe("text inside of JSON", () => {
  it("is escaped as JSON.stringify does it, with each byte at each place", () => {
    for (let byte = 0; byte < 256; byte++) {
      for (const length of [1, 20, 127, 128, 129, 143, 144, 145]) {
        // Bytes beyond the end need escaping, and must not get it.
        const text = Buffer.alloc(length + 40, '"')
        text.fill("x", 3, 3 + length)
        const at = 3 + ((byte * 7) % length)
        text[at] = byte
        text[3 + length - 1] = byte
        assertEscaped(text, 3, length, `byte ${byte} at ${at - 3} of ${length}`)
      }
    }
  })

  it("is escaped at the borders of what is escaped at once", () => {
    const most = 32 * 1024
    for (const length of [most - 1, most, most + 1, 2 * most, 2 * most + 17]) {
      for (const kind of [Buffer.alloc(length, "x"), Buffer.alloc(length, 1), Buffer.alloc(length, '"/')]) {
        for (const at of [0, most - 17, most - 16, most - 1, most, most + 1, length - 1])
          if (at < length) kind[at] = at % 2 === 0 ? 0x0a : 0x78
        assertEscaped(kind, 0, length, `length ${length}`)
      }
    }
  })

  it("is escaped whatever it is", () => {
    const random = makeRandom(freshSeed())
    for (let i = 0; i < 300; i++) {
      const text = Buffer.alloc(random.int(1, i % 30 === 0 ? 70_000 : 2000))
      const share = random.pick([0, 0.01, 0.1, 0.5, 1])
      for (let k = 0; k < text.length; k++)
        text[k] = random.chance(share)
          ? random.pick([0x22, 0x5c, 0x2f, 0x0a, 0x1f, 0x00])
          : random.int(0, 255)
      const start = random.int(0, text.length - 1)
      assertEscaped(text, start, random.int(0, text.length - start), `seed ${random.seed}`)
    }
  })
})
