import { assert, describe, it } from "@effect/vitest"
import {
  decideQuota,
  hasRoomFor,
  type QuotaLook,
  type QuotaShape,
  type Standing
} from "../../../src/registry/quota/QuotaDecision.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"

interface Named extends QuotaShape {
  readonly name: string
}

/** `a idle 30 @5`: a shape of 30 bytes that was used at 5. */
const shapesOf = (text: string): ReadonlyArray<Named> =>
  text
    .split(",")
    .filter((one) => one.trim() !== "")
    .map((one) => {
      const [name = "", standing = "", bytes = "", at = ""] = one.trim().split(" ")
      return {
        name,
        standing: standing as Standing,
        bytes: Number(bytes),
        lastUsedMillis: Number(at.slice(1))
      }
    })

const calm = { isShort: false, isOver: false }
const over = { isShort: true, isOver: true }

/** With a limit of 1000 bytes. */
const decide = (fixedBytes: number, shapes: string, isExhausted: boolean, before = calm) => {
  const { drops, isOver, isShort, wantedBytes } = decideQuota(
    { limitBytes: 1000, fixedBytes, shapes: shapesOf(shapes), isExhausted, areReadersBack: true },
    before
  )
  const words = [
    isShort ? "short" : "",
    isOver ? "over" : "",
    hasRoomFor(0, wantedBytes, 1000) ? "" : "full"
  ].filter((word) => word !== "")
  return [words.join(" "), drops.map(({ shape, why }) => `${shape.name} ${why}`).join(", ")]
}

describe("what a quota decides", () => {
  const idle = "a idle 300 @3, b idle 300 @1, c idle 300 @2"
  const cases: ReadonlyArray<
    readonly [
      what: string,
      fixedBytes: number,
      shapes: string,
      isExhausted: boolean,
      before: typeof calm,
      words: string,
      drops: string
    ]
  > = [
    ["nothing at half of the limit", 0, "a idle 500 @1", true, calm, "", ""],
    ["compaction before the limit", 0, "a idle 810 @1", true, calm, "short", ""],
    ["and goes on with it until there is more room", 0, "a idle 760 @1", true, over, "short", ""],
    ["but not for ever", 0, "a idle 740 @1", true, over, "", ""],
    ["to drop nothing at the limit itself", 100, idle, true, calm, "short", ""],
    ["to wait for compaction, a little beyond it", 140, idle, false, calm, "short over", ""],
    ["not to wait once that has nothing left to give", 140, idle, true, calm, "short over", "b leastUsed"],
    ["not to wait far beyond it", 160, idle, false, calm, "short over", "b leastUsed"],
    ["to make room for more than a change, once it drops", 60, idle, true, over, "short over", "b leastUsed"],
    ["to drop as many as it takes", 650, idle, true, calm, "short over", "b leastUsed, c leastUsed"],
    [
      "no shape that takes nothing",
      650,
      "a idle 0 @1, b idle 200 @2, c idle 200 @3",
      true,
      calm,
      "short over",
      "b leastUsed"
    ],
    [
      "to leave what is read alone",
      0,
      "a held 800 @1, b idle 300 @2",
      true,
      calm,
      "short over",
      "b leastUsed"
    ],
    [
      "to give up what is being made before what is read",
      0,
      "a held 800 @1, b making 300 @2",
      true,
      calm,
      "short over",
      "b nothingElse"
    ],
    [
      "to drop what was just read before what is read at the moment",
      0,
      "a held 600 @1, b recent 450 @2",
      true,
      calm,
      "short over",
      "b nothingElse"
    ],
    [
      "what is read only when nothing else is left",
      0,
      "a held 600 @2, b held 450 @1",
      true,
      calm,
      "short over",
      "b nothingElse"
    ],
    ["to wait longer for that", 0, "a held 600 @2, b held 490 @1", false, calm, "short over full", ""],
    [
      "but not for ever, either",
      0,
      "a held 600 @2, b held 510 @1",
      false,
      calm,
      "short over",
      "b nothingElse"
    ],
    [
      "to give up at once what will never fit",
      0,
      "a idle 50 @1, b making 1001 @2",
      false,
      calm,
      "short over",
      "b tooLarge"
    ],
    [
      "to drop what is too large before all others",
      0,
      "a idle 50 @1, b held 1100 @2",
      true,
      calm,
      "short over",
      "b tooLarge"
    ],
    [
      "to make nothing more where readers have all",
      0,
      "a held 960 @1, b idle 10 @2",
      true,
      calm,
      "short full",
      ""
    ]
  ]
  for (const [what, fixedBytes, shapes, isExhausted, before, words, drops] of cases)
    it(what, () => {
      assert.deepStrictEqual(decide(fixedBytes, shapes, isExhausted, before), [words, drops])
    })

  it("keeps to the limit whatever there is, and drops nothing twice or needlessly", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    for (let n = 0; n < 5000; n++) {
      const limitBytes = 1000
      const shapes = Array.from({ length: random.int(0, 8) }, (_, i) => ({
        name: String(i),
        bytes: random.pick([0, random.int(1, 300), random.int(1, 1500)]),
        lastUsedMillis: random.int(0, 5),
        standing: random.pick<Standing>(["idle", "making", "recent", "held"])
      }))
      const look: QuotaLook<Named> = {
        limitBytes,
        fixedBytes: random.int(0, 400),
        shapes,
        isExhausted: random.pick([true, false]),
        areReadersBack: random.int(0, 3) > 0
      }
      const decision = decideQuota(look, random.pick([calm, over]))
      const why = `seed ${seed}, ${JSON.stringify({ look, decision })}`
      const dropped = new Set(decision.drops.map(({ shape }) => shape))
      assert.strictEqual(dropped.size, decision.drops.length, why)
      if (!look.areReadersBack) {
        for (const { shape } of decision.drops) assert.strictEqual(shape.standing, "making", why)
        continue
      }
      const left = decision.usedBytes - [...dropped].reduce((sum, { bytes }) => sum + bytes, 0)
      if (look.isExhausted || decision.usedBytes > 1.1 * limitBytes) assert.isAtMost(left, limitBytes, why)
      if (!decision.isOver) assert.strictEqual(dropped.size, 0, why)
      const last = decision.drops.at(-1)?.shape
      if (last !== undefined) assert.isAbove(left + last.bytes, 0.95 * limitBytes, why)
      const fits = ({ bytes }: Named) => look.fixedBytes + bytes <= limitBytes
      for (const { shape, why: reason } of decision.drops) {
        assert.strictEqual(reason === "tooLarge", !fits(shape), why)
        if (reason !== "nothingElse") continue
        const idleLeft = shapes.filter((one) => one.standing === "idle" && one.bytes > 0 && !dropped.has(one))
        assert.deepStrictEqual(idleLeft, [], why)
      }
      // What goes on from there is calm: nothing is dropped at the next look.
      if (!look.isExhausted) continue
      const next = decideQuota({ ...look, shapes: shapes.filter((shape) => !dropped.has(shape)) }, decision)
      assert.deepStrictEqual(next.drops, [], why)
    }
  })
})
