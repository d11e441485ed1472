import { crc32 } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { ChainBroken } from "../../../src/storage/chain/ChainBroken.ts"
import { decodeChainObject, encodeChainObject } from "../../../src/storage/chain/ChainCodec.ts"
import type { ChainContent } from "../../../src/storage/chain/ChainObject.ts"

const count = fc.nat(2 ** 48)
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const end = fc.record({ epoch: fc.nat(), segment: fc.nat(), position: count })
const name = fc.constantFrom("tables.json.gz", "types.json.gz", "a/b-c/d_e.0")

const contents: fc.Arbitrary<ChainContent> = fc.record(
  {
    epoch: fc.nat(),
    ranges: fc.array(fc.record({ epoch: fc.nat(), segment: fc.nat(), position: count, bytes }), {
      maxLength: 4
    }),
    opens: fc.record(
      {
        epoch: fc.nat(),
        previous: fc.option(end),
        release: fc.string(),
        newest: fc.nat(),
        url: fc.webUrl()
      },
      { requiredKeys: ["epoch", "previous"] }
    ),
    files: fc.array(fc.record({ name, content: bytes }), { minLength: 1, maxLength: 3 }),
    checkpoint: fc.string(),
    isFence: fc.boolean()
  },
  { requiredKeys: ["epoch", "ranges"] }
)
const places = fc.record({ stream: fc.uuid(), n: count, previousCrc: fc.nat(0xffffffff) })

const reasonOf = (object: Buffer): Promise<string> =>
  decodeChainObject(object, "wal/7").then(
    () => "sound",
    (error: unknown) => {
      assert.instanceOf(error, ChainBroken)
      assert.match(error.message, /^wal\/7 .* \(.+\)$/)
      return error.reason
    }
  )

const sample = () =>
  encodeChainObject(
    { stream: "0b7e0c02-6c1d-4f57-8f0b-5a3d0f1e2c3b", n: 7, previousCrc: 123 },
    {
      epoch: 3,
      ranges: [{ epoch: 2, segment: 1, position: 4096, bytes: Buffer.from("the end of a journal") }],
      opens: { epoch: 3, previous: { epoch: 2, segment: 1, position: 4116 } },
      files: [{ name: "tables.json.gz", content: Buffer.from("{}") }]
    }
  )

/** The same object with something else in it, and the checksum of that. */
const resealed = (object: Buffer, change: (copy: Buffer) => void): Buffer => {
  const copy = Buffer.from(object)
  change(copy)
  copy.writeUInt32LE(crc32(copy.subarray(0, -4)), copy.length - 4)
  return copy
}

describe("an object of the chain as bytes", () => {
  it("comes out as it went in", () =>
    fc.assert(
      fc.asyncProperty(places, contents, async (place, content) => {
        const encoded = await encodeChainObject(place, content)
        const decoded = await decodeChainObject(encoded.bytes, "wal/7")
        assert.deepStrictEqual(decoded, { ...place, crc: encoded.crc, ...content })
      }),
      { numRuns: 200 }
    ))

  it("is like no other one, even of the same content at the same place", async () => {
    const [one, other] = [await sample(), await sample()]
    assert.isFalse(one.bytes.equals(other.bytes))
    assert.notStrictEqual(one.crc, other.crc)
  })

  it("is refused with any byte changed", async () => {
    const { bytes: object } = await sample()
    for (let at = 0; at < object.length; at++)
      for (const flipped of [1, 0x80, 0xff]) {
        const changed = Buffer.from(object)
        changed[at] = (changed[at] ?? 0) ^ flipped
        assert.strictEqual(await reasonOf(changed), at < 8 ? "foreign" : "damaged", `byte ${at}`)
      }
  })

  it("is refused when it is cut off, or goes on", async () => {
    const { bytes: object } = await sample()
    for (let length = 0; length < object.length; length++)
      assert.strictEqual(await reasonOf(object.subarray(0, length)), length < 8 ? "foreign" : "damaged")
    assert.strictEqual(await reasonOf(Buffer.concat([object, Buffer.from([0])])), "damaged")
  })

  it("is not read in a format that is not known, which is no damage", async () => {
    const { bytes: object } = await sample()
    const newer = resealed(object, (copy) => {
      copy.writeUInt32LE(2, 8)
      copy.fill(0xaa, 12, copy.length - 4)
    })
    assert.strictEqual(await reasonOf(newer), "newerFormat")
  })

  it("is not believed when its parts contradict each other", async () => {
    const { bytes: object } = await sample()
    const changed = (from: string, to: string) =>
      resealed(object, (copy) => void copy.write(to, copy.indexOf(from), "latin1"))
    assert.strictEqual(await reasonOf(changed('"length":20', '"length":21')), "damaged")
    assert.strictEqual(await reasonOf(changed('"length":20', '"length":-1')), "damaged")
    assert.strictEqual(await reasonOf(changed('{"n"', '{{n"')), "damaged")
    assert.strictEqual(await reasonOf(resealed(object, (copy) => copy.writeUInt32LE(2 ** 31, 12))), "damaged")
    for (const path of ["../les.json.gz", "/ables.json.gz", ".ables.json.gz", "tab/../on.gz.x"])
      assert.strictEqual(await reasonOf(changed("tables.json.gz", path)), "foreign", path)
  })

  it("takes no file that would lie elsewhere", async () => {
    const files = [{ name: "../somewhere", content: Buffer.alloc(1) }]
    const failed = encodeChainObject({ stream: "s", n: 0, previousCrc: 0 }, { epoch: 1, ranges: [], files })
    assert.match(String(await failed.catch((error: unknown) => error)), /is no name/)
  })
})
