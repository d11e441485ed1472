import { Effect, Layer, Result } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Config } from "../../src/config/BatonConfig.ts"
import { Conditions } from "../../src/http/shape/Conditions.ts"
import { conditionsLayer } from "../../src/http/shape/ConditionsLive.ts"
import {
  Catalogue,
  compileWhere,
  loadParser,
  loadTypeCatalogue,
  makeTypeCatalogue,
  practiceRequest
} from "../../src/where/index.ts"
import { practiceTable } from "../../src/where/PracticeCondition.ts"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { testConfig } from "./support/harness.ts"

const noTable = () => Effect.die("the condition names none")

describe("conditions of an instance that waits", () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createDatabase()
  })
  afterAll(() => database.drop())

  /** Runs with conditions over the database, or over one that is out of reach, and a count of what it was asked. */
  const using = <A>(
    use: (conditions: Conditions["Service"], asked: () => number) => Effect.Effect<A, unknown>,
    isReachable = true
  ): Promise<A> => {
    let asked = 0
    const catalogue = makeTypeCatalogue((sql) => {
      asked++
      return isReachable ? Effect.promise(() => database.queryText(sql)) : Effect.fail("out of reach")
    })
    const layer = conditionsLayer.pipe(
      Layer.provide(Layer.effect(Catalogue, catalogue)),
      Layer.provide(Layer.succeed(Config, testConfig()))
    )
    return Effect.gen(function* () {
      return yield* use(yield* Conditions, () => asked)
    }).pipe(Effect.provide(layer), Effect.scoped, Effect.runPromise)
  }

  it("are checked without a question to the database once it is ready for them", () =>
    using((conditions, asked) =>
      Effect.gen(function* () {
        yield* conditions.keepReady ?? Effect.die("it is optional for others only")
        const before = asked()
        assert.isAbove(before, 1)
        yield* conditions.where(practiceTable, "id = 5 AND lower(name) = 'x'", {}, noTable)
        assert.strictEqual(asked(), before)
      })
    ))

  it("know what the database has got since, the next time that it makes itself ready", () =>
    using((conditions, asked) =>
      Effect.gen(function* () {
        const ready = conditions.keepReady ?? Effect.die("it is optional for others only")
        yield* ready
        yield* Effect.promise(() =>
          database.query("CREATE FUNCTION twice(int8) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'")
        )
        // Looks that come soon after another one share its answer.
        yield* Effect.sleep(150)
        yield* ready
        const before = asked()
        yield* conditions.where(practiceTable, "twice(id) = 4", {}, noTable)
        assert.strictEqual(asked(), before)
      })
    ))

  it("are practised with one that is right", () =>
    Effect.gen(function* () {
      yield* loadParser
      const catalogue = yield* loadTypeCatalogue((sql) => Effect.promise(() => database.queryText(sql)))
      const outcome = compileWhere(practiceRequest(catalogue))
      assert.isTrue(Result.isSuccess(outcome), JSON.stringify(outcome))
    }).pipe(Effect.runPromise))

  it("wait for the first request where the database is out of reach", () =>
    using(({ keepReady }) => keepReady ?? Effect.die("it is optional for others only"), false))
})
