import { rmSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { standardLimits } from "../../src/config/Limits.ts"
import { makeClauseMatcher } from "../../src/registry/routing/Matcher.ts"
import { PreparedRoutes } from "../../src/registry/routing/PreparedRoutes.ts"
import { openSession } from "../../src/registry/RegistrySession.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { definitionOf, engineAt, recordingLogger, temporaryDirectory } from "../storage/support.ts"
import { eventually } from "../../testing/Eventually.ts"
import { snapshotter } from "./no-rows.ts"

describe("more shapes than there may be", () => {
  it.live("are there while all of them are new; then those go that were not used for longest", () =>
    Effect.gen(function* () {
      const directory = temporaryDirectory()
      let nowMillis = 1_000_000
      const engine = engineAt(directory, { timers: { ...systemTimers, epochMillis: () => nowMillis } })
      yield* Effect.addFinalizer(() =>
        Effect.promise(async () => {
          await engine.close()
          rmSync(directory, { recursive: true, force: true })
        })
      )
      yield* Effect.promise(async () => {
        await engine.load()
        await engine.takeOver(() => Promise.resolve(true))
      })
      let looks = 0
      const session = yield* openSession({
        engine,
        snapshotter,
        makeMatcher: makeClauseMatcher(standardLimits),
        prepared: new PreparedRoutes(makeClauseMatcher(standardLimits)),
        decide: () => Effect.succeed({ failed: new Map(), aboveLimit: new Map() }),
        decisionMillis: 400,
        limits: standardLimits,
        get maxShapes() {
          looks++
          return 3
        },
        publish: () => Effect.void,
        ancestors: () => Effect.succeed([]),
        identityLost: () => {},
        onDurable: () => {}
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
