import { dropReasonOf } from "../telemetry/DropReason.ts"
import { dropCodes } from "./DropCodes.ts"
import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Effect, type Scope } from "effect"
import type { Limits } from "../config/Limits.ts"
import { duties } from "../health/Duties.ts"
import type { Relation } from "../postgres/Relation.ts"
import { makeErrands, startDuty } from "../shared/Duty.ts"
import { makeHandles } from "../shapes/Handle.ts"
import type { ShapeDefinition } from "../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../storage/state/ShapeState.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { ConditionsMemory } from "./ConditionsMemory.ts"
import { keepDroppingUnread, keepEvicting } from "./Eviction.ts"
import type { Decide } from "./routing/DeferredRows.ts"
import type { MakeMatcher } from "./routing/Matcher.ts"
import type { PreparedRoutes } from "./routing/PreparedRoutes.ts"
import type { RouterOptions } from "./routing/RouterOptions.ts"
import { RowRouter } from "./routing/RowRouter.ts"
import type { ShapesByTable } from "../shapes/ShapesByTable.ts"
import type { Redefine, Redefinition } from "./Redefinition.ts"
import { ShapeCreations } from "./ShapeCreations.ts"
import { type QuotaOptions, StorageQuota } from "./quota/StorageQuota.ts"
import { Lane } from "./moves/Lane.ts"
import type { LaneHost, LaneOptions } from "./moves/LaneOptions.ts"
import type { NotActive, SnapshotFailed } from "./ShapeRegistry.ts"
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
  /** Shapes that nobody has read for so long are dropped; undefined: never. */
  readonly unreadMillis?: number | undefined
  /** How much storage may take. */
  readonly quota?: QuotaOptions | undefined
  readonly limits: Limits
  /** Of the shapes with sub-selects in their conditions. */
  readonly moves: Pick<
    LaneOptions,
    | "askForPosition"
    | "definedAnew"
    | "directories"
    | "inspector"
    | "makeMatcher"
    | "positionLost"
    | "published"
    | "sessions"
    | "zones"
  >
  /** Completes when changes of the table are published, wholly, from now on. */
  readonly publish: (definition: ShapeDefinition) => Effect.Effect<void, SnapshotFailed>
  readonly ancestors: RouterOptions["ancestors"]
  readonly described?: RouterOptions["described"]
  readonly published: RouterOptions["published"]
  readonly identityLost: (relation: Relation) => void
  readonly onDurable: () => void
  readonly onBegin?: RouterOptions["onBegin"]
  readonly onCommit?: RouterOptions["onCommit"]
  readonly onReset?: (reason: string) => void
  readonly onReached?: RouterOptions["onReached"]
  readonly onTransaction?: (operations: number, commitTimeMicros: bigint) => void
}

/** Shapes looked at before other work has its turn. */
const sliceShapes = 256

/** Shapes of which many that are dropped together are named in the log. */
const namedShapes = 20

/**
 * What an instance does with shapes while it is the writer: makes them, drops them, and feeds them from the stream.
 * Begins when storage has been taken over and ends with the scope, which fails creations that are under way.
 */
export interface RegistrySession {
  readonly sink: RowRouter
  /** Follows what sub-selects give, for as long as the stream runs. */
  readonly followMoves: Effect.Effect<never>
  readonly create: (definition: ShapeDefinition) => Effect.Effect<ShapeState, NotActive | SnapshotFailed>
  /** Drops live shapes for ever. */
  readonly drop: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  /**
   * Rows of the shapes may have become others without a word in the stream, or their table another one: they are compared with the database
   * and go on under their handles, or are dropped where that is not possible. `reason` is what has happened to their table.
   */
  readonly mend: (shapes: ReadonlyArray<ShapeState>, reason: string) => void
  /** Some shape that needs changes of this table has to be compared, and has not all rows that there are yet, durably. */
  readonly isBeingCompared: (oid: number) => boolean
  /** Drops the shapes that need changes of these tables; `what` has become of each of them, for operators. */
  readonly dropTables: (oids: Iterable<number>, what: string) => void
  readonly purge: (reason: string) => void
  /** The shapes follow other tables from now on, or the same otherwise. Before the stream starts. */
  readonly redefine: Redefine
  readonly shapes: ShapesByTable<ShapeState>
}

