import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { patienceInTicks } from "../../src/lock/LockBreaker.ts"
import { type Evidence, type Holder, judge, type Silence, type Verdict } from "../../src/lock/LockVerdict.ts"

const patience = { baton: 6, stuck: 1, foreign: 30 }

const baton: Holder = {
  pid: 100,
  backendStart: "1700000000.000001",
  applicationName: "baton",
  isWalsender: true,
  state: "idle",
  stateChange: "1700000100.5",
  query: "SELECT"
}
const foreign: Holder = { ...baton, applicationName: "", query: "SET IntervalStyle = 'iso_8601'" }
const stuck: Holder = { ...foreign, query: "SELECT pg_advisory_lock(hashtext('s'))" }
const psql: Holder = { ...foreign, applicationName: "psql", isWalsender: false, query: "SELECT 1" }

/** The verdict of each look. */
const looks = (evidence: ReadonlyArray<Evidence>): ReadonlyArray<Verdict> => {
  let silence: Silence | undefined
  return evidence.map((one) => {
    const judged = judge(one, silence, patience)
    silence = judged.silence
    return judged.verdict
  })
}

/** At which look, counted from 1, the holder is terminated; 0 for never. */
const endsAt = (evidence: ReadonlyArray<Evidence>) =>
  looks(evidence).findIndex((verdict) => verdict._tag === "Terminate") + 1

const silent = (holder: Holder, times: number, slot: "inactive" | "active" | "missing" = "inactive") =>
  Array.from({ length: times }, () => ({
    slotActive: slot === "missing" ? undefined : slot === "active",
    holder
  }))

describe("verdict on the holder of the lock", () => {
  it("ends a holder that shows no sign of life, after the patience for its kind and not before", () => {
    assert.strictEqual(endsAt(silent(psql, 40)), 2)
    assert.strictEqual(endsAt(silent(stuck, 40)), 2)
    assert.strictEqual(endsAt(silent(baton, 40)), 7)
    assert.strictEqual(endsAt(silent(foreign, 40)), 31)
    // Even if the lock was the last thing that an instance of ours did, it is given time to wake up.
    assert.strictEqual(endsAt(silent({ ...baton, query: stuck.query }, 40)), 7)
  })

  it("leaves every holder that streams, is busy, cannot be seen, or has no slot to be missing on", () => {
    for (const holder of [baton, foreign, stuck, psql]) {
      assert.strictEqual(endsAt(silent(holder, 100, "active")), 0)
      assert.strictEqual(endsAt(silent(holder, 100, "missing")), 0)
      for (const state of ["active", "fastpath function call", null, "disabled"]) {
        assert.strictEqual(endsAt(silent({ ...holder, state }, 100)), 0)
      }
      assert.strictEqual(endsAt(silent({ ...holder, stateChange: null }, 100)), 0)
    }
    assert.strictEqual(
      endsAt(Array.from({ length: 100 }, () => ({ slotActive: false, holder: undefined }))),
      0
    )
  })

  it("counts anew after any sign of life, and for another session with the same pid", () => {
    const almost = silent(baton, 6)
    const interruptions: ReadonlyArray<Evidence> = [
      { slotActive: false, holder: { ...baton, stateChange: "1700000200.5" } },
      { slotActive: false, holder: { ...baton, backendStart: "1700000200.0" } },
      { slotActive: false, holder: { ...baton, pid: 101 } },
      { slotActive: false, holder: { ...baton, state: "active" } },
      { slotActive: true, holder: baton },
      { slotActive: false, holder: undefined }
    ]
    for (const interruption of interruptions) {
      assert.strictEqual(endsAt([...almost, interruption, ...almost]), 0)
      assert.strictEqual(endsAt([...almost, interruption, ...silent(baton, 7)]), 14)
    }
  })

  it("never ends a healthy holder, however slow it is", () => {
    // A holder of ours does things of random length. While its connection is idle it gives a sign of life whenever its
    // event loop turns, which may be held up for anything short of the patience.
    const tick = 10_000
    const stall = fc.integer({ min: 0, max: patience.baton * tick - 2_000 })
    const activity = fc.record({ busy: fc.boolean(), millis: stall })
    fc.assert(
      fc.property(fc.array(activity, { minLength: 1, maxLength: 60 }), fc.nat(tick), (activities, offset) => {
        const evidence: Array<Evidence> = []
        let now = 0
        let next = offset
        for (const { busy, millis } of activities) {
          const end = now + millis + 1
          // Idle activities begin with a sign of life: the heartbeat that ends the stall before.
          for (; next < end; next += tick) {
            const state = busy ? "active" : "idle"
            evidence.push({ slotActive: false, holder: { ...baton, state, stateChange: String(now) } })
          }
          now = end
        }
        assert.strictEqual(endsAt(evidence), 0)
      }),
      { numRuns: 500 }
    )
  })

  it("waits at least as long as Postgres would", () => {
    const options = { lockName: "s", ownPid: 1, admin: { query: () => assert.fail("unused") } }
    const of = (walSenderTimeoutMillis: number) =>
      patienceInTicks({ ...options, walSenderTimeoutMillis }, 10_000)
    assert.deepStrictEqual(of(60_000), { baton: 6, stuck: 1, foreign: 30 })
    assert.deepStrictEqual(of(0), { baton: 6, stuck: 1, foreign: 30 })
    assert.strictEqual(of(5_000).baton, 6)
    assert.strictEqual(of(301_000).baton, 31)
  })
})
