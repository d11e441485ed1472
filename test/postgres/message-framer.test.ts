import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import {
  copyData,
  type FrameHandler,
  headerBytes,
  MessageFramer
} from "../../src/postgres/wire/MessageFramer.ts"
import { encode } from "../replication/pgoutput.encoder.ts"

/** Notes what it is given; `stops` says for each call whether to stop after it. */
const recorder = (stops: () => boolean) => {
  const seen: Array<string> = []
  const handler: FrameHandler = {
    message: (buffer, start, end) => {
      seen.push(
        `${String.fromCharCode(buffer[start] ?? 0)}${buffer.toString("hex", start + headerBytes, end)}`
      )
      return !stops()
    },
    chunkEnd: () => {
      seen.push("end")
      return !stops()
    },
    oversized: (bytes) => {
      throw new RangeError(`oversized ${bytes}`)
    },
    malformed: (why) => {
      throw new RangeError(why)
    }
  }
  return { seen, handler }
}

const cut = (bytes: Buffer, places: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const at = [
    0,
    ...[...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b),
    bytes.length
  ]
  return at.slice(1).flatMap((end, i) => (end > (at[i] ?? 0) ? [bytes.subarray(at[i], end)] : []))
}

const message = fc.record({
  type: fc.constantFrom("d", "d", "d", "W", "E", "Z"),
  payload: fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.uint8Array({ minLength: 200, maxLength: 400 }))
})

const limitedTo1000 = () => new MessageFramer(recorder(() => false).handler, 1000)

describe("message framer", () => {
  it("gives every message once and in order, however the stream is cut and stopped", () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 12 }),
        fc.array(fc.nat()),
        fc.infiniteStream(fc.boolean()),
        fc.infiniteStream(fc.boolean()),
        (messages, places, stopping, proceeding) => {
          const bytes = Buffer.concat(
            messages.map((sent) => encode.frame(sent.type, Buffer.from(sent.payload)))
          )
          const { seen, handler } = recorder(() => stopping.next().value)
          const framer = new MessageFramer(handler, 10_000)
          const chunks = cut(bytes, places)
          for (const chunk of chunks) {
            framer.push(chunk)
            if (proceeding.next().value) framer.proceed()
          }
          while (!framer.proceed());
          assert.deepStrictEqual(
            seen.filter((what) => what !== "end"),
            messages.map((sent) => `${sent.type}${Buffer.from(sent.payload).toString("hex")}`)
          )
          assert.strictEqual(seen.filter((what) => what === "end").length, chunks.length)
        }
      ),
      { numRuns: 1000 }
    )
  })

  it("lets go of what it need not keep of data in several chunks, and of nothing else", () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 12 }),
        fc.array(fc.nat()),
        fc.nat(40),
        (messages, places, keptBytes) => {
          const frames = messages.map((sent) => encode.frame(sent.type, Buffer.from(sent.payload)))
          const { seen, handler } = recorder(() => false)
          const framer = new MessageFramer(handler, 10_000, keptBytes)
          const chunks = cut(Buffer.concat(frames), places)
          for (const chunk of chunks) framer.push(chunk)
          const got = seen.filter((what) => what !== "end")
          assert.lengthOf(got, messages.length)
          messages.forEach(({ type, payload }, i) => {
            const whole = Buffer.from(payload).toString("hex")
            const kept = type === "d" ? whole.slice(0, 2 * keptBytes) : whole
            assert.include([`${type}${whole}`, `${type}${kept}`], got[i])
            if (chunks.length > 0 && chunks.every((chunk) => chunk.length < 5 + payload.length))
              assert.strictEqual(got[i], `${type}${kept}`)
          })
        }
      ),
      { numRuns: 500 }
    )
  })

  it("hands over nothing after a stop until it may proceed", () => {
    let stop = true
    const { seen, handler } = recorder(() => stop)
    const framer = new MessageFramer(handler, 1000)
    const d = encode.frame("d", Buffer.from("a"))
    framer.push(Buffer.concat([d, d]))
    framer.push(d)
    assert.deepStrictEqual(seen, ["d61"])
    assert.isFalse(framer.proceed())
    stop = false
    assert.isTrue(framer.proceed())
    assert.deepStrictEqual(seen, ["d61", "d61", "end", "d61", "end"])
  })

  it("puts a message of many chunks together", () => {
    const payload = Buffer.alloc(20_000_000, "x")
    const bytes = encode.frame("d", payload)
    let received = 0
    const framer = new MessageFramer(
      {
        ...recorder(() => false).handler,
        message: (buffer, start, end) => {
          assert.strictEqual(buffer[start], copyData)
          assert.isTrue(buffer.subarray(start + headerBytes, end).equals(payload))
          received++
          return true
        }
      },
      payload.length + 5
    )
    for (let at = 0; at < bytes.length; at += 65_536) framer.push(bytes.subarray(at, at + 65_536))
    assert.strictEqual(received, 1)
  })

  it("refuses a length that cannot be, and one beyond the limit before it is received", () => {
    assert.throws(() => limitedTo1000().push(Buffer.from([0x64, 0, 0, 0, 3])), /shorter than its header/)
    assert.throws(() => limitedTo1000().push(Buffer.from([0x64, 0, 0, 4, 0])), /oversized 1025/)
    assert.throws(() => limitedTo1000().push(Buffer.from([0x64, 0xff, 0xff, 0xff, 0xff])), /oversized/)
  })
})
