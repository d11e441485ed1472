import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { keepDroppingUnread } from "../../src/registry/Eviction.ts"
import { openSession } from "../../src/registry/RegistrySession.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import {
  createShape,
  definitionOf,
  recordingLogger,
  temporaryDirectory,
  writingEngine
} from "../storage/support.ts"
import { eventually } from "../../testing/Eventually.ts"
import { withoutPostgres } from "./without-postgres.ts"

describe("more shapes than there may be", () => {
  it.live("are there while all of them are new; then those go that were not used for longest", () =>
    Effect.gen(function* () {
      let nowMillis = 1_000_000
      const timers = { ...systemTimers, epochMillis: () => nowMillis }
      const engine = yield* Effect.promise(() => writingEngine(temporaryDirectory(), { timers }))
      let looks = 0
      const session = yield* openSession({
        ...withoutPostgres(engine),
        get maxShapes() {
          looks++
          return 3
        }
      })
      const make = (name: string) => session.create(definitionOf(name))
      const names = () => Array.from(engine.store.all(), ({ definition }) => definition.table.name)
      const nextLook = Effect.promise(() => {
        const before = looks
        return eventually("a look at how many there are", () => looks > before)
      })

      // All made, and used, at the same moment.
      for (const name of ["a", "b", "c", "d", "e"]) yield* make(name)
      yield* nextLook
      assert.deepStrictEqual(names(), ["a", "b", "c", "d", "e"], "somebody is about to read each of them")

      nowMillis += 60_000
      const used = Array.from(engine.store.all())[0]
      if (used !== undefined) used.lastUsedMillis = nowMillis
      yield* make("f")
      yield* nextLook
      // Of six the three that were not used for longest, the older ones first; `a` was used, `f` is new.
      yield* Effect.promise(() => eventually("three to go", () => engine.store.count === 3))
      assert.deepStrictEqual(names(), ["a", "e", "f"])
    }).pipe(Effect.scoped, Effect.provide(recordingLogger([])))
  )
})

const minute = 60_000

describe("shapes that nobody reads", () => {
  it.effect("go once nobody has for so long, and no sooner than that after the instance became active", () =>
    Effect.gen(function* () {
      let nowMillis = 1_000_000
      const timers = { ...systemTimers, epochMillis: () => nowMillis }
      const engine = yield* Effect.promise(() => writingEngine(temporaryDirectory(), { timers }))
      const pass = (millis: number) => {
        nowMillis += millis
        return TestClock.adjust(millis)
      }
      const dropped: Array<string> = []
      const reasons = new Set<string>()
      const names = ["unread", "dormant", "read", "awaited"] as const
      const [, dormant, read, awaited] = names.map((name) => engine.store.get(createShape(engine, name).id))
      if (dormant === undefined || read === undefined || awaited === undefined) return assert.fail("not made")
      dormant.sleep(engine.store.dormant)
      yield* Effect.forkScoped(engine.waiters.wait(() => (awaited.waiters ??= new Set()), 100 * minute))
      yield* Effect.forkScoped(
        keepDroppingUnread(engine, 10 * minute, (shapes, reason) => {
          if (shapes.length > 0) reasons.add(reason)
          dropped.push(...shapes.map(({ definition }) => definition.table.name))
          engine.writing?.write({ t: "dropped", ids: shapes.map(({ id }) => id), reason })
        })
      )
      // What was used last nobody knows of them; somebody may have, at the instance before this one.
      yield* pass(9 * minute)
      assert.deepStrictEqual(dropped, [])
      read.lastUsedMillis = nowMillis
      yield* pass(minute)
      yield* pass(minute)
      assert.deepStrictEqual(dropped.toSorted(), ["dormant", "unread"])
      assert.match([...reasons].join(), /^nobody has read it for 10 minutes \(BATON_SHAPE_DROP_AFTER\)$/)
      dropped.length = 0
      for (let i = 0; i < 7; i++) yield* pass(minute)
      assert.notInclude(dropped, "read")
      for (let i = 0; i < 3; i++) yield* pass(minute)
      assert.include(dropped, "read")
      assert.notInclude(dropped, "awaited")
    }).pipe(Effect.scoped, Effect.provide(recordingLogger([])))
  )
})
