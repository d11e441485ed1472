import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Relation } from "../../src/postgres/Relation.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { openSession } from "../../src/registry/RegistrySession.ts"
import type { ShapeState } from "../../src/storage/state/ShapeState.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { eventually } from "../../testing/Eventually.ts"
import { withoutPostgres } from "./without-postgres.ts"
import {
  definitionOf,
  maintenanceOf,
  openEngine,
  recordingLogger,
  temporaryDirectory,
  writingEngine
} from "../storage/support.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

const relation: Relation = {
  oid: 1,
  schema: "public",
  name: "t",
  replicaIdentity: "f",
  columns: [{ name: "id", typeOid: 20, typeModifier: -1, isKey: true }]
}

const alive = (states: ReadonlyArray<WeakRef<ShapeState>>): number => {
  collectGarbage()
  return states.filter((state) => state.deref() !== undefined).length
}

const referencesTo = (engine: StorageEngine) => Array.from(engine.store.all(), (shape) => new WeakRef(shape))

/** In a function of its own: a loop's variable would keep the last shape. */
const holdOneEach = (engine: StorageEngine, resume: () => void): void => {
  for (const shape of engine.store.all())
    engine.waiters.add({ resume, set: undefined, slot: 0 }, (shape.waiters ??= new Set()), 60_000)
}

describe("shapes that are dropped", () => {
  it.live("leave nothing behind in the memory of the instance that writes, or of one that follows", () =>
    Effect.gen(function* () {
      const directory = temporaryDirectory()
      const engine = yield* Effect.promise(() => writingEngine(directory))
      const follower = yield* Effect.promise(() => openEngine(directory))
      follower.follow()
      const session = yield* openSession(withoutPostgres(engine))
      const maintenance = maintenanceOf(engine, { retainedEntries: 1000 })
      const { sink } = session
      yield* sink.relation(relation) ?? Effect.void
      let lsn = 1000n
      const change = () => {
        lsn += 100n
        sink.begin(lsn, 100, 0n)
        sink.insert(relation, tupleOf(["1"]))
        sink.commit(lsn + 8n)
        sink.batchEnd()
      }

      // Made, changed and waited for, round after round, as by an application whose users come and go.
      const writing: Array<WeakRef<ShapeState>> = []
      const following: Array<WeakRef<ShapeState>> = []
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 2; i++)
          yield* session.create({ ...definitionOf("t"), replica: i % 2 === 0 ? "default" : "full" })
        change()
        yield* Effect.promise(() => engine.settled())
        yield* Effect.promise(() => follower.catchUp())
        writing.push(...referencesTo(engine))
        following.push(...referencesTo(follower))
        let woken = 0
        for (const owner of [engine, follower]) holdOneEach(owner, () => void woken++)
        const waiting = engine.waiters.count + follower.waiters.count
        assert.isAbove(waiting, 0)
        session.drop(Array.from(engine.store.all()), "a test")
        change()
        yield* maintenance.round()
        yield* Effect.promise(() => engine.settled())
        yield* Effect.promise(() =>
          eventually("the follower to see it", async () => {
            await follower.catchUp()
            return follower.store.count === 0 && woken === waiting
          })
        )
      }
      assert.deepStrictEqual([engine.store.count, engine.waiters.count, follower.waiters.count], [0, 0, 0])
      assert.strictEqual(engine.store.entriesBySegment.size + follower.store.entriesBySegment.size, 0)
      assert.strictEqual(writing.length, 40)
      assert.strictEqual(following.length, writing.length)
      yield* Effect.promise(() =>
        eventually("all of them to be collected", () => {
          assert.deepStrictEqual([alive(writing), alive(following)], [0, 0])
          return true
        })
      )
    }).pipe(Effect.scoped, Effect.provide(recordingLogger([])))
  )
})
