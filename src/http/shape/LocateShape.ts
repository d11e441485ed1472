import { Effect, Option } from "effect"
import { abilities } from "../../health/HealthState.ts"
import type { RefusalReason } from "../../health/Refusal.ts"
import type { SnapshotFailed } from "../../registry/ShapeRegistry.ts"
import { plainHandle } from "../../shapes/HandleAlias.ts"
import { goesOnAs } from "../../shapes/Continuation.ts"
import { shapeIdentity } from "../../shapes/ShapeDefinition.ts"
import type { ShapeHandle } from "../../storage/ShapeLogs.ts"
import type { ApiServices } from "./ApiServices.ts"
import { lookAgainMillis, readinessMillis } from "../HttpTimings.ts"
import {
  failed,
  invalidRequest,
  knownUnavailable,
  mustRefetch,
  notNow,
  type Failure
} from "../reply/Failures.ts"
import { type Facts, type Outdated, outdatedCondition, outdatedTable } from "./OnFreshFacts.ts"
import type { ResolvedShape } from "./ResolveShape.ts"

const snapshotFailure = (error: SnapshotFailed): Failure | Outdated => {
  switch (error.kind) {
    case "schemaChanged":
      return outdatedTable
    case "conditionOutdated":
      return outdatedCondition(invalidRequest({ where: [error.message] }))
    case "conditionFailed":
      return invalidRequest({ where: [error.message] })
    case "refused":
      return invalidRequest({ table: [error.message] })
    case "unavailable":
      return knownUnavailable(error.message)
    case "unexpected":
      return failed(`Unexpected error while creating snapshot: ${error.message}`)
  }
}

/**
 * Waits until the shapes of the storage directory are known, and wakes an instance that gave up its connections.
 * `undefined` when there is nothing to wait for, which is nearly always.
 */
export const awaitReadiness = (services: ApiServices): Effect.Effect<void, Failure> | undefined => {
  const { health } = services
  const ability = abilities[health.current()]
  if (ability.servesExistingShapes && !ability.wakesOnRequest) return undefined
  if (ability.wakesOnRequest)
    return health.send("woken").pipe(
      Effect.andThen(health.awaitState((state) => abilities[state].createsShapes, readinessMillis)),
      // What storage holds is served whether or not the database came back.
      Effect.asVoid
    )
  const isReady = () => abilities[health.current()].servesExistingShapes
  return health
    .awaitState((state) => abilities[state].servesExistingShapes, readinessMillis)
    .pipe(
      // The state itself is asked: on a busy machine storage may have been read in the moment in which the time was over.
      Effect.flatMap(() => (isReady() ? Effect.void : Effect.fail(notNow(health))))
    )
}

/** Fails unless this instance can create and delete shapes within the readiness time. */
export const awaitActive = (services: ApiServices): Effect.Effect<void, Failure> => {
  const { health } = services
  const state = health.current()
  if (abilities[state].createsShapes) return Effect.void
  if (!abilities[state].mayBecomeActive) return Effect.fail(notNow(health))
  return (abilities[state].wakesOnRequest ? health.send("woken") : Effect.void).pipe(
    Effect.andThen(health.awaitState((next) => abilities[next].createsShapes, readinessMillis)),
    Effect.flatMap((next) => (Option.isSome(next) ? Effect.void : Effect.fail(notNow(health))))
  )
}

/** The live shape of the definition, made if there is none and this instance may, or becomes able to in time. */
const findOrCreate = Effect.fnUntraced(function* (
  services: ApiServices,
  resolved: ResolvedShape,
  facts: Facts
) {
  const { health, logs, registry, timers } = services
  const deadline = timers.nowMillis() + readinessMillis
  let why: RefusalReason | undefined
  while (true) {
    const existing = logs.byIdentity(resolved.identity)
    if (existing !== undefined && logs.isReadable(existing)) return existing
    const made = yield* registry.getOrCreate(resolved.definition).pipe(
      Effect.catchTags({
        // That may last, and is known of: others are not kept waiting for it, either.
        NotActive: (error) =>
          error.why === "bucket"
            ? Effect.fail(notNow(health, error.why, error.message))
            : Effect.sync(() => void (why = error.why)),
        SnapshotFailed: (error) => Effect.fail(snapshotFailure(error))
      })
    )
    if (made !== undefined) return made
    // Nobody watches tables on an instance that waits: the active one may have made the shape of another definition.
    if (facts === "remembered") return yield* Effect.fail(outdatedTable)
    const state = health.current()
    const remaining = deadline - timers.nowMillis()
    if (!abilities[state].mayBecomeActive || remaining <= 0) return yield* Effect.fail(notNow(health, why))
    if (abilities[state].wakesOnRequest) yield* health.send("woken")
    const pause = Math.min(lookAgainMillis, remaining)
    // An instance that is active and refuses all the same is about to change its state.
    if (abilities[state].createsShapes) yield* Effect.sleep(pause)
    else yield* health.awaitState((next) => abilities[next].createsShapes, pause)
  }
})

/**
 * The shape to read, when it is there: nothing to wait for. `named` is the live shape with the request's handle, if
 * any. Its table may have been altered since it was made, so that the request means another one now: where it is to become that
 * under its handle, it is read as it is until then.
 */
export const findShape = (
  services: ApiServices,
  resolved: ResolvedShape,
  handle: string | undefined,
  named: ShapeHandle | undefined
): ShapeHandle | undefined => {
  const { logs } = services
  const shape = handle === undefined ? logs.byIdentity(resolved.identity) : named
  if (shape === undefined || !logs.isReadable(shape)) return undefined
  const { definition } = shape
  return shapeIdentity(definition) === resolved.identity ||
    (handle !== undefined && goesOnAs(definition, resolved.definition))
    ? shape
    : undefined
}

/**
 * The shape to read when it was not there. With a handle that does not name it, the client's copy is of another shape:
 * 409 with the handle of the right one, never the handle that the client sent.
 */
export const makeShape = Effect.fnUntraced(function* (
  services: ApiServices,
  resolved: ResolvedShape,
  handle: string | undefined,
  facts: Facts
) {
  if (handle !== undefined && services.logs.byHandle(handle) === undefined) {
    yield* services.registry.settle
    const found = findShape(services, resolved, handle, services.logs.byHandle(handle))
    if (found !== undefined) return found
    // The active instance may have made it just now: whether it is gone, or never was, is not for a replica to say.
    if (abilities[services.health.current()].asksWriter && services.logs.byHandle(handle) === undefined)
      return yield* Effect.fail(notNow(services.health))
  }
  // The shape that it names is live: before it is called another one's, what that rests on is looked at again.
  if (handle !== undefined && facts === "remembered" && services.logs.byHandle(handle) !== undefined)
    return yield* Effect.fail(outdatedTable)
  const shape = yield* findOrCreate(services, resolved, facts)
  return handle === undefined || plainHandle(handle) === shape.handle
    ? shape
    : yield* Effect.fail(mustRefetch(shape.handle))
})
