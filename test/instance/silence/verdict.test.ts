import { assert, describe, it } from "vitest"
import { ClockDifference } from "../../../src/instance/silence/ClockDifference.ts"
import { silenceCauses } from "../../../src/instance/silence/SilenceTexts.ts"
import {
  type SilenceFacts,
  type SilenceVerdict,
  silenceVerdict,
  type StreamLook
} from "../../../src/instance/silence/SilenceVerdict.ts"
import { serverLsn } from "../../../src/shared/Lsn.ts"
import { freshSeed, makeRandom } from "../../../testing/Random.ts"

const slot = { activePid: 7, walStatus: "reserved", invalidationReason: null, isFailover: false }
const sender = {
  pid: 7,
  sentLsn: serverLsn(100n, 0n),
  waitEventType: "Client",
  waitEvent: "WalSenderWaitForWal"
}
const working = { ...sender, waitEventType: null, waitEvent: null }

const look = (change: Partial<StreamLook> = {}): StreamLook => ({
  isInRecovery: false,
  isReadOnly: false,
  slot,
  sender,
  decodedBytes: 0,
  absentStandbySlots: [],
  ...change
})

const facts = (change: Partial<SilenceFacts> = {}): SilenceFacts => ({
  slotName: "s",
  unprovenMillis: 10_000,
  heartbeatLsn: serverLsn(200n, 0n),
  refused: undefined,
  look: look(),
  before: undefined,
  heldMillis: 0,
  isWriteFailing: false,
  isDeaf: false,
  receivedBytes: 0,
  ...change
})

const failover = { ...slot, isFailover: true }

const rows: ReadonlyArray<
  readonly [name: string, SilenceVerdict["state"], SilenceVerdict["cause"], Partial<SilenceFacts>, RegExp?]
> = [
  ["what comes cannot be written", "silent", "storage", { heldMillis: 100, isWriteFailing: true }],
  ["what comes has to wait for a while", "behind", "held", { heldMillis: 5000 }],
  ["it has to wait for ever", "silent", "held", { heldMillis: 60_000 }],
  [
    "the disk of the database is full",
    "silent",
    "databaseDiskFull",
    { heartbeatLsn: undefined, refused: { kind: "disk_full", message: "No space left." } },
    /No space left/
  ],
  ["so it says to the look", "silent", "databaseDiskFull", { look: { kind: "disk_full", message: "" } }],
  [
    "nobody answers",
    "silent",
    "databaseSilent",
    { look: { kind: "connection_timeout", message: "No answer." } },
    /No answer/
  ],
  ["it is a standby by now", "silent", "standby", { look: look({ isInRecovery: true }) }],
  ["no slot", "silent", "slotMissing", { look: look({ slot: undefined }) }, /slot s is gone/],
  ["its WAL is gone", "silent", "slotInvalidated", { look: look({ slot: { ...slot, walStatus: "lost" } }) }],
  [
    "it is invalid",
    "silent",
    "slotInvalidated",
    { look: look({ slot: { ...slot, invalidationReason: "idle_timeout" } }) },
    /idle_timeout/
  ],
  [
    "nobody streams",
    "silent",
    "slotInactive",
    { look: look({ slot: { ...slot, activePid: null }, sender: undefined }) }
  ],
  [
    "somebody else streams",
    "silent",
    "slotTaken",
    { look: look({ slot: { ...slot, activePid: 8 } }) },
    /Backend 8/
  ],
  [
    "the role may not",
    "unwatched",
    "mayNotSend",
    { heartbeatLsn: undefined, refused: { kind: "permission_denied", message: "" } }
  ],
  [
    "it takes no writes",
    "silent",
    "databaseReadOnly",
    { heartbeatLsn: undefined, refused: { kind: "unknown", message: "" }, look: look({ isReadOnly: true }) }
  ],
  [
    "it was not written",
    "silent",
    "notWritten",
    { heartbeatLsn: undefined, refused: { kind: "unknown", message: "Why." } },
    /Why\./
  ],
  [
    "a standby that is not there is waited for",
    "silent",
    "standbySlots",
    { look: look({ slot: failover, absentStandbySlots: ["away"] }) },
    /waits for: away/
  ],
  [
    "Postgres says that it waits for a standby",
    "silent",
    "standbySlots",
    { look: look({ sender: { ...sender, waitEvent: "WaitForStandbyConfirmation" } }) }
  ],
  [
    "a slot that does not wait for standbys",
    "silent",
    "unknown",
    { look: look({ absentStandbySlots: ["away"] }) }
  ],
  ["changes come", "behind", "busy", { before: look(), receivedBytes: 1 }],
  [
    "the walsender gets on",
    "behind",
    "busy",
    { before: look({ sender: { ...sender, sentLsn: serverLsn(99n, 0n) } }) }
  ],
  ["it decodes", "behind", "busy", { before: look(), look: look({ decodedBytes: 5 }) }],
  ["it works, and shows nothing", "behind", "busy", { isDeaf: true, look: look({ sender: working }) }],
  [
    "it has worked for too long, and shows nothing",
    "silent",
    "walsenderStopped",
    { isDeaf: true, look: look({ sender: working }), unprovenMillis: 400_000 }
  ],
  ["it is stopped", "silent", "walsenderStopped", { isDeaf: true }, /WalSenderWaitForWal/],
  [
    "it has sent what does not come",
    "silent",
    "notArriving",
    { isDeaf: true, look: look({ sender: { ...sender, sentLsn: serverLsn(200n, 0n) } }) }
  ],
  ["it answers and does not get on", "silent", "unknown", { before: look() }]
]

