import { assert, describe, it } from "vitest"
import {
  afterStreamFailure,
  comparisonBegan,
  comparisonEnded,
  isCertain,
  mayCompare,
  noComparisons,
  type StreamFault,
  streamFrom
} from "../../src/instance/StreamFaults.ts"
import { classifyPgError } from "../../src/postgres/errors/ClassifyPgError.ts"

const fromServer = (code: string, message = `error ${code}`) =>
  classifyPgError(Object.assign(new Error(message), { code, severity: "ERROR" }))
const lost = classifyPgError(Object.assign(new Error("gone"), { code: "ECONNRESET" }))

/** What is known after failures, each in the transaction that commits there. */
const after = (...failures: ReadonlyArray<readonly [ReturnType<typeof fromServer>, bigint | undefined]>) => {
  let fault: StreamFault | undefined
  for (const [error, commitLsn] of failures) fault = afterStreamFailure(fault, error, commitLsn, 5n)
  return fault
}

describe("a failure of the stream that has to do with what it carries", () => {
  it("is certain when Postgres says the same at the same place again", () => {
    const bad = fromServer("22021")
    assert.isFalse(isCertain(after([bad, 7n])))
    assert.isTrue(isCertain(after([bad, 7n], [bad, 7n])))
    assert.isTrue(isCertain(after([bad, undefined], [bad, undefined])))
    assert.isFalse(isCertain(after([bad, 7n], [bad, 8n])))
    assert.isFalse(isCertain(after([bad, 7n], [fromServer("22021", "another"), 7n])))
    assert.isTrue(isCertain(after([bad, 7n], [lost, 7n], [bad, 7n])))
  })

  it("is no other failure", () => {
    for (const code of ["57P01", "55006", "58P01", "53300", "28P01", "42704"]) {
      const error = fromServer(code, `slot or publication ${code}`)
      const isSure = isCertain(after([error, 7n], [error, 7n]))
      assert.isFalse(isSure, code)
    }
    assert.isFalse(isCertain(after([lost, 7n], [lost, 7n])))
    for (const code of ["XX000", "22P05", "53200", "54000"])
      assert.isTrue(isCertain(after([fromServer(code), 7n], [fromServer(code), 7n])), code)
  })
})

describe("the stream behind a transaction that was passed over", () => {
  const here = { systemId: "1", timeline: 1 }
  const passed = { ...here, lsn: 70n }
  it("begins there, in the same history, where storage has come as far", () => {
    assert.strictEqual(streamFrom(passed, here, 70n), 70n)
    assert.strictEqual(streamFrom(passed, here, 90n), 70n)
    assert.isUndefined(streamFrom(passed, here, 69n))
    assert.isUndefined(streamFrom(passed, { ...here, timeline: 2 }, 90n))
    assert.isUndefined(streamFrom(passed, { ...here, systemId: "2" }, 90n))
    assert.isUndefined(streamFrom(undefined, here, 90n))
  })
})

describe("the comparison for a value that cannot be given out", () => {
  it("comes as often as it is called for while it is quick, and takes a tenth of the time when it is not", () => {
    for (const tookMillis of [50, 500, 5_000, 30_000, 300_000]) {
      let known = noComparisons
      let nowMillis = 0
      let spentMillis = 0
      // A value comes right after each comparison, and one a second while there may be none.
      while (nowMillis < 7_200_000) {
        if (mayCompare(known, nowMillis)) {
          known = comparisonBegan(known, nowMillis)
          assert.isFalse(mayCompare(known, nowMillis))
          nowMillis += tookMillis
          spentMillis += tookMillis
          known = comparisonEnded(known, nowMillis)
        } else nowMillis += 1000
      }
      assert.isAtMost(spentMillis, 0.1 * nowMillis + 60_000 + 2 * tookMillis, `${tookMillis}`)
      assert.isAtLeast(spentMillis, 0.05 * nowMillis - tookMillis, `${tookMillis}`)
    }
    assert.isTrue(mayCompare(comparisonEnded(comparisonBegan(noComparisons, 5), 500), 500))
  })
})
