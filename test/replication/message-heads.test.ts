import { assert, describe, it } from "vitest"
import { MessageHeads } from "../../src/replication/wire/MessageHeads.ts"
import { Random } from "../where/support/random.ts"

const message = (kind: string, content: Buffer): Buffer => {
  const header = Buffer.alloc(5)
  header.write(kind)
  header.writeUInt32BE(4 + content.length, 1)
  return Buffer.concat([header, content])
}

describe("the heads of messages", () => {
  it("are cut from a stream wherever the network cuts it, and others are whole", () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const random = new Random(seed)
    for (let run = 0; run < 200; run++) {
      const headBytes = random.below(40)
      const sent = Array.from({ length: random.below(30) }, () => ({
        kind: random.pick(["d", "d", "E", "N"]),
        content: Buffer.from(Array.from({ length: random.below(100) }, () => random.below(256)))
      }))
      const stream = Buffer.concat(sent.map(({ kind, content }) => message(kind, content)))
      const got: Array<string> = []
      const heads = new MessageHeads(
        headBytes,
        (head) => got.push(`d ${head.toString("hex")}`),
        (whole) => got.push(whole.toString("hex"))
      )
      for (let at = 0; at < stream.length;) {
        const end = at + 1 + random.below(random.pick([3, 200]))
        heads.push(stream.subarray(at, end))
        at = end
      }
      const expected = sent.map(({ kind, content }) =>
        kind === "d"
          ? `d ${content.subarray(0, headBytes).toString("hex")}`
          : message(kind, content).toString("hex")
      )
      assert.deepStrictEqual(got, expected, `seed ${seed}`)
    }
  })
})
