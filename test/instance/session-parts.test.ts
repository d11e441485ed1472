import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { catalogueRetryMillis } from "../../src/instance/InstanceTimings.ts"
import { ancestorsOf, setIdentityAgain, untilAnswered } from "../../src/instance/StreamQuestions.ts"
import { readsGenerated, stillHolds, TableOfShape } from "../../src/instance/TableOfShape.ts"
import type { TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import type { Relation } from "../../src/postgres/Relation.ts"
import type { RegistrySession } from "../../src/registry/RegistrySession.ts"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"

const down = ownPgError("pool_timeout", "no connection is free")

/** The catalogue, and which tables were called into question. */
const catalogueOf = (answers: Readonly<Record<number, Partial<TableInfo>>>, failure?: PgError) => {
  const invalidated: Array<number> = []
  return {
    invalidated,
    invalidate: (oid: number) => void invalidated.push(oid),
    serverVersionNum: () => 180000,
    tableByOid: (oid: number) =>
      failure === undefined ? Effect.succeed(answers[oid] as TableInfo | undefined) : Effect.fail(failure)
  }
}

const unused = () => assert.fail("not reached")

describe("what the stream waits for", () => {
  it.effect("is asked for until there is an answer", () =>
    Effect.gen(function* () {
      let asked = 0
      const question = Effect.suspend(() => (++asked < 3 ? Effect.fail(down) : Effect.succeed("answer")))
      const fiber = yield* Effect.forkChild(untilAnswered("the catalogue", question))
      yield* TestClock.adjust(catalogueRetryMillis - 1)
      assert.strictEqual(asked, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(asked, 2)
      yield* TestClock.adjust(catalogueRetryMillis)
      assert.strictEqual(yield* Fiber.join(fiber), "answer")
    })
  )

  it.effect("is not asked anew about a table that was looked at ahead", () =>
    Effect.gen(function* () {
      const inspector = catalogueOf({ 7: { ancestorOids: [8, 9] } })
      const ahead = { answer: (oid: number) => (oid === 7 ? Effect.void : undefined) }
      assert.deepStrictEqual(yield* ancestorsOf(inspector, ahead, 7), [8, 9])
      assert.deepStrictEqual(inspector.invalidated, [])
      assert.deepStrictEqual(yield* ancestorsOf(inspector, ahead, 6), [], "it is gone")
      assert.deepStrictEqual(inspector.invalidated, [6])
    })
  )
})

describe("a replica identity that was lost", () => {
  it.effect("is set again, on the root of a partition, and fails nobody", () =>
    Effect.gen(function* () {
      const ensured: Array<number> = []
      const publication = {
        ensureTable: ({ oid }: TableInfo) => Effect.sync(() => void ensured.push(oid) as never)
      }
      const inspector = catalogueOf({
        1: { oid: 1, ancestorOids: [] },
        2: { oid: 2, ancestorOids: [3, 1] }
      })
      for (const oid of [1, 2, 4]) yield* setIdentityAgain(inspector, publication, { oid } as Relation)
      assert.deepStrictEqual(ensured, [1, 1])
      assert.deepStrictEqual(inspector.invalidated, [1, 2, 4])
      yield* setIdentityAgain(catalogueOf({}, down), publication, { oid: 1 } as Relation)
    })
  )
})

describe("the table of a shape that is being made", () => {
  const definition = { table: { oid: 5, schema: "public", name: "items" }, columns: ["id"], tableColumns: [] }
  const shape = definition as unknown as ShapeDefinition

  it("may have columns that the publication leaves out", () => {
    const table = {
      columns: [
        { name: "id", generated: "no" },
        { name: "sum", generated: "stored" }
      ]
    } as unknown as TableInfo
    const reads = (over: Partial<ShapeDefinition>) => readsGenerated({ ...shape, ...over }, table)
    assert.isFalse(reads({}))
    assert.isTrue(reads({ columns: ["id", "sum"] }))
    assert.isTrue(reads({ whereColumns: ["sum"] }))
    assert.isFalse(reads({ whereColumns: ["id"] }))
  })

  it("is another one when it is gone or has another name", () => {
    assert.isFalse(stillHolds(shape, undefined))
    assert.isFalse(stillHolds(shape, { oid: 5, schema: "public", name: "things" } as TableInfo))
  })

  const failureOf = (inspector: ReturnType<typeof catalogueOf>, isWatched: boolean) => {
    const tables = new TableOfShape({
      admin: { query: unused } as never,
      inspector,
      publication: { publish: unused },
      publicationName: "p",
      record: { add: unused, covers: unused }
    })
    if (isWatched) tables.watched = { isInUse: () => true } as unknown as RegistrySession["shapes"]
    return Effect.flip(tables.publish(shape))
  }

  it.effect("is called into question where it is not watched, or not what the definition says", () =>
    Effect.gen(function* () {
      const gone = catalogueOf({})
      assert.strictEqual((yield* failureOf(gone, true)).kind, "schemaChanged")
      assert.deepStrictEqual(gone.invalidated, [5])
      const unwatched = catalogueOf({}, down)
      const failure = yield* failureOf(unwatched, false)
      assert.deepInclude(failure, { kind: "unavailable", message: down.message })
      assert.deepStrictEqual(unwatched.invalidated, [5])
      const watched = catalogueOf({}, down)
      yield* failureOf(watched, true)
      assert.deepStrictEqual(watched.invalidated, [])
    })
  )
})
