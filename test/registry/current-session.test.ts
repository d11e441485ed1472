import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { CurrentSession } from "../../src/registry/CurrentSession.ts"
import { ShapeRegistry } from "../../src/registry/ShapeRegistry.ts"
import { shapeRegistryLayer } from "../../src/registry/ShapeRegistryLive.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { eventually } from "../../testing/Eventually.ts"
import { definitionOf, recordingLogger, writingEngine } from "../storage/support.ts"
import { withoutPostgres } from "./without-postgres.ts"

describe("the session that shapes are made in", () => {
  it.live("is the registry's from when the stream begins until the lock is given back", () =>
    Effect.gen(function* () {
      const engine = yield* Effect.promise(() => writingEngine())
      const storage = Layer.succeed(Storage, {
        engine,
        load: Effect.void,
        loadToRead: Effect.void,
        writerUrl: () => undefined,
        level: Effect.die("not asked here")
      })
      const context = yield* Layer.build(
        shapeRegistryLayer.pipe(Layer.provideMerge(CurrentSession.layer), Layer.provide(storage))
      )
      const { registry, sessions } = yield* Effect.all({
        registry: ShapeRegistry,
        sessions: CurrentSession
      }).pipe(Effect.provide(context))
      const why = (name: string) =>
        Effect.map(Effect.flip(registry.getOrCreate(definitionOf(name))), (error) =>
          error._tag === "NotActive" ? error.why : error.kind
        )

      const turn = yield* Scope.make()
      const neverPublished = yield* Deferred.make<void>()
      const session = yield* Scope.provide(
        sessions.open({
          ...withoutPostgres(engine),
          publish: ({ table }) => (table.name === "slow" ? Deferred.await(neverPublished) : Effect.void)
        }),
        turn
      )
      assert.isUndefined(sessions.get())
      assert.strictEqual(yield* why("a"), "waiting", "the stream does not feed it yet")

      yield* sessions.begin(session)
      assert.strictEqual(sessions.get(), session)
      const made = yield* registry.getOrCreate(definitionOf("a"))
      yield* Effect.promise(() =>
        eventually(
          "all of its first rows",
          () => engine.store.byHandle(made.handle)?.snapshotComplete === true
        )
      )

      const asking = yield* Effect.forkChild(why("slow"), { startImmediately: true })
      yield* sessions.end
      assert.isUndefined(sessions.get())
      assert.strictEqual(yield* why("b"), "waiting")
      assert.isUndefined(asking.pollUnsafe(), "what is under way goes on")
      yield* Scope.close(turn, Exit.void)
      assert.strictEqual(yield* Fiber.join(asking), "waiting", "nobody is left waiting")
      assert.deepStrictEqual(
        Array.from(engine.store.all(), ({ definition }) => definition.table.name),
        ["a"]
      )
    }).pipe(Effect.scoped, Effect.provide(recordingLogger([])))
  )
})
