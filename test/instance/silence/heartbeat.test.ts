import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric } from "effect"
import { TestClock } from "effect/testing"
import { Heartbeat, type HeartbeatOptions } from "../../../src/instance/silence/Heartbeat.ts"
import type { StreamLook } from "../../../src/instance/silence/SilenceVerdict.ts"
import { ownPgError, type PgError } from "../../../src/postgres/errors/PgError.ts"
import type { Queryable } from "../../../src/postgres/connection/SessionPool.ts"
import { Faults } from "../../../src/shared/FaultRecord.ts"
import { currentTimers } from "../../../src/shared/Timers.ts"
import { StreamStatus } from "../../../src/telemetry/stream/StreamStatus.ts"

const fine: StreamLook = {
  isInRecovery: false,
  isReadOnly: false,
  slot: { activePid: 7, walStatus: "reserved", invalidationReason: null, isFailover: false },
  sender: { pid: 7, sentLsn: undefined, waitEventType: "Client", waitEvent: "WalSenderWaitForWal" },
  decodedBytes: 0,
  absentStandbySlots: []
}

/** A heartbeat into a database that can be told what to do. `arrives`: what is written comes round at once. */
const beating = (options: Partial<HeartbeatOptions> = {}) =>
  Effect.gen(function* () {
    const timers = yield* currentTimers
    const world = {
      arrives: true,
      sent: 0,
      looks: 0,
      aheadMillis: 0,
      refused: undefined as PgError | undefined,
      seen: fine
    }
    const lag = { clockAheadMillis: 0 }
    const status = new StreamStatus()
    const admin = {
      query: () =>
        Effect.suspend(() => {
          if (world.refused !== undefined) return Effect.fail(world.refused)
          const lsn = ++world.sent
          if (world.arrives) heartbeat.reached(BigInt(lsn))
          return Effect.succeed([
            { lsn: `0/${lsn.toString(16)}`, now: String(timers.epochMillis() + world.aheadMillis) }
          ])
        })
    } as unknown as Queryable
    const heartbeat: Heartbeat = new Heartbeat({
      everyMillis: 5000,
      slotName: "s",
      admin,
      timers,
      status,
      lag,
      hearing: () => ({ silentMillis: world.arrives ? 0 : 60_000, heldMillis: 0, dataBytes: 0 }),
      written: () => {},
      askForPosition: () => {},
      isWriteFailing: () => false,
      shift: () => 0n,
      look: Effect.sync(() => (world.looks++, world.seen)),
      ...options
    })
    const fiber = yield* Effect.forkChild(heartbeat.run, { startImmediately: true })
    return { world, status, heartbeat, lag, stop: Fiber.interrupt(fiber) }
  })

const inOwnRegistry = <A, E>(work: Effect.Effect<A, E>) =>
  Effect.provideService(work, Metric.MetricRegistry, new Map())

const silent = "BATON-STREAM-SILENT"

describe("the heartbeat of the stream", () => {
  it.effect("is sent once in its time, and nobody looks while it comes round", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const { lag, status, stop, world } = yield* beating()
        world.aheadMillis = 1500
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(status.report?.state, "flowing")
        assert.strictEqual(world.sent, 13)
        assert.strictEqual(world.looks, 0)
        assert.strictEqual(lag.clockAheadMillis, 1500)
        yield* stop
        assert.strictEqual(status.report?.state, "ended")
      })
    )
  )

  it.effect("that does not come is told of 10 s after the last that did and a look, and until it comes", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const faults = yield* Faults
        const { heartbeat, status, stop, world } = yield* beating()
        yield* TestClock.adjust("20 seconds")
        world.arrives = false
        yield* TestClock.adjust("9 seconds")
        assert.strictEqual(status.report?.state, "flowing")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(status.report?.state, "silent")
        assert.strictEqual(status.report?.cause, "walsenderStopped")
        assert.isTrue(faults.isActive(silent))
        const sinceMillis = status.report?.sinceMillis
        yield* TestClock.adjust("50 seconds")
        assert.strictEqual(status.report?.sinceMillis, sinceMillis)
        assert.isAtLeast(world.looks, 10)
        assert.strictEqual(world.sent, 6, "no other one is sent while it is out")
        world.arrives = true
        heartbeat.reached(BigInt(world.sent))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(status.report?.state, "flowing")
        assert.isUndefined(status.report?.cause)
        assert.isFalse(faults.isActive(silent))
        yield* stop
      })
    )
  )

  it.effect("is no alarm as long as Postgres gets on, and becomes one when it does not", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const faults = yield* Faults
        const { status, stop, world } = yield* beating()
        world.arrives = false
        world.seen = { ...fine, sender: { ...fine.sender!, waitEvent: null, waitEventType: null } }
        for (let second = 0; second < 60; second++) {
          world.seen = { ...world.seen, decodedBytes: second }
          yield* TestClock.adjust("1 second")
        }
        assert.strictEqual(status.report?.state, "behind")
        assert.isFalse(faults.isActive(silent))
        world.seen = fine
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(status.report?.state, "silent")
        assert.isTrue(faults.isActive(silent))
        yield* stop
        assert.isFalse(faults.isActive(silent))
      })
    )
  )

  it.effect("that the role may not send is said once, and is no alarm", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const faults = yield* Faults
        const { status, stop, world } = yield* beating()
        world.refused = ownPgError("permission_denied", "No.")
        yield* TestClock.adjust("25 seconds")
        assert.strictEqual(status.report?.state, "unwatched")
        assert.isFalse(faults.isActive(silent))
        assert.isTrue(faults.isActive("BATON-STREAM-UNWATCHED"))
        world.refused = undefined
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual(status.report?.state, "flowing")
        assert.isFalse(faults.isActive("BATON-STREAM-UNWATCHED"))
        yield* stop
      })
    )
  )

  it.effect("that could not be written once is written again, and nobody is told", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const { status, stop, world } = yield* beating()
        world.refused = ownPgError("connection_closed", "Closed.")
        yield* TestClock.adjust("7 seconds")
        world.refused = undefined
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual(status.report?.state, "flowing")
        assert.strictEqual(world.looks, 0)
        world.refused = ownPgError("disk_full", "No space.")
        yield* TestClock.adjust("12 seconds")
        assert.deepInclude(status.report, { state: "silent", cause: "databaseDiskFull" })
        yield* stop
      })
    )
  )

  it.effect("that is turned off is not sent, which health says", () =>
    inOwnRegistry(
      Effect.gen(function* () {
        const { status, stop, world } = yield* beating({ everyMillis: undefined })
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(world.sent, 0)
        assert.deepInclude(status.report, { state: "unwatched", cause: "off" })
        yield* stop
      })
    )
  )
})
