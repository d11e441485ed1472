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
  storedLsn: 100n,
  walLsn: 120n,
  positionLsn: 110n,
  sharedUpToLsn: undefined,
  receivedLsn: undefined
}

const promoted = { source: { ...source, timeline: 4 } }

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
      "a promoted replica that has all that was received",
      { ...promoted, sharedUpToLsn: 110n, receivedLsn: 110n },
      undefined
    ],
    [
      "one that has not all that is stored",
      { ...promoted, sharedUpToLsn: 109n, receivedLsn: 109n },
      /restored or failed over/
    ],
    [
      "one that has not all that was received",
      { ...promoted, sharedUpToLsn: 110n, receivedLsn: 111n },
      /restored or failed over/
    ],
    [
      "one where others may have received more",
      { ...promoted, sharedUpToLsn: 110n },
      /restored or failed over/
    ],
    [
      "one whose slot was not kept",
      { ...promoted, sharedUpToLsn: 110n, receivedLsn: 110n, slotCreated: true },
      /slot is new/
    ],
    [
      "one whose slot is ahead",
      { ...promoted, sharedUpToLsn: 200n, receivedLsn: 110n, confirmedFlushLsn: 101n },
      /storage is older than the replication slot/
    ],
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
    [
      "a comparison with another cluster was cut off",
      { storedSource: { ...source, slot: unfinishedSlot("another", true) } },
      /was cut off/
    ],
    ["a database that has less WAL than was read of it", { walLsn: 109n }, /ends before what has been read/],
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
