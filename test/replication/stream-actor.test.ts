import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { HealthRef } from "../../src/health/HealthRef.ts"
import { ownPgError, type PgError } from "../../src/postgres/errors/PgError.ts"
import { ReplicationStream } from "../../src/replication/ReplicationStream.ts"
import { StreamActor } from "../../src/replication/StreamActor.ts"
import type { ReplicationConnection } from "../../src/replication/stream/ReplicationConnection.ts"
import { recordingLogger } from "../storage/support.ts"
import { recordingSink } from "./recording-sink.ts"

const broken = ownPgError("connection_closed", "made up: the connection is gone")
const connection = { backendPid: 7 } as ReplicationConnection

/** Replication that does nothing but tell, and whose stream ends when `end` is failed. */
const rehearsal = Effect.gen(function* () {
  const end = Deferred.makeUnsafe<never, PgError>()
  const told: Array<string> = []
  let refuses = false
  const own = Layer.succeed(ReplicationStream, {
    connect: Effect.suspend(() => {
      if (refuses) return Effect.fail(broken)
      return Effect.as(
        Effect.addFinalizer(() => Effect.sync(() => told.push("closed"))),
        connection
      )
    }),
    ensureSlot: () => Effect.die("not asked here"),
    dropSlot: () => Effect.sync(() => void told.push("dropped")),
    passOver: () => Effect.die("not asked here"),
    stream: (_, { onStarted }) => Effect.andThen(onStarted, Deferred.await(end))
  })
  const context = yield* Layer.build(
    StreamActor.layer.pipe(Layer.provideMerge(HealthRef.layer), Layer.provide(own))
  )
  const { health, stream } = yield* Effect.all({ health: HealthRef, stream: StreamActor }).pipe(
    Effect.provide(context)
  )
  yield* health.send("storageLoaded")
  yield* health.send("databaseDown")
  return { end, health, stream, told, refuse: () => void (refuses = true), scope: yield* Scope.make() }
})

describe("the stream as an instance has it", () => {
  it.effect("says that the database is there, and that changes come once everything is ready for them", () =>
    Effect.gen(function* () {
      const { end, health, refuse, scope, stream } = yield* rehearsal
      assert.deepStrictEqual(yield* stream.state, { _tag: "disconnected", streamedMillis: 0 })
      yield* Scope.provide(stream.connect, scope)
      assert.deepStrictEqual(yield* stream.state, { _tag: "connected", backendPid: 7 })
      assert.strictEqual(health.current(), "waiting")
      yield* health.send("lockGranted")

      const before: Array<string> = []
      const onStarted = Effect.sync(() => void before.push(health.current()))
      const streaming = yield* Effect.forkChild(
        stream.stream(connection, { sink: recordingSink({}).sink, fromLsn: undefined, shift: 0n, onStarted }),
        { startImmediately: true }
      )
      assert.deepStrictEqual(before, ["takingOver"])
      assert.strictEqual(health.current(), "active")
      assert.strictEqual((yield* stream.state)._tag, "streaming")

      yield* TestClock.adjust(1234)
      yield* Deferred.fail(end, broken)
      assert.deepStrictEqual(yield* Fiber.await(streaming), Exit.fail(broken))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* stream.state, { _tag: "disconnected", streamedMillis: 1234 })

      refuse()
      assert.strictEqual(yield* Effect.flip(Effect.scoped(stream.connect)), broken)
      assert.deepStrictEqual(yield* stream.state, { _tag: "disconnected", streamedMillis: 0 })
    }).pipe(Effect.provide(recordingLogger([])))
  )

  it.effect("does one thing after the other on its connection, and stops when it is told to", () =>
    Effect.gen(function* () {
      const { health, scope, stream, told } = yield* rehearsal
      yield* Scope.provide(stream.connect, scope)
      yield* health.send("lockGranted")
      const streaming = yield* Effect.forkChild(
        stream.stream(connection, {
          sink: recordingSink({}).sink,
          fromLsn: undefined,
          shift: 0n,
          onStarted: Effect.void
        }),
        { startImmediately: true }
      )
      const dropping = yield* Effect.forkChild(stream.dropSlot(connection), { startImmediately: true })
      assert.deepStrictEqual(told, [])
      yield* Fiber.interrupt(streaming)
      yield* Fiber.join(dropping)
      assert.deepStrictEqual(told, ["dropped"])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(told, ["dropped", "closed"])
    }).pipe(Effect.provide(recordingLogger([])))
  )
})
