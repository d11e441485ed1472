import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { encodeStatusUpdate } from "../../src/replication/wire/StatusUpdate.ts"
import { statusIntervalMillis } from "../../src/replication/stream/RunStream.ts"

describe("status update", () => {
  const lsn = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0n, 2n ** 63n, 2n ** 64n - 1n)
  )

  it("carries positions of 64 bits as they are, in the layout that Postgres documents", () => {
    fc.assert(
      fc.property(
        lsn,
        lsn,
        fc.date({ noInvalidDate: true }),
        fc.boolean(),
        (received, durable, now, reply) => {
          const frame = encodeStatusUpdate(received, durable, now.getTime(), reply)
          assert.strictEqual(frame.toString("latin1", 0, 1), "d")
          assert.strictEqual(frame.readUInt32BE(1), frame.length - 1)
          const message = frame.subarray(5)
          assert.strictEqual(message.length, 34)
          assert.strictEqual(message.toString("latin1", 0, 1), "r")
          assert.strictEqual(message.readBigUInt64BE(1), received > durable ? received : durable)
          assert.strictEqual(message.readBigUInt64BE(9), durable)
          assert.strictEqual(message.readBigUInt64BE(17), durable)
          const since2000 = BigInt(now.getTime()) - BigInt(Date.UTC(2000, 0, 1))
          assert.strictEqual(message.readBigInt64BE(25), since2000 * 1000n)
          assert.strictEqual(message[33], reply ? 1 : 0)
        }
      )
    )
  })

  it("goes out three times within wal_sender_timeout, and every 10 s at least", () => {
    assert.strictEqual(statusIntervalMillis(60_000), 10_000)
    assert.strictEqual(statusIntervalMillis(6_000), 2_000)
    assert.strictEqual(statusIntervalMillis(0), 10_000)
    assert.strictEqual(statusIntervalMillis(100), 100)
  })
})
