import { Deferred, Effect, Exit, FiberSet, type Scope } from "effect"
import type { RunErrand } from "../shared/Duty.ts"
import { journalLsn } from "../shared/Lsn.ts"
import { type ShapeDefinition, shapeIdentity } from "../shapes/ShapeDefinition.ts"
import { untilCertain } from "../storage/BucketStatus.ts"
import type { JournalWriter } from "../storage/journal/JournalWriter.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import { isContained, snapshotFilter } from "../storage/state/SnapshotFilter.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { bucketAway } from "./BucketGate.ts"
import type { ConditionsMemory } from "./ConditionsMemory.ts"
import type { StorageQuota } from "./quota/StorageQuota.ts"
import type { Lane } from "./moves/Lane.ts"
import { hasSubselects, type Reservation } from "./moves/LaneMembers.ts"
import type { RowRouter } from "./routing/RowRouter.ts"
import { type NotActive, notActive, SnapshotFailed } from "./ShapeRegistry.ts"
import type { Snapshotter, SnapshotRequest } from "./snapshot/Snapshotter.ts"
import { SnapshotWriter } from "./snapshot/SnapshotWriter.ts"

/** What a creation needs of its session. */
interface CreationServices {
  readonly engine: StorageEngine
  readonly writer: JournalWriter
  readonly snapshotter: Snapshotter["Service"]
  /** Completes when changes of the table are published, wholly, from now on. */
  readonly publish: (definition: ShapeDefinition) => Effect.Effect<void, SnapshotFailed>
  readonly makeHandle: (identity: string) => string
  readonly memory: ConditionsMemory
  readonly quota: Pick<StorageQuota, "refusal"> | undefined
  readonly router: RowRouter
  readonly lane: Lane
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  readonly run: RunErrand
}

/** Completes as soon as the shape can be read. */
type Creation = Deferred.Deferred<ShapeState, NotActive | SnapshotFailed>

const tableChanged = new SnapshotFailed({ kind: "schemaChanged", message: "The table has changed meanwhile" })

const always = Effect.succeed(true)

const gaveUp = notActive("waiting", "This instance has given up the lock")

/** The shapes that a session is making: one fiber for each, from the catalogue to the last row. */
export class ShapeCreations {
  private readonly services: CreationServices
  private readonly fibers: FiberSet.FiberSet
  private readonly underWay = new Map<string, Creation>()

  private constructor(services: CreationServices, fibers: FiberSet.FiberSet) {
    this.services = services
    this.fibers = fibers
  }

  /** What is under way when the scope closes is interrupted. */
  static make(services: CreationServices): Effect.Effect<ShapeCreations, never, Scope.Scope> {
    return Effect.map(FiberSet.make(), (fibers) => new ShapeCreations(services, fibers))
  }

  /** The shape as soon as it can be read. Clients that ask for the same one meanwhile are given the same. */
  create(definition: ShapeDefinition): Effect.Effect<ShapeState, NotActive | SnapshotFailed> {
    return Effect.suspend(() => {
      const identity = shapeIdentity(definition)
      const before = this.underWay.get(identity)
      if (before !== undefined) return Deferred.await(before)
      const ready: Creation = Deferred.makeUnsafe()
      this.underWay.set(identity, ready)
      const work = this.make(definition, identity, ready).pipe(
        Effect.exit,
        Effect.tap((exit) =>
          Effect.sync(() => {
            this.underWay.delete(identity)
            // Done already if the shape became readable before its snapshot ended: then nobody hears of a mistake.
            if (!Deferred.doneUnsafe(ready, exit) && Exit.hasDies(exit)) this.services.run("A snapshot", exit)
          })
        )
      )
      return Effect.andThen(
        FiberSet.run(this.fibers, work, { startImmediately: true }),
        Deferred.await(ready)
      )
    })
  }

  /** Clients that wait for a shape are told that this instance makes none any more. */
  giveUp(): void {
    for (const creation of this.underWay.values()) Deferred.doneUnsafe(creation, Effect.fail(gaveUp))
  }

