import { assert, describe, it } from "vitest"
import { freshSeed, makeRandom } from "../../testing/Random.ts"
import { chooseShift } from "../../src/registry/repair/ChooseShift.ts"
import { journalLsn, serverLsn } from "../../src/shared/Lsn.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"

/** Its first rows are from before one position, and its last change was committed at another. */
const shapeOf = ([before, end = 0n]: readonly [bigint, bigint?]): ShapeState =>
  ({
    end: { tx: end, op: 0 },
    visibility: { xmin: "1", xmax: "1", xipList: [], containedBefore: String(before) }
  }) as unknown as ShapeState

const stored = (
  shift: bigint,
  last: bigint,
  position: bigint,
  ...shapes: ReadonlyArray<readonly [bigint, bigint?]>
) => ({
  shift,
  lastCommitLsn: last,
  positionLsn: position,
  all: () => shapes.map(shapeOf)
})

const room = 1n << 40n

describe("the shift between positions of a slot and those of the journal", () => {
  it("stays what it was where the point lies behind everything that is stored", () => {
    assert.strictEqual(chooseShift(serverLsn(102n, 0n), stored(0n, 100n, 102n, [101n, 100n]), false), 0n)
    assert.strictEqual(chooseShift(serverLsn(102n, 0n), stored(room, room + 100n, room + 102n), false), room)
    assert.strictEqual(chooseShift(serverLsn(5n, 0n), stored(0n, 0n, 0n), false), 0n)
  })

  it("is another one where something stored does not lie before the point", () => {
    const at = serverLsn(102n, 0n)
    const late = stored(0n, 0n, 0n, [1n, 101n])
    for (const one of [stored(0n, 101n, 101n), stored(0n, 0n, 103n), stored(0n, 0n, 0n, [102n]), late])
      assert.isAbove(Number(chooseShift(at, one, false)), 0)
    assert.isAbove(Number(chooseShift(at, stored(0n, 0n, 0n), true)), 0)
  })

  it("brings any point behind whatever is stored, and leaves the lower digits as they are", () => {
    const seed = freshSeed()
    const random = makeRandom(seed)
    const any = () => BigInt(random.int(0, 2 ** 31)) << BigInt(random.int(0, 16))
    for (let n = 0; n < 2000; n++) {
      const known = stored(BigInt(random.int(0, 5)) * room, any(), any(), [any(), any()], [any()])
      const point = any() + 2n
      const shift = chooseShift(serverLsn(point, 0n), known, random.chance(0.3))
      const at = journalLsn(serverLsn(point, 0n), shift)
      const replay = `seed ${seed}, round ${n}`
      assert.isTrue(known.lastCommitLsn < at - 1n && known.positionLsn <= at, replay)
      for (const { end } of known.all()) assert.isTrue(end.tx < at - 1n, replay)
      for (const { visibility } of known.all())
        assert.isTrue(BigInt(visibility?.containedBefore ?? 0) < at, replay)
      assert.strictEqual(shift % room, 0n, replay)
      assert.isTrue(shift >= known.shift, replay)
    }
  })
})
