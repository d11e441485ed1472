import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Relation } from "../../src/postgres/Relation.ts"
import { openSession } from "../../src/registry/RegistrySession.ts"
import type { MakeMatcher } from "../../src/registry/routing/Matcher.ts"
import { PreparedRoutes } from "../../src/registry/routing/PreparedRoutes.ts"
import { pushMatch } from "../../src/where/index/MatchList.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { definitionOf, writingEngine } from "../storage/support.ts"
import { withoutPostgres } from "./without-postgres.ts"

const relation: Relation = {
  oid: 1,
  schema: "public",
  name: "t",
  replicaIdentity: "f",
  columns: [{ name: "id", typeOid: 20, typeModifier: -1, isKey: true }]
}
const shapes = 600
/** Turns of the watch may be two turns of the work, of five milliseconds each, and a little. */
const mostInOneTurn = 30

/** Which all rows meet. Each that is made ready takes a millisecond of the clock. Counts how many are in one turn of the event loop. */
const slowConditions = () => {
  const seen = { ready: 0, inThisTurn: 0, mostInOneTurn: 0 }
  return {
    seen,
    timers: { ...systemTimers, nowMillis: () => systemTimers.nowMillis() + seen.ready },
    makeMatcher: (() => {
      const ids = new Set<number>()
      return {
        add: (id) => {
          seen.ready++
          seen.inThisTurn++
          seen.mostInOneTurn = Math.max(seen.mostInOneTurn, seen.inThisTurn)
          ids.add(id)
          return true
        },
        remove: (id) => void ids.delete(id),
        match: (_, out) => {
          for (const id of ids) pushMatch(out, id)
          return 0
        },
        takesAll: () => false
      }
    }) satisfies MakeMatcher,
    /** Runs the work, and beside it what notices each turn of the event loop. */
    watch: (work: Effect.Effect<void>) =>
      Effect.gen(function* () {
        let turns = 0
        const ticking = yield* Effect.forkChild(
          Effect.forever(
            Effect.callback<void>((resume) => {
              setImmediate(() => {
                turns++
                seen.inThisTurn = 0
                resume(Effect.void)
              })
            })
          )
        )
        seen.mostInOneTurn = 0
        yield* work
        yield* Fiber.interrupt(ticking)
        return { turns, mostInOneTurn: seen.mostInOneTurn }
      })
  }
}

describe("the conditions of very many shapes", () => {
  it.live(
    "are made ready a few at a time when the first row of a table comes, and its definition another time",
    () =>
      Effect.gen(function* () {
        const { makeMatcher, seen, timers, watch } = slowConditions()
        const engine = yield* Effect.promise(() => writingEngine(undefined, { timers }))
        const session = yield* openSession({
          ...withoutPostgres(engine),
          makeMatcher,
          prepared: new PreparedRoutes(makeMatcher)
        })
        for (let i = 0; i < shapes; i++)
          yield* session.create({ ...definitionOf("t"), where: { sql: `id <> ${-i}`, expression: {} } })
        assert.strictEqual(seen.ready, 0)

        const { sink } = session
        const first = yield* watch(sink.relation(relation) ?? Effect.void)
        assert.strictEqual(seen.ready, shapes)
        assert.isAtMost(first.mostInOneTurn, mostInOneTurn)
        assert.isAbove(first.turns, shapes / mostInOneTurn)

        // Nothing is compiled twice, and each shape gets its row.
        sink.begin(2000n, 100, 0n)
        sink.insert(relation, tupleOf(["1"]))
        sink.commit(2008n)
        sink.batchEnd()
        yield* Effect.promise(() => engine.settled())
        assert.strictEqual(seen.ready, shapes)
        for (const shape of engine.store.all()) assert.strictEqual(shape.end.tx, 2000n)

        const again = yield* watch(sink.relation({ ...relation, replicaIdentity: "d" }) ?? Effect.void)
        assert.strictEqual(seen.ready, 2 * shapes)
        assert.isAtMost(again.mostInOneTurn, mostInOneTurn)
      }).pipe(Effect.scoped)
  )
})
