import { assert, describe, it } from "vitest"
import { StreamPosition } from "../../src/registry/routing/StreamPosition.ts"
import type { JournalWriter } from "../../src/storage/journal/JournalWriter.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { HandTimers } from "../../testing/HandTimers.ts"

/** A position over a journal that only counts. */
const positionOf = () => {
  const timers = new HandTimers()
  const recorded: Array<string> = []
  const engine = {
    timers,
    options: {},
    store: { positionLsn: 1000n, resumeLsn: 1000n, behindLsn: undefined, apply: () => {} },
    listeners: { durable: { subscribe: () => () => {} } },
    isFenced: () => Promise.resolve(false)
  } as unknown as StorageEngine
  const writer = {
    closed: false,
    marker: 0,
    durableMarker: 0,
    notice: ({ lsn }: { readonly lsn: string }) => void recorded.push(lsn),
    flush: () => {}
  } as unknown as JournalWriter
  const position = new StreamPosition({ engine, writer, inTransaction: () => false, onDurable: () => {} })
  const received = (lsn: bigint) => {
    position.processedUpTo(lsn)
    position.recordSoon()
    timers.pass(5000)
  }
  return { position, received, recorded }
}

describe("the position of the stream, where nothing but heartbeats come", () => {
  it("is recorded once in some of them, and at once when Postgres waits for it", () => {
    const { position, received, recorded } = positionOf()
    for (let lsn = 1084n; lsn < 1512n; lsn += 84n) {
      position.needless(lsn)
      received(lsn)
    }
    assert.deepStrictEqual(recorded, [])
    position.needless(1588n)
    received(1588n)
    assert.deepStrictEqual(recorded, ["1588"])
    position.needless(1672n)
    received(1672n)
    assert.lengthOf(recorded, 1)
    position.wanted()
    received(1672n)
    assert.deepStrictEqual(recorded, ["1588", "1672"])
  })

  it("is recorded as ever where something else has come", () => {
    const { position, received, recorded } = positionOf()
    position.needless(1084n)
    received(1100n)
    assert.deepStrictEqual(recorded, ["1100"])
    // A transaction of a published table that no shape has.
    position.needless(1184n)
    position.passed(7)
    received(1184n)
    assert.deepStrictEqual(recorded, ["1100", "1184"])
    // What comes between is not covered by a heartbeat behind it.
    position.processedUpTo(1200n)
    position.needless(1284n)
    received(1284n)
    assert.deepStrictEqual(recorded, ["1100", "1184", "1284"])
  })
})
