import { Deferred, Effect, Exit, FiberSet, type Scope } from "effect"
import type { Limits } from "../config/Limits.ts"
import type { Relation } from "../postgres/Relation.ts"
import { handleMicros, makeHandles } from "../shapes/Handle.ts"
import { type ShapeDefinition, shapeIdentity } from "../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import { duties } from "../health/Duties.ts"
import { makeErrands, startDuty } from "../shared/Duty.ts"
import { isContained, snapshotFilter } from "../storage/state/SnapshotFilter.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import type { Decide } from "./routing/DeferredRows.ts"
import type { MakeMatcher } from "./routing/Matcher.ts"
import type { PreparedRoutes } from "./routing/PreparedRoutes.ts"
import { RowRouter } from "./routing/RowRouter.ts"
import { type NotActive, notActive, SnapshotFailed } from "./ShapeRegistry.ts"
import { ShapesByTable } from "./routing/ShapesByTable.ts"
import { ConditionsMemory } from "./ConditionsMemory.ts"
import { SnapshotWriter } from "./snapshot/SnapshotWriter.ts"
import type { Snapshotter } from "./snapshot/Snapshotter.ts"

export interface SessionOptions {
  readonly engine: StorageEngine
  readonly snapshotter: Snapshotter["Service"]
  readonly makeMatcher: MakeMatcher
  readonly prepared: PreparedRoutes
  readonly decide: Decide
  /** For so long the stream may wait for conditions that only Postgres decides; see `DecisionBudget`. */
  readonly decisionMillis: number
  readonly maxShapes: number | undefined
  readonly limits: Limits
  /** Completes when changes of the table are published, wholly, from now on. */
  readonly publish: (definition: ShapeDefinition) => Effect.Effect<void, SnapshotFailed>
  readonly ancestors: (oid: number) => Effect.Effect<ReadonlyArray<number>>
  readonly identityLost: (relation: Relation) => void
  readonly onDurable: () => void
  readonly onTransaction?: (operations: number, commitTimeMicros: bigint) => void
}

/** Shapes looked at before other work has its turn. */
const sliceShapes = 256

/** A shape that was made this recently is not evicted: somebody is just about to read it. */
const evictionGraceMillis = 10_000

const gaveUp = notActive("waiting", "This instance has given up the lock")

type Creation = Deferred.Deferred<ShapeState, NotActive | SnapshotFailed>

/**
 * What an instance does with shapes while it is the writer: makes them, drops them, and feeds them from the stream.
 * Begins when storage has been taken over and ends with the scope, which fails creations that are under way.
 */
export interface RegistrySession {
  readonly sink: RowRouter
  readonly create: (definition: ShapeDefinition) => Effect.Effect<ShapeState, NotActive | SnapshotFailed>
  /** Drops live shapes for ever. */
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  readonly dropTables: (oids: ReadonlySet<number>, reason: string) => void
  readonly purge: (reason: string) => void
  readonly shapes: ShapesByTable
}

