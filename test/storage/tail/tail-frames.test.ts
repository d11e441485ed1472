import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { frameOf } from "../../../src/storage/disk/Frame.ts"
import {
  bytesAt,
  createdFrame,
  emptyBytesFrame,
  heartbeatFrame,
  helloFrame,
  sealBytesFrame,
  TailDecoder,
  type TailFrame
} from "../../../src/storage/tail/TailFrames.ts"

const encoded = (frame: TailFrame): Buffer => {
  switch (frame._tag) {
    case "Hello":
      return helloFrame(frame.hello)
    case "Created":
      return createdFrame(frame.object)
    case "Heartbeat":
      return heartbeatFrame
    case "Bytes": {
      const { bytes, position, segment } = frame.bytes
      const made = emptyBytesFrame(bytes.length)
      made.set(bytes, bytesAt)
      sealBytesFrame(made, segment, position)
      return made
    }
  }
}

const count = fc.nat({ max: 0xffff_ffff })
const anyFrame: fc.Arbitrary<TailFrame> = fc.oneof(
  fc
    .record({ format: count, release: fc.string(), epoch: count })
    .map((hello) => ({ _tag: "Hello", hello }) as const),
  fc
    .record({ segment: count, position: fc.nat({ max: 2 ** 40 }), bytes: fc.uint8Array({ maxLength: 5000 }) })
    .map((bytes) => ({ _tag: "Bytes", bytes }) as const),
  fc
    .record({
      n: count,
      crc: count,
      previousCrc: count,
      segment: count,
      position: count,
      holdsMore: fc.boolean()
    })
    .map((object) => ({ _tag: "Created", object }) as const),
  fc.constant({ _tag: "Heartbeat" } as const)
)

/** What a decoder tells, kept: bytes are only lent. */
const kept = (frame: TailFrame): TailFrame =>
  frame._tag === "Bytes"
    ? { _tag: "Bytes", bytes: { ...frame.bytes, bytes: Uint8Array.from(frame.bytes.bytes) } }
    : frame

const decode = (stream: Buffer, cuts: ReadonlyArray<number>) => {
  const decoder = new TailDecoder()
  const frames: Array<TailFrame> = []
  const places = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].toSorted((a, b) => a - b)
  let isSound = true
  let from = 0
  for (const to of [...places, stream.length]) {
    // A connection gives memory that it uses again.
    const lent = Buffer.from(stream.subarray(from, to))
    isSound = decoder.push(lent, (frame) => frames.push(kept(frame)))
    lent.fill(0xee)
    from = to
  }
  return { frames, isSound }
}

describe("frames of the tail", () => {
  it("are the same however the connection cuts them", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        (frames, cuts) => {
          const decoded = decode(Buffer.concat(frames.map(encoded)), cuts)
          assert.isTrue(decoded.isSound)
          assert.deepStrictEqual(decoded.frames, frames)
        }
      )
    )
  })

  it("never come out changed: a damaged byte ends the stream before the frame that it stands in", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { minLength: 1, maxLength: 6 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (frames, place, change, cuts) => {
          const stream = Buffer.concat(frames.map(encoded))
          const at = place % stream.length
          stream[at] = (stream[at] ?? 0) ^ change
          const decoded = decode(stream, cuts)
          assert.isBelow(decoded.frames.length, frames.length)
          assert.deepStrictEqual(decoded.frames, frames.slice(0, decoded.frames.length))
        }
      )
    )
  })

  it("may be of a kind that this release does not know", () => {
    const stream = Buffer.concat([
      heartbeatFrame,
      frameOf(99, Buffer.from("of a later release")),
      heartbeatFrame
    ])
    const decoded = decode(stream, [3, 20, 25])
    assert.isTrue(decoded.isSound)
    assert.deepStrictEqual(decoded.frames, [{ _tag: "Heartbeat" }, { _tag: "Heartbeat" }])
  })

  it("are refused where they say that they are very long", () => {
    const header = Buffer.alloc(9, 1)
    header.writeUInt32LE(1 << 29, 0)
    assert.isFalse(decode(header, [2, 5]).isSound)
  })
})
