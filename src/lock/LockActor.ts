import { Context, Effect, FiberHandle, Layer, type Scope, SubscriptionRef } from "effect"
import { duties } from "../health/Duties.ts"
import { HealthRef } from "../health/HealthRef.ts"
import type { PgError } from "../postgres/errors/PgError.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import { type Actor, startActor } from "../shared/Actor.ts"
import { type LockConnection, LockService } from "./LockService.ts"

/** What is known of the lock here. */
type LockState =
  | { readonly _tag: "free" }
  | { readonly _tag: "waiting" | "held" | "givenBack"; readonly backendPid: number }
  /** The connection that held it is gone, against our will. */
  | { readonly _tag: "lost"; readonly backendPid: number; readonly error: PgError }

const free: LockState = { _tag: "free" }

type HoldingConnection = LockConnection & Pick<ReplicationConnection, "close" | "closed">

/**
 * The lock as this instance has it: one fiber, whose state others read. `LockService` says how a connection gets the lock, and
 * may be another program's; this is who asks for it, notices its loss, and tells `HealthRef` of both.
 */
export class LockActor extends Context.Service<
  LockActor,
  {
    readonly state: Effect.Effect<LockState>
    /**
     * Completes when the connection holds the lock, and `HealthRef` says so. It counts as held until the scope closes, and with
     * that the connection: whatever stands on the lock is to be taken down before, for only then does `HealthRef` hear that it
     * is gone.
     */
    readonly hold: (connection: HoldingConnection) => Effect.Effect<void, PgError, Scope.Scope>
    /** The connection is closed next, by this instance: that is no loss. */
    readonly giveBack: Effect.Effect<void>
    /** See `Actor.died`. */
    readonly died: Actor["died"]
  }
>()("baton/lock/LockActor") {
  static readonly layer = Layer.effect(
    LockActor,
    Effect.gen(function* () {
      const service = yield* LockService
      const health = yield* HealthRef
      const actor = yield* startActor(duties.lock)
      const state = yield* SubscriptionRef.make(free)
      const watch = yield* FiberHandle.make<void>()

      const lost = (backendPid: number, error: PgError) =>
        SubscriptionRef.update(state, (now) =>
          now._tag === "held" && now.backendPid === backendPid
            ? ({ _tag: "lost", backendPid, error } as const)
            : now
        )

      const wait = (connection: HoldingConnection) =>
        Effect.gen(function* () {
          const { backendPid } = connection
          yield* SubscriptionRef.set(state, { _tag: "waiting", backendPid })
          yield* service.acquire(connection)
          yield* SubscriptionRef.set(state, { _tag: "held", backendPid })
          const loss = Effect.catch(connection.closed, (error) => actor.ask(lost(backendPid, error)))
          yield* FiberHandle.run(watch, loss, { startImmediately: true })
          yield* health.send("lockGranted")
        })

      /** Nothing stands on the lock any more. */
      const end = (connection: HoldingConnection) =>
        Effect.gen(function* () {
          yield* FiberHandle.clear(watch)
          const now = yield* SubscriptionRef.get(state)
          yield* connection.close
          yield* SubscriptionRef.set(state, free)
          if (now._tag === "lost") yield* health.send(now.error.unreachable ? "databaseDown" : "lockLost")
          else if (health.current() === "releasing") yield* health.send("lockReleased")
        })

      return LockActor.of({
        state: SubscriptionRef.get(state),
        hold: (connection) =>
          Effect.andThen(
            Effect.addFinalizer(() => actor.ask(end(connection))),
            Effect.withSpan(actor.ask(wait(connection)), "LockService.acquire")
          ),
        giveBack: actor.ask(
          SubscriptionRef.update(state, (now) =>
            now._tag === "held" ? ({ _tag: "givenBack", backendPid: now.backendPid } as const) : now
          )
        ),
        died: actor.died
      })
    })
  )
}
