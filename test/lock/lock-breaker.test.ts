import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import type { Queryable } from "../../src/postgres/connection/SessionPool.ts"
import { runLockBreaker } from "../../src/lock/LockBreaker.ts"

/** The row that the database would answer for a session that took the lock and did nothing since. */
const stuckHolder = {
  has_slot: true,
  slot_active: false,
  pid: "4711",
  backend_start: "1.0",
  state_change: "2.0",
  application_name: "",
  is_walsender: true,
  state: "idle",
  query: "SELECT pg_advisory_lock(1)"
}
type Row = Partial<Record<keyof typeof stuckHolder, string | boolean | null>>

/** Runs the breaker in virtual time against answers given by tick. */
const breaking = (answer: (tick: number) => Effect.Effect<Row, PgError>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const terminated: Array<{ readonly tick: number; readonly params: ReadonlyArray<unknown> }> = []
    let looks = 0
    const admin: Queryable = {
      query: <R extends object>(sql: string, params: ReadonlyArray<unknown> = []) => {
        if (sql.includes("pg_terminate_backend")) {
          terminated.push({ tick: looks, params })
          return Effect.succeed([{ done: true }] as ReadonlyArray<object> as ReadonlyArray<R>)
        }
        looks++
        return Effect.map(answer(looks), (row) => [row] as ReadonlyArray<object> as ReadonlyArray<R>)
      }
    }
    const fiber = yield* Effect.forkChild(
      runLockBreaker({
        lockName: "electric_slot_test",
        ownPid: 1,
        admin,
        walSenderTimeoutMillis: 60_000
      }).pipe(
        Effect.provide(
          Logger.layer([
            Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
          ])
        )
      ),
      { startImmediately: true }
    )
    return { fiber, lines, terminated, looks: () => looks }
  })

const always = (row: Row) => () => Effect.succeed(row)

describe("lock breaker", () => {
  it.effect("looks every ten seconds, first after ten, and never in between", () =>
    Effect.gen(function* () {
      const breaker = yield* breaking(always({ ...stuckHolder, slot_active: true }))
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(breaker.looks(), 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(breaker.looks(), 1)
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(breaker.looks(), 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(breaker.looks(), 2)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(breaker.looks(), 362)
      assert.deepStrictEqual(breaker.terminated, [])
    })
  )

  it.effect("terminates a stuck holder at the second look, and names exactly the session it saw", () =>
    Effect.gen(function* () {
      const breaker = yield* breaking(always(stuckHolder))
      yield* TestClock.adjust("19999 millis")
      assert.deepStrictEqual(breaker.terminated, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(breaker.terminated, [{ tick: 2, params: ["1.0", "2.0"] }])
      assert.match(
        breaker.lines.at(-1) ?? "",
        /^Warn Terminated backend 4711: it held the lock electric_slot_test/
      )
      // Should it survive that, it gets the same chance again.
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(
        breaker.terminated.map(({ tick }) => tick),
        [2, 4]
      )
    })
  )

  it.effect("ends a frozen instance of ours after a minute of silence, one of another kind after five", () =>
    Effect.gen(function* () {
      for (const [row, seconds] of [
        [{ ...stuckHolder, application_name: "baton", query: "SELECT" }, 70],
        [{ ...stuckHolder, query: "SET TimeZone = 'UTC'" }, 310]
      ] as const) {
        const breaker = yield* breaking(always(row))
        yield* TestClock.adjust(seconds * 1000 - 1)
        assert.deepStrictEqual(breaker.terminated, [])
        yield* TestClock.adjust(1)
        assert.strictEqual(breaker.terminated.length, 1)
        yield* Fiber.interrupt(breaker.fiber)
      }
    })
  )

  it.effect("never touches a healthy holder that takes an hour to begin streaming", () =>
    Effect.gen(function* () {
      // A statement every two seconds; now and then its event loop is held up for most of a minute.
      const breaker = yield* breaking((tick) =>
        Effect.succeed({
          ...stuckHolder,
          application_name: "baton",
          query: "SELECT",
          state_change: String(Math.floor(tick / 6))
        })
      )
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(breaker.looks(), 360)
      assert.deepStrictEqual(breaker.terminated, [])
    })
  )

  it.effect("logs a look that fails or hangs, and goes on from the beginning", () =>
    Effect.gen(function* () {
      const breaker = yield* breaking((tick) => {
        if (tick === 2) return Effect.fail(ownPgError("pool_timeout", "no connection is free"))
        if (tick === 4) return Effect.never
        return Effect.succeed(stuckHolder)
      })
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(
        breaker.terminated,
        [],
        "one look before and one after a failure are not two in a row"
      )
      assert.isTrue(breaker.lines.some((line) => /^Warn .*no connection is free/.test(line)))
      yield* TestClock.adjust("15 seconds")
      assert.isTrue(breaker.lines.some((line) => /^Warn .*did not answer within 5 s/.test(line)))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(
        breaker.terminated.map(({ tick }) => tick),
        [6]
      )
    })
  )

  it.effect("says who holds the lock, and when it may not look", () =>
    Effect.gen(function* () {
      const breaker = yield* breaking(
        always({ ...stuckHolder, state: null, state_change: null, query: null })
      )
      yield* TestClock.adjust("60 seconds")
      assert.deepStrictEqual(breaker.terminated, [])
      assert.match(breaker.lines[0] ?? "", /^Info Waiting for the lock electric_slot_test .* backend 4711/)
      assert.match(breaker.lines[1] ?? "", /^Warn .*pg_read_all_stats/)
    })
  )
})
