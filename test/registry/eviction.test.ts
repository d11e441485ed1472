import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { openSession } from "../../src/registry/RegistrySession.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { definitionOf, recordingLogger, temporaryDirectory, writingEngine } from "../storage/support.ts"
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
