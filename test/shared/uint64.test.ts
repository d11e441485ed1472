import { assert, describe, it } from "@effect/vitest"
import { lowerHalf, readUint64BE, upperHalf, writeUint64LE } from "../../src/shared/Uint64.ts"

describe("numbers of 64 bits", () => {
  it("come apart and together without a loss", () => {
    const buffer = Buffer.alloc(12)
    for (const value of [0n, 1n, 0xffffffffn, 0x100000000n, 0x0123456789abcdefn, 0xffffffffffffffffn]) {
      assert.strictEqual((BigInt(upperHalf(value)) << 32n) | BigInt(lowerHalf(value)), value)
      writeUint64LE(buffer, value, 3)
      assert.strictEqual(buffer.readBigUInt64LE(3), value)
      buffer.writeBigUInt64BE(value, 1)
      assert.strictEqual(readUint64BE(buffer, 1), value)
    }
  })
})
