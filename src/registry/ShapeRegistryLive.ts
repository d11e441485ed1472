import { Effect, Layer } from "effect"
import { type ShapeDefinition, shapeIdentity } from "../shapes/ShapeDefinition.ts"
import { unlessAway } from "../storage/BucketStatus.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import { fromDisk } from "../storage/disk/DiskFault.ts"
import { levelOfSubselects } from "../storage/levels/Levels.ts"
import { digestOf } from "../storage/state/IdentityDigest.ts"
import { Storage } from "../storage/Storage.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { traced } from "../telemetry/otel/Traced.ts"
import { bucketAway } from "./BucketGate.ts"
import { CurrentSession } from "./CurrentSession.ts"
import { readableMillis, settleMillis } from "./RegistryTimings.ts"
import { type NotActive, notActive, ShapeRegistry, SnapshotFailed } from "./ShapeRegistry.ts"

const waiting = notActive("waiting")
const notDurable = notActive("notDurable")
const notReadable = notActive("notReadable")

/** The registry on storage: looks shapes up in any state, makes and drops them only with a session. */
export const shapeRegistryLayer = Layer.effect(
  ShapeRegistry,
  Effect.gen(function* () {
    const { engine } = yield* Storage
    const sessions = yield* CurrentSession
    return ShapeRegistry.of({
      getOrCreate: (definition) =>
        Effect.suspend(() => {
          const known = engine.store.byIdentity(digestOf(shapeIdentity(definition)))
          if (known?.readable === true) return Effect.succeed(known)
          const session = sessions.get()
          if (session !== undefined && isTooNew(engine, definition)) return Effect.fail(notFinalised)
          if (session !== undefined)
            return traced(
              "ShapeRegistry.create",
              unlessAway(engine.bucketStatus, session.create(definition), bucketAway)
            )
          if (known !== undefined) return awaitReadable(engine, known)
          return Effect.fail(waiting)
        }),
      drop: Effect.fn("ShapeRegistry.drop")((handle, reason) =>
        Effect.suspend(() => {
          const session = sessions.get()
          if (session === undefined) return Effect.fail(waiting)
          const shape = engine.store.byHandle(handle)
          if (shape === undefined) return Effect.succeed(false)
          const dropped = Effect.suspend(() => {
            session.drop([shape], reason)
            return isSettled(engine)
          })
          return Effect.flatMap(unlessAway(engine.bucketStatus, dropped, bucketAway), (settled) =>
            settled ? Effect.succeed(true) : Effect.fail(notDurable)
          )
        })
      ),
      touch: (shape) => {
        const live = engine.live(shape)
        if (live !== undefined) live.lastUsedMillis = engine.timers.epochMillis()
      },
      // A disk that refuses, or a chain that is broken, is asked again by the follower, which complains; the answer is what is known.
      settle: Effect.tryPromise(() => engine.catchUp()).pipe(
        Effect.timeoutOption(settleMillis),
        Effect.ignore,
        Effect.map(() => engine.knowsAllTold)
      )
    })
  })
)

const notFinalised = new SnapshotFailed({
  kind: "unavailable",
  message:
    "Shapes with sub-selects are made once storage is finalised: until then a release that knows nothing of them could take over " +
    'again. That ends by itself, as /v1/health?verbose says, or at once with "baton finalise" (docs/upgrade.md). Please try again later.'
})

/** Whether an older release, for which storage is kept as it is, would take a shape for what it is not. */
const isTooNew = ({ store }: StorageEngine, { where }: ShapeDefinition): boolean =>
  where?.members !== undefined && store.level < levelOfSubselects

/** What was written counts; what cannot be seen does not. */
const isSettled = (engine: StorageEngine): Effect.Effect<boolean> =>
  Effect.catch(
    fromDisk(() => engine.settled()),
    ({ message }) =>
      Effect.sync(() => {
        engine.complaints.about("dropping", `It is not known whether a shape is dropped: ${message}.`)
        return false
      })
  )

/** A shape that the active instance is making: readable when its first rows have come through the journal. */
export const awaitReadable = (
  engine: StorageEngine,
  shape: ShapeState
): Effect.Effect<ShapeState, NotActive> => {
  const deadline = engine.timers.nowMillis() + readableMillis
  const step: Effect.Effect<ShapeState, NotActive> = Effect.suspend(() => {
    const live = engine.live(shape)
    if (live?.readable === true) return Effect.succeed(live)
    // Dropped again: the client's next request finds what took its place, or makes it.
    if (live === undefined) return Effect.fail(waiting)
    if (engine.timers.nowMillis() > deadline) return Effect.fail(notReadable)
    return Effect.andThen(
      engine.waiters.wait(() => {
        const now = engine.live(shape)
        if (now === undefined) return "dropped"
        return now.readable ? "changed" : (now.waiters ??= new Set())
      }, 500),
      step
    )
  })
  return step
}
