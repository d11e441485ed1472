import { assert, describe, it } from "vitest"
import { Continuity, lastTransactions } from "../../src/registry/routing/Continuity.ts"

const following = (from: bigint, last = { lsn: 100n, xid: 7 as number | undefined }) => {
  const continuity = new Continuity()
  continuity.beginAt(from, [last])
  return continuity
}
const shape = (tx: bigint) => ({ end: { tx } })
const another = /not among those that Postgres gives once more/

describe("what the stream brings once more", () => {
  it("has the last transaction that is stored in it, before anything behind it", () => {
    const continuity = following(90n)
    continuity.transaction(95n, 5)
    continuity.received(99n)
    continuity.transaction(100n, 7)
    continuity.transaction(120n, 9)
    continuity.received(130n)
  })

  it("is of another history where that one is not in it, or is another one", () => {
    assert.throws(() => following(90n).transaction(101n, 8), another)
    assert.throws(() => following(100n).transaction(100n, 8), another)
    assert.throws(() => following(90n).received(101n), another)
  })

  it("need not have it where the stream begins behind it, or its id is not known", () => {
    following(101n).transaction(105n, 8)
    following(90n, { lsn: 100n, xid: undefined }).transaction(100n, 8)
  })

  it("has the last one, too, that only some shapes have something of, however late", () => {
    const stored = {
      lastCommitLsn: 100n,
      lastCommitXid: 7,
      shift: 4n,
      all: () => [shape(80n), shape(140n), shape(100n)]
    }
    const from = (lsn: bigint) => {
      const continuity = new Continuity()
      continuity.beginAt(lsn, lastTransactions(stored))
      return continuity
    }
    const same = from(90n)
    same.transaction(100n, 7)
    assert.isFalse(same.isCertain)
    same.transaction(120n, 8)
    same.transaction(140n, 9)
    assert.isTrue(same.isCertain)
    const other = from(90n)
    other.transaction(100n, 7)
    assert.throws(() => other.transaction(141n, 9), another)
    assert.throws(() => from(101n).received(150n), another)
    assert.isTrue(from(141n).isCertain)
    assert.deepStrictEqual(lastTransactions({ ...stored, all: () => [] }), [{ lsn: 100n, xid: 7 }])
  })

  it("has no commit where shapes were compared between two", () => {
    const stored = { lastCommitLsn: 100n, lastCommitXid: 7, shift: 4n }
    const after = (...ends: ReadonlyArray<bigint>) =>
      lastTransactions({ ...stored, all: () => ends.map((lsn) => shape(lsn)) }).map(({ lsn }) => lsn)
    assert.deepStrictEqual(after(139n), [100n])
    assert.deepStrictEqual(after(147n, 132n), [100n, 132n])
    assert.deepStrictEqual(after(140n), [100n, 140n])
  })
})
