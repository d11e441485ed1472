import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { HealthRef } from "../../src/health/HealthRef.ts"
import { type HealthEvent, healthEvents, type HealthState, transition } from "../../src/health/HealthState.ts"

const upTo: ReadonlyArray<HealthEvent> = ["storageLoaded", "databaseUp", "lockGranted", "streamStarted"]

/** Keeps what is logged, so that a test can look at it. */
const logged = (lines: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))])

describe("HealthRef", () => {
  it.effect("follows the table for any order of events, and survives impossible ones", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(fc.constantFrom(...healthEvents), { maxLength: 40 }), (events) =>
          Effect.runPromise(
            Effect.gen(function* () {
              const health = yield* HealthRef
              let expected: HealthState = "starting"
              for (const event of events) {
                expected = transition(expected, event) ?? expected
                assert.strictEqual(yield* health.send(event), expected)
                assert.strictEqual(health.current(), expected)
                assert.strictEqual(yield* health.get, expected)
              }
            }).pipe(Effect.provide(HealthRef.layer), Effect.provide(logged([])))
          )
        ),
        { numRuns: 200 }
      )
    )
  )

  it.effect("logs an event that cannot happen and goes on", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const health = yield* HealthRef
      assert.strictEqual(yield* health.send("streamStarted"), "starting")
      assert.strictEqual(yield* health.send("storageLoaded"), "waiting")
      assert.strictEqual(lines.length, 2)
      assert.match(lines[0] ?? "", /^Error.*streamStarted cannot happen.*starting/)
      assert.match(lines[1] ?? "", /^Info.*starting -> waiting/)
    }).pipe(Effect.provide(HealthRef.layer), Effect.provide(logged(lines)))
  })

  it.effect("tells subscribers the present state and then every change, once", () =>
    Effect.gen(function* () {
      const health = yield* HealthRef
      const seen = yield* Effect.forkChild(Stream.runCollect(Stream.take(health.changes, 4)), {
        startImmediately: true
      })
      for (const event of ["databaseUp", ...upTo, "databaseUp"] as const) {
        yield* health.send(event)
        yield* Effect.yieldNow
      }
      assert.deepStrictEqual(yield* Fiber.join(seen), ["starting", "waiting", "takingOver", "active"])
    }).pipe(Effect.provide(HealthRef.layer))
  )

  it.effect("waits for a state until it comes or the time is over", () =>
    Effect.gen(function* () {
      const health = yield* HealthRef
      const active = health.awaitState((state) => state === "active", "5 seconds")
      const early = yield* Effect.forkChild(active, { startImmediately: true })
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(early.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(early), Option.none())

      const late = yield* Effect.forkChild(active, { startImmediately: true })
      yield* TestClock.adjust("4 seconds")
      for (const event of upTo) yield* health.send(event)
      assert.deepStrictEqual(yield* Fiber.join(late), Option.some("active"))
      assert.deepStrictEqual(yield* active, Option.some("active"))
    }).pipe(Effect.provide(HealthRef.layer))
  )
})
