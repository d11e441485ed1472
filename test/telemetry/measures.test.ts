import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "vitest"
import { aboveLimit, standardLimits } from "../../src/config/Limits.ts"
import { sourceReport } from "../../src/metrics/AskSource.ts"
import { dropReasonOf } from "../../src/telemetry/DropReason.ts"
import { RunningSnapshots } from "../../src/telemetry/RunningSnapshots.ts"
import { ServingLag } from "../../src/telemetry/ServingLag.ts"

describe("the lag from commit to answer", () => {
  it("is that of the commit that was delivered, as long as it is remembered", () => {
    const lag = new ServingLag()
    for (let i = 1; i <= 5000; i++) lag.committed(BigInt(i * 16), i * 10)
    lag.delivered(5000n * 16n, 50_000 + 250)
    lag.delivered(4500n * 16n, 45_000 + 2500)
    lag.delivered(4500n * 16n, 45_000 + 2500)
    assert.strictEqual(lag.seconds.sum, 0.25 + 2.5 + 2.5)
    lag.delivered(3000n * 16n, 1e9)
    lag.delivered(4500n * 16n + 1n, 1e9)
    assert.strictEqual(lag.seconds.histogram().count, 3, "what is not known is not counted")
  })

  it("is never below zero, and says how often it would have been", () => {
    const lag = new ServingLag()
    lag.committed(1n, 1000)
    lag.delivered(1n, 400)
    assert.deepInclude(lag.seconds.histogram(), { count: 1, sum: 0 })
    assert.strictEqual(lag.clamped, 1)
  })

  it("forgets another history of the database", () => {
    const lag = new ServingLag()
    lag.committed(100n, 1000)
    lag.committed(50n, 2000)
    lag.delivered(100n, 9000)
    lag.delivered(50n, 2500)
    assert.deepInclude(lag.seconds.histogram(), { count: 1, sum: 0.5 })
  })
})

describe("snapshots that run", () => {
  it("are as old as the first of them", () => {
    const running = new RunningSnapshots()
    assert.strictEqual(running.oldestSeconds(1000), 0)
    const first = running.begin(1000)
    running.begin(4000)
    assert.strictEqual(running.oldestSeconds(6000), 5)
    first()
    first()
    assert.strictEqual(running.oldestSeconds(6000), 2)
    assert.strictEqual(running.count, 1)
  })
})

const row = (slot: object | null, keep = "-1") => ({
  now: "100.25",
  keep,
  slot: slot === null ? null : JSON.stringify(slot),
  retained: slot === null ? null : "4096",
  unconfirmed: slot === null ? null : "-8"
})

describe("what Postgres says of the slot", () => {
  it("is one state, and sizes that are there", () => {
    const cases = [
      [null, "missing"],
      [{ wal_status: "reserved" }, "ok"],
      [{ wal_status: "extended", invalidation_reason: null }, "ok"],
      [{ wal_status: "unreserved" }, "unreserved"],
      [{ wal_status: "lost" }, "lost"],
      [{ wal_status: "reserved", invalidation_reason: "rows_removed" }, "lost"]
    ] as const
    for (const [slot, state] of cases) assert.strictEqual(sourceReport(row(slot), 0, 0).state, state)
    const all = { wal_status: "reserved", safe_wal_size: 77, active: true }
    assert.deepStrictEqual(sourceReport(row(all, "64"), 100_000, 100_100), {
      state: "ok",
      retainedWalBytes: 4096,
      unconfirmedWalBytes: 0,
      safeWalBytes: 77,
      maxKeepBytes: 64 * 2 ** 20,
      isActive: true,
      clockAheadSeconds: 100.25 - 100.05
    })
    assert.include(sourceReport(row(null), 0, 0), { retainedWalBytes: undefined, maxKeepBytes: undefined })
  })
})

/** Reasons as they stand in the code: what is given to a function that drops, or put into a variable for one. */
const reasonsInCode = (): ReadonlyArray<string> => {
  const root = path.resolve(import.meta.dirname, "../../src")
  const literal = String.raw`("(?:[^"\\\n])+"|\`(?:[^\`])+\`)`
  const places = [
    String.raw`\b(?:drop|dropAt|dropOne|purge)\((?:[^()"\`]|\([^()]*\))*?,?\s*${literal}`,
    String.raw`t: "(?:dropped|purged)",[^}]*?reason: ${literal}`,
    String.raw`const (?:reason|what|message) = ${literal}`,
    String.raw`\bdiscardShape\([^;]*?, ${literal}\)`
  ].map((pattern) => new RegExp(pattern, "g"))
  const files = [
    "registry",
    "instance",
    "storage/state",
    "storage/roles",
    "storage/records",
    "storage/journal",
    "storage/DiscardShape.ts",
    "http/shape/DeleteShape.ts"
  ].flatMap((place) =>
    place.endsWith(".ts")
      ? [path.join(root, place)]
      : readdirSync(path.join(root, place), { recursive: true, encoding: "utf8" })
          .filter((name) => name.endsWith(".ts"))
          .map((name) => path.join(root, place, name))
  )
  return files.flatMap((file) => {
    const text = readFileSync(file, "utf8")
    return places.flatMap((place) => Array.from(text.matchAll(place), ([, found = ""]) => found.slice(1, -1)))
  })
}

/** What is put together of a text that is given elsewhere, and what is no reason. */
const composed =
  /^its table 7$|^7, which its sub-selects read, 7$|^dropAt$|^The log of a shape cannot be read|^7, again and again$/

describe("the reason of a dropped shape", () => {
  it("has a class, whatever it is in the code", () => {
    const reasons = new Set(reasonsInCode().map((text) => text.replaceAll(/\$\{[^}]*\}/g, "7")))
    assert.isAbove(reasons.size, 20)
    const lacking = [...reasons].filter(
      (reason) => !composed.test(reason) && dropReasonOf(reason) === "other"
    )
    assert.deepStrictEqual(lacking, [])
  })

  it("has the right one", () => {
    const cases = [
      ["deleted through the API", "deleted"],
      ["there are more than 10 shapes and it was used least recently", "evicted"],
      ["nobody has read it for 90 minutes (BATON_SHAPE_DROP_AFTER)", "unread"],
      ["its snapshot failed", "first_rows"],
      ["its snapshot was cut off", "first_rows"],
      ["its table was truncated", "truncated"],
      ["the definition of table public.deleted has changed", "schema"],
      ["its table is gone", "schema"],
      ["its table was not published for some time, or is gone", "publication"],
      ["the publication was altered, and may have lacked changes for some time", "publication"],
      ["the replication slot is new: changes between the old slot and this one are not known", "stream"],
      ["they came from another database cluster", "stream"],
      ["the checkpoint is missing", "storage"],
      ["a file of it is damaged", "storage"],
      ["its table has had a change that could not be read: table is gone", "change"],
      [aboveLimit("decisionMillis", standardLimits), "condition"],
      ["its condition fails for a changed row, as it does in Postgres (x was truncated)", "condition"]
    ] as const
    for (const [text, reason] of cases) assert.strictEqual(dropReasonOf(text), reason, text)
  })
})
