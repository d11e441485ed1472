import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { PublishedCheck } from "../../src/instance/duties/PublishedCheck.ts"
import type { PublishedRow } from "../../src/postgres/catalogue/PublishedLook.ts"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import { journalLsn, parseLsn, zeroServerLsn } from "../../src/shared/Lsn.ts"

const asksForTables = (sql: string): boolean => sql.includes("pg_catalog.pg_class")

const right: PublishedRow = { publication: "9/1:t", members: "m" }
const tables = [{ oid: 1, schema: "s", name: "one" }]
const shapes = { isEmpty: false, tables: () => tables }
const lsn = (text: string) => journalLsn(parseLsn(text) ?? zeroServerLsn, 0n)

const checking = (isThere = true) => {
  const told: Array<string> = []
  let asked = 0
  let answer: Effect.Effect<ReadonlyArray<PublishedRow>, PgError> = Effect.succeed([right])
  const check = new PublishedCheck({
    admin: {
      query: <Row extends object>(sql: string) =>
        Effect.suspend(() => {
          if (asksForTables(sql))
            return Effect.succeed(
              (isThere ? [{ oid: "1" }] : []) as ReadonlyArray<object> as ReadonlyArray<Row>
            )
          asked++
          return answer as Effect.Effect<ReadonlyArray<Row>, PgError>
        })
    },
    publicationName: "p",
    serverVersionNum: () => 180000,
    record: { publication: "9/1:t", membersOf: (oid) => (oid === 1 ? ["m"] : undefined) }
  })
  const before = check.beforeChange((reason) => told.push(reason))
  return {
    check,
    told,
    asked: () => asked,
    beforeChange: (at: string) => before(shapes, lsn(at)),
    answers: (next: typeof answer) => void (answer = next)
  }
}

describe("whether the publication has lacked changes", () => {
  it.effect("is asked before the stream, for what was committed by then", () =>
    Effect.gen(function* () {
      const { answers, asked, beforeChange, check } = checking()
      const answered = yield* Deferred.make<ReadonlyArray<PublishedRow>>()
      answers(Deferred.await(answered))
      const look = check.lookAhead(tables, lsn("0/20"))
      const looking = yield* Effect.forkChild(look.ask, { startImmediately: true })
      const early = yield* Effect.forkChild(beforeChange("0/10"), { startImmediately: true })
      const later = yield* Effect.forkChild(beforeChange("0/20"), { startImmediately: true })
      assert.isUndefined(early.pollUnsafe(), "it waits for the answer")
      assert.strictEqual(asked(), 1, "not on a second connection meanwhile")
      yield* Deferred.succeed(answered, [right])
      yield* Fiber.join(looking)
      yield* Fiber.join(early)
      yield* Fiber.join(later)
      assert.strictEqual(asked(), 2, "what was committed behind it may stand behind another alteration")
      yield* beforeChange("0/30")
      assert.strictEqual(asked(), 3)
    })
  )

  it.effect("is asked again when there was no answer", () =>
    Effect.gen(function* () {
      for (const isAsked of [true, false]) {
        const { answers, asked, beforeChange, check } = checking()
        answers(Effect.fail(ownPgError("connection_closed", "cut")))
        const look = check.lookAhead(tables, lsn("0/20"))
        if (isAsked) yield* look.ask
        yield* look.giveUp
        answers(Effect.succeed([right]))
        yield* beforeChange("0/10")
        assert.strictEqual(asked(), isAsked ? 2 : 1)
      }
    })
  )

  it.effect("ends the session where it has", () =>
    Effect.gen(function* () {
      for (const isEarly of [true, false]) {
        const { answers, beforeChange, check, told } = checking()
        answers(Effect.succeed([{ publication: "9/1:t", members: "k" }]))
        if (isEarly) yield* check.lookAhead(tables, lsn("0/20")).ask
        const waiting = yield* Effect.forkChild(beforeChange("0/10"), { startImmediately: true })
        yield* Effect.yieldNow
        assert.isUndefined(waiting.pollUnsafe())
        assert.deepStrictEqual(told, ["not published for some time: s.one"])
        yield* Fiber.interrupt(waiting)
      }
    })
  )

  it.effect("goes on where the table is gone that is published no more", () =>
    Effect.gen(function* () {
      const { answers, beforeChange, told } = checking(false)
      answers(Effect.succeed([{ publication: "9/1:t", members: "k" }]))
      yield* beforeChange("0/10")
      assert.deepStrictEqual(told, [])
    })
  )

  it.effect.each([
    ["nothing has happened", ["9/1:t", "m"], "goesOn"],
    ["a table is another member", ["9/1:t", "k"], "ends"],
    ["a table is gone", ["9/1:t", "k"], "goesOn"],
    ["it was altered", ["9/2:t", "m"], "ends"],
    ["it lacks operations", ["9/2:f", "m"], "fails"],
    ["it is gone", undefined, "fails"]
  ] as const)("is asked in the snapshot of what rows are made of: %s", ([what, row, expected]) =>
    Effect.gen(function* () {
      const { check, told } = checking()
      const look = check.inSnapshot((reason) => told.push(reason))(tables)
      const found = what === "a table is gone" ? [] : [["1"]]
      const session = {
        run: (sql: string) =>
          Effect.succeed([asksForTables(sql) ? found : row === undefined ? undefined : [row]])
      }
      const looking = yield* Effect.forkChild(look(session), { startImmediately: true })
      yield* Effect.yieldNow
      const exit = looking.pollUnsafe()
      const outcome = exit === undefined ? "ends" : Exit.isSuccess(exit) ? "goesOn" : "fails"
      assert.strictEqual(outcome, expected)
      assert.strictEqual(told.length, expected === "ends" ? 1 : 0)
      yield* Fiber.interrupt(looking)
    })
  )
})
