import { assert, describe, it } from "vitest"
import { decodeSource, encodeSource, startsHistory } from "../../src/storage/records/StoredSource.ts"

const source = { systemId: "7000000000000000001", timeline: 2, slot: "electric_slot_default" }

describe("the source of what is stored", () => {
  it("is read as it was written, shifted or not", () => {
    for (const one of [source, { ...source, shift: 1n << 40n }, { ...source, shift: (1n << 63n) + 7n }])
      assert.deepStrictEqual(decodeSource(JSON.parse(JSON.stringify(encodeSource(one)))), one)
    assert.deepStrictEqual(encodeSource({ ...source, shift: 0n }), source)
  })

  it("is of no slot for releases that know of no shift", () => {
    assert.notStrictEqual(encodeSource({ ...source, shift: 1n << 40n }).slot, source.slot)
  })

  it("is of one history where positions and transaction ids mean the same", () => {
    assert.isFalse(startsHistory(source, encodeSource({ ...source, slot: "another", shift: 0n })))
    assert.isTrue(startsHistory(source, encodeSource({ ...source, shift: 1n << 40n })))
    assert.isTrue(startsHistory(source, encodeSource({ ...source, timeline: 3 })))
    assert.isTrue(startsHistory(source, encodeSource({ ...source, systemId: "7" })))
  })

  it("may be of another history when shapes were compared with the database, whatever positions say", () => {
    assert.isTrue(startsHistory(source, { ...encodeSource(source), lost: ["1", "2"] }))
  })
})