export const openSession = (options: SessionOptions): Effect.Effect<RegistrySession, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { engine } = options
    const writer = engine.writer
    if (writer === undefined) return yield* Effect.die(new Error("storage has not been taken over"))
    const fibers = yield* FiberSet.make()
    const run = yield* makeErrands
    const log = (line: Effect.Effect<void>) => run("A line of the log", line)
    const shapes = new ShapesByTable()
    const creations = new Map<string, Creation>()
    let newest = 0
    const memory = new ConditionsMemory(options.limits)
    for (const shape of engine.store.all()) {
      shapes.add(shape)
      newest = Math.max(newest, handleMicros(shape.handle) ?? 0)
    }
    const makeHandle = makeHandles(newest, engine.timers.epochMillis)
    yield* startDuty(
      duties.conditionsMemory,
      Effect.gen(function* () {
        let inSlice = 0
        for (const shape of Array.from(engine.store.all())) {
          if (!shape.dropped) memory.add(shape)
          if (++inSlice % sliceShapes === 0) yield* Effect.yieldNow
        }
      })
    )

    const drop = (dropped: ReadonlyArray<ShapeState>, reason: string): void => {
      const live = dropped.filter((shape) => !shape.dropped)
      if (live.length === 0 || engine.writer !== writer) return
      engine.writing?.write({ t: "dropped", ids: live.map((shape) => shape.id), reason })
      writer.flush()
      const names = live
        .slice(0, 20)
        .map((shape) => `${shape.handle} on ${shape.definition.table.schema}.${shape.definition.table.name}`)
      log(
        Effect.logInfo(
          `Dropped ${live.length === 1 ? "a shape" : `${live.length} shapes`}: ${reason}. Clients fetch them again. ${names.join(", ")}${live.length > 20 ? ", ..." : ""}`
        )
      )
    }

    const router = new RowRouter({
      engine,
      writer,
      shapes,
      makeMatcher: options.makeMatcher,
      prepared: options.prepared,
      ancestors: options.ancestors,
      decide: options.decide,
      decisionMillis: options.decisionMillis,
      drop,
      identityLost: options.identityLost,
      onDurable: options.onDurable,
      ...(options.onTransaction === undefined ? {} : { onTransaction: options.onTransaction })
    })

    const unsubscribe = engine.listeners.dropped.subscribe((shape) => {
      shapes.remove(shape)
      memory.remove(shape.id)
      router.removeShape(shape)
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        router.close()
        unsubscribe()
        for (const creation of creations.values()) {
          Deferred.doneUnsafe(creation, Effect.fail(gaveUp))
        }
      })
    )

    /** Everything from the catalogue to the last row; completes `ready` as soon as the shape can be read. */
    const makeShape = (definition: ShapeDefinition, identity: string, ready: Creation) =>
      Effect.gen(function* () {
        yield* options.publish(definition)
        if (engine.writer !== writer) return yield* gaveUp
        const refusal = memory.refusal(definition)
        if (refusal !== undefined) return yield* new SnapshotFailed({ kind: "unavailable", message: refusal })
        const id = engine.store.nextId
        const handle = makeHandle(identity)
        engine.writing?.write({ t: "created", id, handle, definition, atMillis: engine.timers.epochMillis() })
        const shape = engine.store.get(id)
        if (shape === undefined) return yield* Effect.die(new Error("a shape that was just made is gone"))
        shape.unannounced = true
        shapes.add(shape)
        memory.add(shape)
        router.addShape(shape)
        const { recentXids } = engine.store
        const point = recentXids.point
        const output = new SnapshotWriter(engine, shape, () => {
          shape.unannounced = false
          engine.store.wake(shape)
          Deferred.doneUnsafe(ready, Effect.succeed(shape))
        })
        const reading = options.snapshotter.run({
          definition,
          sink: output.sink,
          onSnapshot: (snapshot) =>
            Effect.sync(() => {
              const visibility = {
                xmin: String(snapshot.xmin),
                xmax: String(snapshot.xmax),
                xipList: snapshot.xipList.map(String),
                containedBefore: String(snapshot.containedBefore)
              }
              const filter = snapshotFilter(visibility)
              if (recentXids.seenBefore(point).some((xid) => !isContained(filter, xid))) return "retry"
              if (!shape.dropped && engine.writer === writer) {
                engine.writing?.write({ t: "visible", id, visibility })
                router.decided(shape)
              }
              return "go"
            })
        })
        yield* reading.pipe(
          Effect.ensuring(output.close),
          Effect.onError(() => Effect.sync(() => drop([shape], "its snapshot failed")))
        )
        if (shape.dropped) {
          return yield* new SnapshotFailed({
            kind: "schemaChanged",
            message: "The table has changed meanwhile"
          })
        }
        return shape
      })

    const evict = Effect.sync(() => {
      const { maxShapes } = options
      if (maxShapes === undefined || engine.store.count <= maxShapes) return
      const settled = engine.timers.epochMillis() - evictionGraceMillis
      const candidates = Array.from(engine.store.all()).filter(
        (shape) =>
          shape.snapshotComplete && (shape.createdAtMillis < settled || shape.lastUsedMillis < settled)
      )
      candidates.sort((a, b) => a.lastUsedMillis - b.lastUsedMillis || a.id - b.id)
      drop(
        candidates.slice(0, engine.store.count - maxShapes),
        `there are more than ${maxShapes} shapes and it was used least recently`
      )
    })
    if (options.maxShapes !== undefined) {
      const evictions = Effect.forever(Effect.andThen(Effect.sleep("1 second"), evict))
      yield* startDuty(duties.eviction, evictions)
    }

    const create = (definition: ShapeDefinition) =>
      Effect.suspend(() => {
        const identity = shapeIdentity(definition)
        const underWay = creations.get(identity)
        if (underWay !== undefined) return Deferred.await(underWay)
        const ready: Creation = Deferred.makeUnsafe()
        creations.set(identity, ready)
        const work = makeShape(definition, identity, ready).pipe(
          Effect.exit,
          Effect.tap((exit) =>
            Effect.sync(() => {
              creations.delete(identity)
              // Done already if the shape became readable before its snapshot ended: then nobody hears of a mistake.
              if (!Deferred.doneUnsafe(ready, exit) && Exit.hasDies(exit)) run("A snapshot", exit)
            })
          )
        )
        return Effect.andThen(FiberSet.run(fibers, work, { startImmediately: true }), Deferred.await(ready))
      })

    return {
      sink: router,
      create,
      drop,
      shapes,
      dropTables: (oids, reason) => {
        const affected: Array<ShapeState> = []
        for (const oid of oids) affected.push(...shapes.on(oid))
        drop(affected, reason)
      },
      purge: (reason) => {
        if (engine.writer !== writer || engine.store.count === 0) return
        const count = engine.store.count
        engine.writing?.write({ t: "purged", reason })
        writer.flush()
        log(Effect.logWarning(`Dropped all ${count} shapes: ${reason}. Clients fetch them again.`))
      }
    }
  })
