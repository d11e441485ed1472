import { assert, describe, it } from "@effect/vitest"
import type { ChainObject, ChainPlace } from "../../../src/storage/chain/ChainObject.ts"
import { chainStart, misfit, placeAfter, placeAfterTold } from "../../../src/storage/chain/PlaceAfter.ts"

const range = (epoch: number, segment: number, position: number, length: number) => ({
  epoch,
  segment,
  position,
  bytes: Buffer.alloc(length)
})
const opening = { epoch: 5, previous: { epoch: 4, segment: 2, position: 130 }, url: "http://a:3000" }
const earlier = { epoch: 4, previous: null }
const place: ChainPlace = {
  next: 9,
  crc: 77,
  stream: "s",
  opening: earlier,
  end: { epoch: 4, segment: 2, position: 100 },
  fences: [0, 3]
}
const plain: ChainObject = { n: 9, previousCrc: 77, crc: 88, stream: "s", epoch: 4, ranges: [] }
const after = { ...place, next: 10, crc: 88 }

describe("the place after an object", () => {
  const table: ReadonlyArray<readonly [string, ChainPlace, ChainObject, ChainPlace]> = [
    ["without a range the end stays", place, { ...plain, checkpoint: "checkpoints/8" }, after],
    [
      "the end is that of the last range",
      place,
      { ...plain, ranges: [range(4, 2, 100, 30), range(4, 3, 0, 5)] },
      { ...after, end: { epoch: 4, segment: 3, position: 5 } }
    ],
    [
      "an opening begins a journal, whatever it ends",
      place,
      { ...plain, epoch: 5, ranges: [range(4, 2, 100, 30)], opens: opening, isFence: true },
      { ...after, opening, end: { epoch: 5, segment: 0, position: 0 }, fences: [0, 3, 9] }
    ],
    [
      "a fence may come before the opening",
      place,
      { ...plain, epoch: 5, ranges: [range(4, 2, 100, 30)], isFence: true },
      { ...after, end: { epoch: 4, segment: 2, position: 130 }, fences: [0, 3, 9] }
    ],
    [
      "the first object names the stream",
      chainStart,
      { ...plain, n: 0, previousCrc: 0, epoch: 1, opens: { epoch: 1, previous: null }, isFence: true },
      {
        next: 1,
        crc: 88,
        stream: "s",
        opening: { epoch: 1, previous: null },
        end: { epoch: 1, segment: 0, position: 0 },
        fences: [0]
      }
    ]
  ]
  for (const [says, before, object, expected] of table)
    it(says, () => assert.deepStrictEqual(placeAfter(before, object), expected))

  it("is the same when it was told", () => {
    const object = { ...plain, ranges: [range(4, 2, 100, 30)] }
    const { n, previousCrc, crc } = object
    const told = placeAfterTold(place, { n, previousCrc, crc, end: { epoch: 4, segment: 2, position: 130 } })
    assert.deepStrictEqual(told, placeAfter(place, object))
  })

  const misfits: ReadonlyArray<readonly [string | undefined, ChainPlace, Partial<ChainObject>]> = [
    [undefined, place, {}],
    [undefined, chainStart, { n: 0, previousCrc: 0, stream: "any" }],
    ["otherStream", place, { stream: "t" }],
    ["otherStream", place, { stream: "t", n: 8, previousCrc: 1 }],
    ["gap", place, { n: 8 }],
    ["gap", place, { previousCrc: 78 }],
    ["gap", chainStart, { n: 0, previousCrc: 1 }]
  ]
  for (const [reason, before, object] of misfits)
    it(`${reason ?? "nothing"} is wrong with ${JSON.stringify(object)} at ${before.next}`, () =>
      assert.strictEqual(misfit(before, { ...plain, ...object })?.reason, reason))
})