  private get isOver(): boolean {
    return this.services.engine.writer !== this.services.writer
  }

  private make(definition: ShapeDefinition, identity: string, ready: Creation) {
    const { engine, memory, publish, quota } = this.services
    return Effect.gen({ self: this }, function* () {
      yield* publish(definition)
      yield* untilCertain(engine.bucketStatus, bucketAway)
      if (this.isOver) return yield* gaveUp
      const refusal = memory.refusal(definition) ?? quota?.refusal(definition)
      if (refusal !== undefined) return yield* new SnapshotFailed({ kind: "unavailable", message: refusal })
      return yield* hasSubselects(definition)
        ? this.makeMember(definition, identity, ready)
        : this.makeNow(definition, identity, ready, undefined)
    })
  }

  /** What its sub-selects give is known first. */
  private makeMember(definition: ShapeDefinition, identity: string, ready: Creation) {
    const { lane } = this.services
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(lane.admit(definition)), (reservation) =>
        Effect.ensuring(
          restore(this.makeNow(definition, identity, ready, reservation)),
          Effect.sync(() => {
            if (reservation.shape === undefined) lane.release(reservation)
          })
        )
      )
    )
  }

  private makeNow(
    definition: ShapeDefinition,
    identity: string,
    ready: Creation,
    reservation: Reservation | undefined
  ) {
    const { drop, engine, snapshotter } = this.services
    return Effect.gen({ self: this }, function* () {
      if (this.isOver) return yield* gaveUp
      if (reservation?.isReleased === true) return yield* tableChanged
      const shape = this.begin(definition, identity, reservation)
      const output = new SnapshotWriter(engine, shape, () => {
        shape.unannounced = false
        engine.store.wake(shape)
        Deferred.doneUnsafe(ready, Effect.succeed(shape))
      })
      const reading = snapshotter.run({ definition, sink: output.sink, onSnapshot: this.visibilityOf(shape) })
      yield* reading.pipe(
        Effect.ensuring(output.close),
        // One that is whole, and that a client has been told of, stays when the session ends just then.
        Effect.onError(() =>
          Effect.sync(() => {
            if (!shape.snapshotComplete || shape.unannounced) drop([shape], "its snapshot failed")
          })
        )
      )
      return shape.dropped ? yield* tableChanged : shape
    })
  }

  /** From now on the shape is in storage, and the stream knows of it; what it gets waits for its first rows. */
  private begin(
    definition: ShapeDefinition,
    identity: string,
    reservation: Reservation | undefined
  ): ShapeState {
    const { engine, lane, makeHandle, memory, router } = this.services
    const id = engine.store.nextId
    const handle = makeHandle(identity)
    engine.writing?.write({ t: "created", id, handle, definition, atMillis: engine.timers.epochMillis() })
    const shape = engine.store.get(id)
    if (shape === undefined) throw new Error("a shape that was just made is gone")
    shape.unannounced = true
    memory.add(shape)
    if (reservation === undefined) router.addShape(shape)
    else lane.enter(reservation, shape)
    return shape
  }

  /** Takes down what the snapshot shows, unless it lacks a transaction that the stream has given out since. */
  private visibilityOf(shape: ShapeState): SnapshotRequest["onSnapshot"] {
    const { engine, lane, router } = this.services
    const { recentXids } = engine.store
    const point = recentXids.point
    return (snapshot) =>
      Effect.map(lane.has(shape) ? lane.isClean(snapshot) : always, (isClean) => {
        if (!isClean) return "retry"
        const visibility = {
          xmin: String(snapshot.xmin),
          xmax: String(snapshot.xmax),
          xipList: snapshot.xipList.map(String),
          containedBefore: String(journalLsn(snapshot.containedBefore, engine.store.shift))
        }
        const filter = snapshotFilter(visibility)
        if (recentXids.seenBefore(point).some((xid) => !isContained(filter, xid))) return "retry"
        if (!shape.dropped && !this.isOver) {
          engine.writing?.write({ t: "visible", id: shape.id, visibility })
          router.decided(shape)
        }
        return "go"
      })
  }
}
