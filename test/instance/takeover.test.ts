import { assert, describe, it } from "vitest"
import { reasonToPurge, type TakeoverFacts, unfinishedSlot } from "../../src/instance/Takeover.ts"

const source = { systemId: "7000000000000000001", timeline: 3, slot: "electric_slot_default" }

/** Storage that the slot goes on from. */
const facts: TakeoverFacts = {
  storedSource: source,
  source,
  shapes: 2,
  slotCreated: false,
  confirmedFlushLsn: 100n,
  storedLsn: 100n
}

describe("what a new holder of the lock finds", () => {
  const rows: ReadonlyArray<readonly [string, Partial<TakeoverFacts>, RegExp | undefined]> = [
    ["the slot stands where storage does", {}, undefined],
    ["the slot gives again what storage has already", { confirmedFlushLsn: 99n }, undefined],
    [
      "storage is older than the slot",
      { confirmedFlushLsn: 101n },
      /storage is older than the replication slot/
    ],
    [
      "a database restored to an earlier time",
      { source: { ...source, timeline: 2 } },
      /restored or failed over/
    ],
    ["a promoted replica", { source: { ...source, timeline: 4 } }, /restored or failed over/],
    [
      "another cluster",
      { source: { ...source, systemId: "7000000000000000002" } },
      /another database cluster/
    ],
    ["a new slot at the right place", { slotCreated: true }, /slot is new/],
    [
      "a slot of another name",
      { source: { ...source, slot: "electric_slot_blue" } },
      /another replication slot/
    ],
    [
      "a comparison with the database was cut off",
      { storedSource: { ...source, slot: unfinishedSlot("another") } },
      /was cut off/
    ],
    ["storage of unknown origin", { storedSource: undefined }, /does not say which database/]
  ]
  for (const [name, change, reason] of rows) {
    it(`${name}: ${reason === undefined ? "shapes go on" : "shapes start over"}`, () => {
      const said = reasonToPurge({ ...facts, ...change })
      if (reason === undefined) assert.isUndefined(said)
      else assert.match(said ?? "", reason)
      // With nothing in storage there is nothing that could be wrong.
      assert.isUndefined(reasonToPurge({ ...facts, ...change, shapes: 0 }))
    })
  }
})
