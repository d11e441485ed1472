import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { CreatedDecoder } from "../../src/storage/records/CreatedRecords.ts"
import { FrequentNotices } from "../../src/storage/records/FrequentNotices.ts"
import { encodeNotice, type Notice } from "../../src/storage/records/Records.ts"

const visibilities = [
  { xmin: "7", xmax: "9", xipList: ["7", "8"], containedBefore: "1234" },
  { xmin: "7", xmax: "9", xipList: ["7", "8"], containedBefore: "12345" },
  { xmin: "7", xmax: "9", xipList: [] }
]
const number = fc.oneof(fc.nat(30), fc.maxSafeNat())
const chunk = fc.oneof(
  fc.record({ index: number, bytes: number, crc: number }),
  fc.record({ index: number, bytes: number, crc: number, extents: fc.constant([]) })
)
const movedShape = fc.oneof(
  { weight: 5, arbitrary: fc.record({ id: number, files: fc.constant([]), chunks: fc.tuple(chunk) }) },
  fc.record({ id: number, files: fc.constant([]), chunks: fc.array(chunk, { maxLength: 2 }) })
)
const notice: fc.Arbitrary<Notice> = fc.oneof(
  fc.record({
    t: fc.constant("moved" as const),
    segment: number,
    shapes: fc.array(movedShape, { maxLength: 4 })
  }),
  fc.record({
    t: fc.constant("visible" as const),
    id: number,
    visibility: fc.constantFrom(...visibilities)
  }),
  fc.record({ t: fc.constant("complete" as const), id: number, chunks: number }),
  fc.record({ t: fc.constant("dropped" as const), ids: fc.array(number), reason: fc.string() })
)

describe("notices that every shape has", () => {
  it("are read as a JSON parser reads them, in any order and after any others", () => {
    fc.assert(
      fc.property(fc.array(notice), (notices) => {
        const decoder = new CreatedDecoder()
        assert.deepStrictEqual(
          notices.map((one) => decoder.decode(encodeNotice(one))),
          notices
        )
      }),
      { numRuns: 500 }
    )
  })

  it("are left to the parser where they look different, or are cut off", () => {
    const frequent = new FrequentNotices()
    const [visibility] = visibilities
    const seen = encodeNotice({
      t: "visible",
      id: 1,
      visibility: visibility ?? { xmin: "", xmax: "", xipList: [] }
    })
    frequent.remember(seen, JSON.parse(seen.toString()) as Notice)
    assert.deepStrictEqual(frequent.decode(seen), JSON.parse(seen.toString()))
    const complete = encodeNotice({ t: "complete", id: 1, chunks: 1 })
    const chunks = [{ index: 0, bytes: 12, crc: 4_000_000_000 }]
    const shapes = [1, 2].map((id) => ({ id, files: [], chunks }))
    const moved = encodeNotice({ t: "moved", segment: 3, shapes })
    assert.deepStrictEqual(frequent.decode(moved), JSON.parse(moved.toString()))
    for (const whole of [seen, complete, moved])
      for (let length = 0; length < whole.length; length++)
        assert.isUndefined(frequent.decode(whole.subarray(0, length)), whole.toString("utf8", 0, length))
    for (const text of [
      '{"t":"complete","id":1,"chunks":1,"more":1}',
      '{"t":"complete","id":-1,"chunks":1}',
      '{"t":"complete","id":1,"chunks":1.5}',
      '{"t":"complete","id":12345678901234567890,"chunks":1}',
      '{"t":"complete","chunks":1,"id":1}',
      '{"t":"visible","id":"1","visibility":{}}',
      '{"t":"moved","segment":3,"shapes":[]}',
      moved.toString().replace("]}]}", "]},]}"),
      moved.toString().replace('"files":[]', '"files":[{}]'),
      moved.toString().replace('"bytes":12', '"bytes":-1'),
      moved.toString().replace('"crc":4000000000', '"crc":4000000000,"extents":[]'),
      moved.toString().replace('"index":0', '"index":00x'),
      seen.toString().replace('"xmin":"7"', '"xmin":"6"')
    ])
      assert.isUndefined(frequent.decode(Buffer.from(text)), text)
  })
})
