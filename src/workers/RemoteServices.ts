import { Effect, Layer, Option, SubscriptionRef } from "effect"
import { makeErrands } from "../shared/Duty.ts"
import { HealthRef, observed } from "../health/HealthRef.ts"
import { Inspector } from "../postgres/catalogue/Inspector.ts"
import { ownPgError, PgError } from "../postgres/errors/PgError.ts"
import { AdminPool } from "../postgres/connection/Pools.ts"
import { notActive, ShapeRegistry, SnapshotFailed } from "../registry/ShapeRegistry.ts"
import { awaitReadable } from "../registry/ShapeRegistryLive.ts"
import { type ShapeDefinition, shapeIdentity } from "../shapes/ShapeDefinition.ts"
import { fromDisk } from "../storage/disk/DiskFault.ts"
import { digestOf } from "../storage/state/IdentityDigest.ts"
import { Storage } from "../storage/Storage.ts"
import { Main } from "./MainLink.ts"
import { makeFreshLook } from "../shared/Coalesce.ts"
import { currentTimers } from "../shared/Timers.ts"
import { settleMillis, touchedMillis } from "./WorkerTimings.ts"

const silent = ({ message }: { readonly message: string }) => notActive("silent", message)

/** The state of the main process is the state of the instance. */
export const remoteHealth = Layer.effect(
  HealthRef,
  Effect.map(Main, (main) =>
    HealthRef.of({
      ...observed(main.state),
      // The command has workers, and ends where a program that Baton is part of would go on.
      failure: () => undefined,
      setFailure: () => Effect.void,
      send: (event) =>
        Effect.suspend(() => {
          if (event === "woken") main.send({ _tag: "Wake" })
          return SubscriptionRef.get(main.state)
        })
    })
  )
)

/** Statements for the catalogue run on the main process's connections: a worker has none for it. */
export const remoteAdminPool = Layer.effect(
  AdminPool,
  Effect.map(Main, (main) =>
    AdminPool.of({
      size: 1,
      query: <Row extends object>(sql: string, params: ReadonlyArray<unknown> = []) =>
        main.ask({ _tag: "Query", sql, params }).pipe(
          Effect.mapError(({ message }) =>
            ownPgError("connection_timeout", `${message}. It is tried again.`)
          ),
          Effect.flatMap((answer) =>
            answer._tag === "Rows"
              ? // What the rows are is the caller's promise, as with any pool.
                Effect.succeed(answer.rows as ReadonlyArray<Row>)
              : Effect.fail(new PgError(answer.error))
          )
        ),
      transaction: () => Effect.die(new Error("a worker runs no transactions on the administrative pool"))
    })
  )
)

/**
 * Finds shapes in what has been read of the journal; has them made and dropped by the main process, and waits until the
 * journal shows it.
 */
export const remoteRegistry = Layer.effect(
  ShapeRegistry,
  Effect.gen(function* () {
    const main = yield* Main
    const inspector = yield* Inspector
    const { engine } = yield* Storage
    const catchUp = Effect.ignore(fromDisk(() => engine.catchUp()))

    const run = yield* makeErrands
    // Otherwise the main process would go on naming a shape that is not found here any more.
    const unsubscribe = engine.listeners.discarded.subscribe((handle, reason) =>
      run("Telling of a shape that cannot be read", Effect.ignore(main.ask({ _tag: "Drop", handle, reason })))
    )
    yield* Effect.addFinalizer(() => Effect.sync(unsubscribe))
    const touched = new Set<number>()
    const tellTouched = () => {
      if (touched.size === 0) return
      main.send({ _tag: "Touched", ids: Uint32Array.from(touched) })
      touched.clear()
    }
    yield* Effect.acquireRelease(
      Effect.map(currentTimers, (timers) => timers.every(touchedMillis, tellTouched)),
      Effect.sync
    )

    const create = (definition: ShapeDefinition) =>
      Effect.gen(function* () {
        const answer = yield* main
          .ask({ _tag: "Create", definition: JSON.stringify(definition) })
          .pipe(Effect.mapError(silent))
        if (answer._tag === "NotActive") return yield* notActive(answer.why, answer.message)
        if (answer._tag === "SnapshotFailed") {
          // What the definition was made from may be out of date here.
          if (answer.kind === "schemaChanged") inspector.invalidate(definition.table.oid)
          return yield* new SnapshotFailed({ kind: answer.kind, message: answer.message })
        }
        yield* catchUp
        const shape = engine.store.byHandle(answer.handle)
        // Gone again already: the next round makes another one.
        return shape === undefined
          ? yield* notActive("waiting", "The shape was dropped meanwhile")
          : yield* awaitReadable(engine, shape)
      })

    return ShapeRegistry.of({
      getOrCreate: (definition) =>
        Effect.suspend(() => {
          const known = engine.store.byIdentity(digestOf(shapeIdentity(definition)))
          return known?.readable === true ? Effect.succeed(known) : create(definition)
        }),
      drop: (handle, reason) =>
        Effect.gen(function* () {
          const answer = yield* main.ask({ _tag: "Drop", handle, reason }).pipe(Effect.mapError(silent))
          if (answer._tag === "NotActive") return yield* notActive(answer.why, answer.message)
          yield* catchUp
          return answer.found
        }),
      touch: (shape) => void touched.add(shape.id),
      settle: makeFreshLook(
        Effect.gen(function* () {
          const told = yield* Effect.option(main.ask({ _tag: "Settle" }))
          const isRead = yield* Effect.isSuccess(fromDisk(() => engine.catchUp()))
          return isRead && Option.isSome(told) && told.value.isAll
        }).pipe(Effect.timeoutOrElse({ duration: settleMillis, orElse: () => Effect.succeed(false) }))
      )
    })
  })
)
