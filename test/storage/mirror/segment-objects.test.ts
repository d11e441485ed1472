import { assert, describe, it } from "@effect/vitest"
import type { ChainContent, ChainPlace } from "../../../src/storage/chain/ChainObject.ts"
import { chainStart, placeAfter } from "../../../src/storage/chain/PlaceAfter.ts"
import { SegmentObjects } from "../../../src/storage/mirror/SegmentObjects.ts"
import { freshSeed, makeRandom, type Random } from "../../../testing/Random.ts"

const rangeOf = (epoch: number, segment: number, position: number, length: number) => ({
  epoch,
  segment,
  position,
  bytes: new Uint8Array(length)
})

/** Objects as writers create them: epochs one after the other, some of which write nothing. */
const history = (random: Random): ReadonlyArray<ChainContent> => {
  const contents: Array<ChainContent> = []
  let [epoch, segment, position] = [0, 0, 0]
  const advance = () => {
    if (epoch > 0 && random.chance(0.3) && position > 0) [segment, position] = [segment + 1, 0]
    const length = random.int(1, 9)
    position += length
    return rangeOf(epoch, segment, position - length, length)
  }
  for (let n = random.int(5, 40); n > 0; n--) {
    if (epoch === 0 || random.chance(0.15)) {
      // It may bring the rest of its predecessor's journal, too.
      const ranges = epoch > 0 && random.chance(0.5) ? [advance(), advance()] : []
      const previous = epoch === 0 ? null : { epoch, segment, position }
      const opened = epoch + random.int(1, 3)
      contents.push({ epoch: opened, ranges, opens: { epoch: opened, previous }, isFence: true })
      ;[epoch, segment, position] = [opened, segment + 1, 0]
    } else if (random.chance(0.1)) contents.push({ epoch, ranges: [], files: [] })
    else contents.push({ epoch, ranges: Array.from({ length: random.int(1, 3) }, advance) })
  }
  return contents
}

const tell = (objects: SegmentObjects, contents: ReadonlyArray<ChainContent>, from: ChainPlace) => {
  let place = from
  for (const content of contents) {
    const link = { n: place.next, previousCrc: place.crc, crc: place.next + 1, stream: "s" }
    const after = placeAfter(place, { ...content, ...link })
    objects.note(
      place,
      after,
      content.ranges.reduce((sum, { bytes }) => sum + bytes.length, 0)
    )
    place = after
  }
  return place
}

const isNeeded = (content: ChainContent, epoch: number, segment: number): boolean =>
  content.ranges.some((range) => range.segment >= segment) || (content.opens?.epoch ?? 0) > epoch

describe("the objects of segments", () => {
  it("begin with the first that is needed, and at most an opening before it", () => {
    const seed = Number(process.env["SEGMENT_OBJECTS_SEED"] ?? freshSeed())
    for (let run = 0; run < 300; run++) {
      const contents = history(makeRandom(seed + run))
      const objects = new SegmentObjects()
      const end = tell(objects, contents, chainStart)
      const heads = contents.flatMap(({ epoch, ranges }) => [
        ...ranges.map((range) => ({ epoch: range.epoch, segment: range.segment })),
        { epoch, segment: (ranges.at(-1)?.segment ?? 0) + 1 }
      ])
      for (const { epoch, segment } of heads) {
        const found = contents.findIndex((content) => isNeeded(content, epoch, segment))
        const first = found < 0 ? contents.length : found
        const place = objects.placeFor({ epoch, segment })
        const said = `SEGMENT_OBJECTS_SEED=${seed + run}, epoch ${epoch}, segment ${segment}`
        assert.isAtMost(place?.next ?? NaN, first, said)
        const tooMany = contents.slice((place?.next ?? 0) + 1, first)
        assert.isTrue(
          tooMany.every(({ ranges }) => ranges.length === 0),
          said
        )
      }
      assert.strictEqual(objects.placeFor({ epoch: 1e9, segment: 1e9 })?.next, end.next)
    }
  })

  it("are known from a checkpoint on, and not for what comes before", () => {
    const objects = new SegmentObjects()
    const opening = { epoch: 3, previous: { epoch: 2, segment: 6, position: 9 } }
    const place: ChainPlace = {
      next: 50,
      crc: 1,
      stream: "s",
      opening,
      end: { epoch: 3, segment: 7, position: 100 },
      fences: [4]
    }
    objects.startAt(place, 8)
    tell(
      objects,
      [
        { epoch: 3, ranges: [rangeOf(3, 7, 100, 5), rangeOf(3, 8, 0, 10)] },
        { epoch: 3, ranges: [rangeOf(3, 8, 10, 20)] },
        { epoch: 3, ranges: [rangeOf(3, 9, 0, 40)] }
      ],
      place
    )
    assert.isUndefined(objects.placeFor({ epoch: 3, segment: 7 }))
    assert.strictEqual(objects.placeFor({ epoch: 3, segment: 8 })?.next, 50)
    assert.deepStrictEqual(objects.placeFor({ epoch: 3, segment: 8 }), place)
    assert.strictEqual(objects.placeFor({ epoch: 3, segment: 9 })?.next, 52)
    assert.strictEqual(objects.placeFor({ epoch: 3, segment: 10 })?.next, 53)
    assert.strictEqual(objects.bytesFrom(50), 75)
    assert.strictEqual(objects.bytesFrom(52), 40)
    objects.forgetBefore({ epoch: 3, segment: 9 })
    assert.strictEqual(objects.placeFor({ epoch: 3, segment: 9 })?.next, 52)
    assert.strictEqual(objects.bytesFrom(52), 40)
  })
})
