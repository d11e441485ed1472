import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Scope } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { Ancestry } from "../../src/instance/Ancestry.ts"
import { catalogueRetryMillis } from "../../src/instance/InstanceTimings.ts"
import { setIdentityAgain, untilAnswered } from "../../src/instance/StreamQuestions.ts"
import { readsGenerated, stillHolds, TableOfShape } from "../../src/instance/TableOfShape.ts"
import type { TableInfo } from "../../src/postgres/catalogue/TableInfo.ts"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import type { Queryable } from "../../src/postgres/connection/SessionPool.ts"
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
    isFresh: (oid: number) => !invalidated.includes(oid),
    rememberedByOid: (oid: number) => answers[oid] as TableInfo | undefined,
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
      const ancestry = new Ancestry({ admin: { query: unused }, inspector, ahead })
      assert.deepStrictEqual(yield* ancestry.of(7), [8, 9])
      assert.deepStrictEqual(inspector.invalidated, [])
      assert.deepStrictEqual(yield* ancestry.of(6), [], "it is gone")
      assert.deepStrictEqual(inspector.invalidated, [6])
    })
  )
})

/** Of the tables 1 to 2000, of which each even one is a partition of 5000; and which sets of them were asked about. */
const ancestryOf = (remembered: Readonly<Record<number, Partial<TableInfo>>> = {}) => {
  const asked: Array<ReadonlyArray<number>> = []
  const inspector = catalogueOf(remembered)
  const admin = {
    query: ((_: string, [oids]: ReadonlyArray<unknown> = []) =>
      Effect.sync(() => {
        const wanted = String(oids).slice(1, -1).split(",").map(Number)
        asked.push(wanted)
        const found = wanted.filter((oid) => oid % 2 === 0).map((oid) => `${oid}:5000`)
        return [{ found: found.length === 0 ? null : found.join(" ") }]
      })) as Queryable["query"]
  }
  const ancestry = new Ancestry({ admin, inspector, ahead: { answer: () => undefined } })
  const known = new Set<number>()
  const all = Array.from({ length: 2000 }, (_, i) => i + 1)
  const of = (oid: number, commitLsn: bigint, more: Partial<Relation> = {}) => {
    const relation: Relation = {
      oid,
      schema: "public",
      name: `t${oid}`,
      replicaIdentity: "f",
      columns: [],
      ...more
    }
    return Effect.tap(
      ancestry.of(oid, {
        relation,
        commitLsn,
        xid: 7,
        others: () => all.filter((other) => !known.has(other))
      }),
      () => Effect.sync(() => known.add(oid))
    )
  }
  return { asked, inspector, of }
}

describe("the tables above those that a transaction changes first", () => {
  it.effect(
    "are asked for again until the transaction is visible, which the stream may be quicker than",
    () =>
      Effect.gen(function* () {
        const answers = ["7:9:7,8", "7:9:7", "8:9:8"]
        let asked = 0
        const admin: Queryable = {
          query: (() =>
            Effect.sync(() => {
              const shown = answers[asked++] ?? ""
              return [{ found: shown.startsWith("8") ? "3:5000" : null, shown }]
            })) as Queryable["query"]
        }
        const inspector = catalogueOf({})
        const ancestry = new Ancestry({ admin, inspector, ahead: { answer: () => undefined } })
        const relation = { oid: 3, schema: "public", name: "t3", replicaIdentity: "f", columns: [] } as const
        const found = yield* Effect.forkChild(
          ancestry.of(3, { relation, commitLsn: 1n, xid: 7, others: () => [] })
        )
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(yield* Fiber.join(found), [5000])
        assert.strictEqual(asked, 3)
      })
  )

  it.effect("are asked for with a few questions, however many there are", () =>
    Effect.gen(function* () {
      const { asked, of } = ancestryOf()
      for (let oid = 2000; oid > 0; oid--)
        assert.deepStrictEqual(yield* of(oid, 10n), oid % 2 === 0 ? [5000] : [])
      assert.isAtMost(asked.length, 5)
    })
  )

  it.effect("are asked for again for another transaction, and about the one table of a small one", () =>
    Effect.gen(function* () {
      const { asked, of } = ancestryOf()
      yield* of(2, 10n)
      yield* of(3, 20n)
      yield* of(4, 30n)
      assert.deepStrictEqual(asked, [[2], [3], [4]])
    })
  )

  it.effect("come with a whole look at a table that is not what was known of it", () =>
    Effect.gen(function* () {
      const known = { schema: "public", name: "t77", columns: [], ancestorOids: [] }
      const { inspector, of } = ancestryOf({ 75: { ...known, name: "t75" }, 77: known })
      assert.deepStrictEqual(yield* of(75, 10n), [])
      assert.deepStrictEqual(inspector.invalidated, [])
      const column = { name: "a", typeOid: 23, typeModifier: -1, isKey: false }
      yield* of(75, 20n, { columns: [column] })
      yield* of(75, 30n, { name: "t75_before" })
      assert.deepStrictEqual(inspector.invalidated, [75, 75])
    })
  )

  it.effect("are those of the catalogue where a table has become a partition", () =>
    Effect.gen(function* () {
      const known = { schema: "public", name: "t78", columns: [], ancestorOids: [] }
      const { inspector, of } = ancestryOf({ 78: known })
      yield* of(78, 10n)
      assert.deepStrictEqual(inspector.invalidated, [78])
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
      record: { add: unused, addObjects: unused, covers: unused },
      scope: Scope.makeUnsafe()
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
