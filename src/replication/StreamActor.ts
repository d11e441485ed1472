import { Context, Effect, Layer, SubscriptionRef } from "effect"
import { duties } from "../health/Duties.ts"
import { HealthRef } from "../health/HealthRef.ts"
import { type Actor, startActor } from "../shared/Actor.ts"
import { currentTimers } from "../shared/Timers.ts"
import { ReplicationStream } from "./ReplicationStream.ts"

/** What is known of the connection in replication mode. */
type StreamState =
  /** `streamedMillis`: for how long the last connection has streamed; 0 if it did not get that far. */
  | { readonly _tag: "disconnected"; readonly streamedMillis: number }
  | { readonly _tag: "connected"; readonly backendPid: number }
  | { readonly _tag: "streaming"; readonly backendPid: number; readonly sinceMillis: number }

const never: StreamState = { _tag: "disconnected", streamedMillis: 0 }

/**
 * The replication of this instance: one fiber, which connects, makes the slot and streams, and whose state others read.
 * `ReplicationStream` says how each of these is done, and may be another program's; this is who does it, one after the other,
 * and tells `HealthRef`. Changes go from the socket to the sink without a message for each.
 */
export class StreamActor extends Context.Service<
  StreamActor,
  ReplicationStream["Service"] & {
    readonly state: Effect.Effect<StreamState>
    /** See `Actor.died`. */
    readonly died: Actor["died"]
  }
>()("baton/replication/StreamActor") {
  static readonly layer = Layer.effect(
    StreamActor,
    Effect.gen(function* () {
      const own = yield* ReplicationStream
      const health = yield* HealthRef
      const timers = yield* currentTimers
      const actor = yield* startActor(duties.stream)
      const state = yield* SubscriptionRef.make(never)

      const disconnected = SubscriptionRef.update(state, (now) => ({
        _tag: "disconnected" as const,
        streamedMillis: now._tag === "streaming" ? timers.nowMillis() - now.sinceMillis : 0
      }))

      const connect = Effect.gen(function* () {
        yield* SubscriptionRef.set(state, never)
        const connection = yield* own.connect
        yield* Effect.addFinalizer(() => actor.ask(disconnected))
        yield* SubscriptionRef.set(state, { _tag: "connected", backendPid: connection.backendPid })
        yield* health.send("databaseUp")
        return connection
      })

      const started = (backendPid: number) =>
        Effect.andThen(
          SubscriptionRef.set(state, { _tag: "streaming", backendPid, sinceMillis: timers.nowMillis() }),
          health.send("streamStarted")
        )

      return StreamActor.of({
        state: SubscriptionRef.get(state),
        died: actor.died,
        connect: Effect.withSpan(actor.ask(connect), "ReplicationStream.connect"),
        ensureSlot: Effect.fn("ReplicationStream.ensureSlot")((connection, options) =>
          actor.ask(own.ensureSlot(connection, options))
        ),
        dropSlot: (connection) => actor.ask(own.dropSlot(connection)),
        passOver: (connection, options) => actor.ask(own.passOver(connection, options)),
        stream: (connection, options) => {
          // The turn has made everything ready by then: an instance that says that it is active is.
          const onStarted = Effect.andThen(
            options.onStarted,
            Effect.suspend(() => started(connection.backendPid))
          )
          return actor.ask(own.stream(connection, { ...options, onStarted }))
        }
      })
    })
  )
}
