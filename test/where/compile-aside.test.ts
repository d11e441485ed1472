import { Effect, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { patient } from "../../testing/Load.ts"
import { standardLimits } from "../../src/config/Limits.ts"
import { compileWhere, CompileAside, loadParser, type WhereRequest } from "../../src/where/index.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { heavyTable } from "./support/heavy.ts"
import { oracleOver, type Oracle } from "./support/oracle.ts"

const numbers = (count: number) => Array.from({ length: count }, (_, i) => 100_000 + i).join(",")

const refusal = (one: WhereRequest): string => {
  const outcome = compileWhere(one)
  return Result.isFailure(outcome) ? `${outcome.failure.parameter}: ${outcome.failure.message}` : "accepted"
}

describe("large conditions are checked in a thread", { timeout: patient(120_000) }, () => {
  let database: TestDatabase
  let heavy: Oracle
  beforeAll(async () => {
    await Effect.runPromise(loadParser)
    database = await createDatabase()
    heavy = await oracleOver(database, "heavy", heavyTable)
  })
  afterAll(() => database.drop())

  const request = (
    sql: string,
    params: Record<string, string> = {},
    limits = standardLimits
  ): WhereRequest => ({
    sql,
    params,
    table: heavy.table.info,
    catalogue: heavy.catalogue,
    limits
  })

  it("with the same outcome as anywhere else, several at a time and one after the other", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const aside = yield* CompileAside.make
          const requests = [
            request("id = 1"),
            request("id = ANY($1)", { "1": `{${numbers(20_000)}}` }),
            request(`id IN (${numbers(5000)})`),
            request(`nosuch = 1 OR title = '${"x".repeat(5000)}'`),
            request("doc @> $1", { "1": `[${"1,".repeat(20_000)}]` })
          ]
          const outcomes = yield* Effect.forEach(requests, (one) => aside.compile(one), { concurrency: 5 })
          for (const [i, outcome] of outcomes.entries())
            assert.deepStrictEqual(outcome, compileWhere(requests[i] as WhereRequest))
          assert.deepStrictEqual(outcomes.map(Result.isSuccess), [true, true, true, false, false])
        })
      )
    ))

  it("for so long, and the next one is checked as if nothing had been", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const aside = yield* CompileAside.make
          const large = { "1": `[${'{"a":[1,2]},'.repeat(60_000)}1]` }
          const hasty = { ...standardLimits, compileMillis: 1 }
          const late = yield* aside.compile(request("doc @> $1 OR doc <@ $1", large, hasty))
          assert.match(
            Result.isFailure(late) ? late.failure.message : "",
            /limit of 1 ms \(BATON_MAX_COMPILE_TIME\)/
          )
          const next = yield* aside.compile(request(`id IN (${numbers(3000)})`))
          assert.isTrue(Result.isSuccess(next))
        })
      )
    ))

  it("not when their parameters or their memory are above the limits", () => {
    assert.match(
      refusal(request("id = 1", { "1": "x".repeat(1_000_001) })),
      /^params: The size of a condition's parameters is 1000009 bytes, above the limit of 1000000 bytes \(BATON_MAX_PARAMS\)$/
    )
    assert.match(
      refusal(request("doc @> $1", { "1": `[${"[".repeat(500_000)}${"]".repeat(500_000)}]` })),
      /BATON_MAX_PARAMS/
    )
    assert.match(
      refusal(request("doc @> $1 OR doc <@ $1 OR doc = $1", { "1": `[${"1,".repeat(300_000)}1]` })),
      /BATON_MAX_CLAUSE_MEMORY|BATON_MAX_CLAUSE_SQL/
    )
  })
})
