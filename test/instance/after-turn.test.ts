import { Exit } from "effect"
import { assert, describe, it } from "vitest"
import { type PgErrorKind, ownPgError } from "../../src/postgres/errors/PgError.ts"
import { DutyDied } from "../../src/shared/Duty.ts"
import { NotWriting } from "../../src/storage/NotWriting.ts"
import { type AfterTurn, afterTurn, StorageFailed, type TurnFailure } from "../../src/instance/AfterTurn.ts"
import type { TurnEnd } from "../../src/instance/duties/StorageDuties.ts"
import { planSource, type SourcePlan } from "../../src/instance/PrepareSource.ts"

const facts = { wasActive: true, everActive: true, delayMillis: 50 }

const failed = (error: TurnFailure): Exit.Exit<TurnEnd, TurnFailure> => Exit.fail(error)
const pgError = (kind: PgErrorKind) => ownPgError(kind, `made up: ${kind}`)
const died = (after: "endTurn" | "endProcess") => new DutyDied({ after, message: `died: ${after}` })

const warning = (exit: Exit.Exit<TurnEnd, TurnFailure>) => {
  const next = afterTurn(exit, facts)
  return next._tag === "Pause" ? next.warning : assert.fail(next._tag)
}

describe("what follows from the end of a turn", () => {
  const rows: ReadonlyArray<
    readonly [string, Exit.Exit<TurnEnd, TurnFailure>, Partial<typeof facts>, Partial<AfterTurn> & object]
  > = [
    ["idle", Exit.succeed("idle"), {}, { _tag: "Sleep", event: "slept" }],
    ["idle, fenced off", Exit.succeed("idle"), { wasActive: false }, { _tag: "Begin", event: "lockLost" }],
    ["fenced", Exit.succeed("fenced"), {}, { _tag: "Begin", event: "lockLost" }],
    ["storage is gone", Exit.succeed("storageGone"), {}, { _tag: "Begin", event: "lockLost" }],
    ["a session of no use", Exit.succeed("beginAnew"), {}, { _tag: "Begin", event: "lockLost" }],
    [
      "a bucket that takes nothing, while another waits",
      Exit.succeed("handOver"),
      {},
      { _tag: "Yield", event: "lockLost" }
    ],
    [
      "storage in a bucket that is away",
      failed(new StorageFailed({ message: "nobody answers", passing: true })),
      {},
      { _tag: "Pause", event: "storageFailed", lasts: true }
    ],
    ["interrupted", Exit.interrupt(), {}, { _tag: "Stop" }],
    [
      "a defect",
      Exit.die(new Error("made up")),
      {},
      { _tag: "Pause", event: "lockLost", isConnecting: true }
    ],
    [
      "a duty without which a turn cannot go on",
      failed(died("endTurn")),
      {},
      { _tag: "Pause", event: "lockLost", warning: undefined, isConnecting: true }
    ],
    [
      "a duty without which the process is of no use",
      failed(died("endProcess")),
      {},
      { _tag: "Fail", event: "lockLost", message: "died: endProcess" }
    ],
    [
      "storage that cannot be written",
      failed(new StorageFailed({ message: "no room" })),
      {},
      { _tag: "Pause", event: "storageFailed", isConnecting: false }
    ],
    [
      "storage that is not this instance's to write any more",
      failed(new NotWriting()),
      {},
      { _tag: "Pause", event: "lockLost", isConnecting: true }
    ],
    [
      "a lost connection",
      failed(pgError("connection_closed")),
      {},
      { _tag: "Pause", event: "databaseDown", isConnecting: true }
    ],
    [
      "a slot in use",
      failed(pgError("replication_slot_in_use")),
      {},
      { _tag: "Pause", event: "lockLost", isConnecting: true }
    ],
    [
      "a slot that is lost",
      failed(pgError("database_slot_exceeded_max_size")),
      {},
      { _tag: "Pause", event: "lockLost", warning: "made up: database_slot_exceeded_max_size" }
    ],
    [
      "what an operator has to mend, at the first start",
      failed(pgError("invalid_username_or_password")),
      { everActive: false },
      { _tag: "Fail", message: "made up: invalid_username_or_password" }
    ],
    [
      "the same, later",
      failed(pgError("invalid_username_or_password")),
      {},
      { _tag: "Pause", isConnecting: true }
    ]
  ]
  for (const [name, exit, change, expected] of rows)
    it(`${name}: ${expected._tag}`, () => {
      assert.deepInclude(afterTurn(exit, { ...facts, ...change }), expected)
    })

  it("says what has happened, unless it is in the log already", () => {
    assert.match(warning(Exit.die(new Error("made up"))) ?? "", /^The instance stumbled: Error: made up/)
    assert.match(
      warning(failed(pgError("connection_closed"))) ?? "",
      /^Database connection in replication mode failed: made up/
    )
    assert.match(
      warning(failed(new StorageFailed({ message: "no room" }))) ?? "",
      /^Storage cannot be taken over: no room\. The lock is given back, and this is tried again in 50 ms/
    )
    assert.match(warning(failed(new NotWriting())) ?? "", /^This instance does not write storage any more: /)
  })
})

describe("what a takeover does about storage", () => {
  const source = { systemId: "7", timeline: 1, slot: "s" }
  const known = {
    storedSource: source,
    source,
    shapes: 2,
    slotCreated: false,
    confirmedFlushLsn: 100n,
    storedLsn: 100n,
    walLsn: 120n,
    positionLsn: 110n,
    sharedUpToLsn: undefined,
    receivedLsn: undefined,
    slotIsLost: false,
    publicationRepaired: false
  }
  const rows: ReadonlyArray<readonly [string, Partial<Parameters<typeof planSource>[0]>, SourcePlan]> = [
    ["nothing has changed", {}, { stale: undefined, isNew: false, mustBeDurable: false }],
    [
      "the publication lacked operations",
      { publicationRepaired: true },
      { stale: "the publication did not carry all operations", isNew: false, mustBeDurable: true }
    ],
    [
      "new storage",
      { storedSource: undefined, shapes: 0 },
      { stale: undefined, isNew: true, mustBeDurable: true }
    ],
    [
      "another slot, and no shapes",
      { storedSource: { ...source, slot: "t" }, shapes: 0 },
      { stale: undefined, isNew: true, mustBeDurable: true }
    ],
    [
      "another timeline, and no shapes",
      { storedSource: { ...source, timeline: 2 }, shapes: 0 },
      { stale: undefined, isNew: true, mustBeDurable: true }
    ],
    [
      "less WAL than was read, and no shapes",
      { walLsn: 109n, shapes: 0 },
      { stale: undefined, isNew: true, mustBeDurable: true }
    ],
    [
      "a slot that was lost, and no shapes",
      { slotIsLost: true, shapes: 0 },
      { stale: undefined, isNew: true, mustBeDurable: true }
    ]
  ]
  for (const [name, change, expected] of rows)
    it(name, () => assert.deepStrictEqual(planSource({ ...known, ...change }), expected))
})
