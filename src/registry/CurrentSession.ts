import { Context, Effect, Exit, Layer, Scope, SubscriptionRef } from "effect"
import { duties } from "../health/Duties.ts"
import { type Actor, startActor } from "../shared/Actor.ts"
import { openSession, type RegistrySession, type SessionOptions } from "./RegistrySession.ts"

/**
 * The actor of the registry: it has the session of this instance while that is the writer, and with it the fibers that make
 * shapes and drop them. The turn asks it to open a session, and tells when requests may make shapes through it;
 * `ShapeRegistry` reads which session that is.
 */
export class CurrentSession extends Context.Service<
  CurrentSession,
  {
    /** The session that requests make and drop shapes through; `undefined` while they cannot. */
    readonly get: () => RegistrySession | undefined
    /** With storage taken over. The session, and all that goes on in it, ends with the scope at the latest. */
    readonly open: (options: SessionOptions) => Effect.Effect<RegistrySession, never, Scope.Scope>
    /** The stream feeds the session: requests may make shapes. */
    readonly begin: (session: RegistrySession) => Effect.Effect<void>
    /** No more shapes. What is under way goes on until the session is closed. */
    readonly end: Effect.Effect<void>
    /** See `Actor.died`. */
    readonly died: Actor["died"]
  }
>()("baton/registry/CurrentSession") {
  static readonly layer = Layer.effect(
    CurrentSession,
    Effect.gen(function* () {
      const actor = yield* startActor(duties.registry)
      const own = yield* Effect.scope
      const current = yield* SubscriptionRef.make<RegistrySession | undefined>(undefined)
      const end = SubscriptionRef.set(current, undefined)

      const opened = (options: SessionOptions) =>
        Effect.gen(function* () {
          const scope = yield* Scope.fork(own)
          return { scope, session: yield* Scope.provide(openSession(options), scope) }
        })

      return CurrentSession.of({
        get: () => SubscriptionRef.getUnsafe(current),
        open: (options) =>
          Effect.acquireRelease(actor.ask(opened(options)), ({ scope }) =>
            actor.ask(Effect.andThen(end, Scope.close(scope, Exit.void)))
          ).pipe(Effect.map(({ session }) => session)),
        begin: (session) => actor.ask(SubscriptionRef.set(current, session)),
        end: actor.ask(end),
        died: actor.died
      })
    })
  )
}
