import { assert, describe, it } from "@effect/vitest"
import { placeOf } from "../../../src/registry/mending/MendPlace.ts"
import { snapshotFilter } from "../../../src/storage/state/SnapshotFilter.ts"

/** Contains 1 to 19, but 12 and 15. */
const filter = snapshotFilter({ xmin: "12", xmax: "20", xipList: ["12", "15"] })
const waiting = (...xids: ReadonlyArray<number>) =>
  xids.map((xid, i) => ({ xid, commitLsn: 100n + 10n * BigInt(i), serial: 7 + i }))
const processed = (...xids: ReadonlyArray<number>) => ({ serial: 6, xids })

describe("where a snapshot stands among the transactions of the stream", () => {
  it.each([
    ["before all that wait", processed(10), waiting(12, 15), { lsn: 99n, afterSerial: 6 }],
    ["behind those that it shows", processed(10), waiting(13, 11, 15, 30), { lsn: 119n, afterSerial: 8 }],
    ["behind all of them", processed(), waiting(13, 14), { lsn: 199n, afterSerial: 8 }],
    ["where nothing waits", processed(10), waiting(), { lsn: 199n, afterSerial: 6 }],
    ["nowhere: it lacks one that is processed", processed(10, 15), waiting(), undefined],
    ["nowhere: it lacks one before another", processed(), waiting(13, 12, 14), undefined]
  ] as const)("%s", (_, before, transactions, place) => {
    assert.deepStrictEqual(placeOf(filter, 200n, before, transactions), place)
  })

  it("is before what commits where it can show nothing any more", () => {
    const late = [{ xid: 30, commitLsn: 500n, serial: 7 }]
    assert.deepStrictEqual(placeOf(filter, 200n, processed(), late), { lsn: 199n, afterSerial: 6 })
  })
})