describe("why nothing comes from the database", () => {
  for (const [name, state, cause, change, said] of rows)
    it(name, () => {
      const verdict = silenceVerdict(facts(change))
      assert.deepStrictEqual([verdict.state, verdict.cause], [state, cause])
      assert.match(verdict.message, said ?? /For \d+ s nothing/)
    })

  it("has a row here for every cause, and each says whether it heals", () => {
    const seen = new Set(rows.map(([, , cause]) => cause))
    assert.deepStrictEqual([...seen].toSorted(), [...silenceCauses].toSorted())
    for (const [, , cause, change] of rows)
      assert.match(
        silenceVerdict(facts(change)).message,
        /heals|tried again|looked at again|Nothing is lost|GRANT/,
        cause
      )
  })
})

describe("the difference of the clocks", () => {
  it("is known to half of what the quickest question took, however long the others did", () => {
    const { int, seed } = makeRandom(freshSeed())
    const clocks = new ClockDifference()
    const ahead = int(-10_000, 10_000)
    let best = Infinity
    const errors: Array<number> = []
    for (let n = 0; n < 12; n++) {
      const asked = n * 5000
      const there = int(0, 300)
      const back = int(0, 300)
      clocks.answered(asked, asked + there + ahead, asked + there + back)
      best = Math.min(best, (there + back) / 2)
      errors.push(there + back)
    }
    assert.isAtMost(
      Math.abs((clocks.aheadMillis ?? Infinity) - ahead),
      best,
      `seed ${seed}: ${errors.join(" ")}`
    )
  })

  it("is not known before the first answer, and known anew once a clock was set", () => {
    const clocks = new ClockDifference()
    assert.isUndefined(clocks.aheadMillis)
    clocks.answered(0, 100, 2)
    assert.strictEqual(clocks.aheadMillis, 99)
    clocks.answered(5000, 65_010, 5020)
    assert.strictEqual(clocks.aheadMillis, 60_000)
    // A clock of this machine that was set back in the middle tells nothing.
    clocks.answered(9000, 1, 8000)
    assert.strictEqual(clocks.aheadMillis, 60_000)
  })
})