export const openSession = (options: SessionOptions): Effect.Effect<RegistrySession, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { engine } = options
    const writer = engine.writer
    if (writer === undefined) return yield* Effect.die(new Error("storage has not been taken over"))
    const run = yield* makeErrands
    const log = (line: Effect.Effect<void>) => run("A line of the log", line)
    const shapes = engine.store.byTable
    const memory = new ConditionsMemory(options.limits)
    yield* startDuty(duties.conditionsMemory, countConditions(engine, memory))

    const drop = (dropped: ReadonlyArray<ShapeState>, reason: string): void => {
      const live = dropped.filter((shape) => !shape.dropped)
      if (live.length === 0 || engine.writer !== writer) return
      engine.writing?.write({ t: "dropped", ids: live.map((shape) => shape.id), reason })
      writer.flush()
      log(sayDropped(live, reason))
    }
    const purge = (reason: string): void => {
      const { count } = engine.store
      if (engine.writer !== writer || count === 0) return
      engine.writing?.write({ t: "purged", reason })
      writer.flush()
      options.onReset?.(reason)
      log(
        reportFault("BATON-SHAPE-PURGED", `Dropped all ${count} shapes: ${reason}. Clients fetch them again.`)
      )
    }

    const { moves, publish, snapshotter, ...routing } = options
    const redefineNow: Redefine = (changes) => {
      if (engine.writer === writer && changes.length > 0) redefineIn(engine, memory, changes)
      options.prepared.forget()
    }
    const mending = { makeMatcher: options.makeMatcher, redefine: redefineNow }
    const lane = new Lane({ ...moves, limits: options.limits, engine, writer, drop, mending })
    const router = new RowRouter({ ...routing, members: lane, writer, shapes, drop })
    lane.attach(hostOf(router))
    for (const shape of ofLane(engine)) lane.addShape(shape)
    const quota = options.quota === undefined ? undefined : new StorageQuota(engine, options.quota, drop)
    const creations = yield* ShapeCreations.make({
      engine,
      writer,
      snapshotter,
      publish,
      makeHandle: makeHandles(engine.store.newestMicros, engine.timers.epochMillis),
      memory,
      quota,
      router,
      lane,
      drop,
      run
    })
    const unsubscribe = engine.listeners.dropped.subscribe((shape) => {
      memory.remove(shape.id)
      router.removeShape(shape)
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        router.close()
        unsubscribe()
        creations.giveUp()
        quota?.close()
      })
    )
    if (options.maxShapes !== undefined) {
      yield* startDuty(duties.eviction, keepEvicting(engine, options, drop))
    }
    if (options.unreadMillis !== undefined)
      yield* startDuty(duties.unread, keepDroppingUnread(engine, options.unreadMillis, drop))
    if (quota !== undefined) yield* startDuty(duties.quota, quota.keep)

    return {
      sink: router,
      followMoves: lane.run,
      create: (definition) => creations.create(definition),
      drop,
      shapes,
      mend: (affected, reason) => router.mend(affected, reason),
      isBeingCompared: (oid) => lane.isBeingCompared(shapes.needing(oid)),
      dropTables: (oids, what) => {
        for (const oid of oids) {
          drop([...shapes.on(oid)], `its table ${what}`)
          drop([...shapes.withInner(oid)], `${shapes.named(oid)}, which its sub-selects read, ${what}`)
        }
      },
      purge,
      redefine: (changes) => {
        redefineNow(changes)
        if (changes.length > 0) lane.redefined()
      }
    }
  })

const redefineIn = (
  { writer, writing }: StorageEngine,
  memory: ConditionsMemory,
  changes: ReadonlyArray<Redefinition>
): void => {
  for (const { definition, shape } of changes) {
    if (shape.dropped) continue
    memory.remove(shape.id)
    writing?.write({ t: "redefined", id: shape.id, definition })
    memory.add(shape)
  }
  writer?.flush()
}

/** What the lane tells the router. */
const hostOf = (router: RowRouter): LaneHost => ({
  behind: (lsn) => router.membersAreAt(lsn),
  caughtUp: () => router.membersHaveCaughtUp(),
  late: (behind) => router.areLate(behind),
  dismissed: (shape) => router.addShape(shape),
  dropConcerned: (concerned, at, reason) => router.dropAt(concerned, at, reason),
  dropForbidden: (...about) => router.dropForbidden(...about)
})

/** Those with sub-selects, and those that were there before: of a million shapes few are. */
const ofLane = ({ store }: StorageEngine): ReadonlyArray<ShapeState> => {
  const found = new Set(store.byTable.withMembers())
  for (const id of store.lateIds) {
    const late = store.get(id)
    if (late !== undefined) found.add(late)
  }
  return [...found].toSorted((a, b) => a.id - b.id)
}

/** In slices, because there may be very many. */
const countConditions = ({ store }: StorageEngine, memory: ConditionsMemory): Effect.Effect<void> =>
  Effect.gen(function* () {
    let inSlice = 0
    for (const shape of store.all()) {
      if (!shape.dropped) memory.add(shape)
      // A takeover has more urgent things to do.
      if (++inSlice % sliceShapes === 0) yield* Effect.sleep(1)
    }
  })

const sayDropped = (live: ReadonlyArray<ShapeState>, reason: string): Effect.Effect<void> => {
  const names = live
    .slice(0, namedShapes)
    .map(({ definition, handle }) => `${handle} on ${definition.table.schema}.${definition.table.name}`)
  const line = `Dropped ${live.length === 1 ? "a shape" : `${live.length} shapes`}: ${reason}. Clients fetch them again. ${names.join(", ")}${live.length > namedShapes ? ", ..." : ""}`
  const code = dropCodes[dropReasonOf(reason)]
  return code === undefined ? Effect.logInfo(line) : reportFault(code, line)
}
