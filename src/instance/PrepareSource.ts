import { failureCode } from "./FailureCode.ts"
import { reportFault } from "../telemetry/faults/ReportFault.ts"
import { Effect } from "effect"
import type { PgError } from "../postgres/errors/PgError.ts"
import { chooseShift } from "../registry/repair/ChooseShift.ts"
import type { ConsistentPoint, Repaired } from "../registry/repair/Repair.ts"
import { sharedUpTo } from "../replication/connection/TimelineHistory.ts"
import type { EnsuredSlot } from "../replication/connection/Slot.ts"
import type { EnsuredPublication } from "../postgres/publication/Publication.ts"
import type { RegistrySession } from "../registry/RegistrySession.ts"
import type { StreamActor } from "../replication/StreamActor.ts"
import type { ReplicationConnection } from "../replication/stream/ReplicationConnection.ts"
import { fromDisk, type StorageFault } from "../storage/disk/DiskFault.ts"
import { type NotWriting, settledIn } from "../storage/NotWriting.ts"
import { closeGate } from "../storage/levels/Gate.ts"
import { gatedLevel } from "../storage/levels/Levels.ts"
import type { StoredGap } from "../storage/records/Records.ts"
import type { StorageEngine } from "../storage/StorageEngine.ts"
import { journalLsn, type Lsn } from "../shared/Lsn.ts"
import { encodeSource, type StreamSource } from "../storage/records/StoredSource.ts"
import { beforeComparison, storedGap } from "../storage/state/LostHistory.ts"
import type { Steps } from "../telemetry/Steps.ts"
import { needsNewSlot, StorageFailed } from "./AfterTurn.ts"
import type { SessionServices } from "./SessionServices.ts"
import {
  hasGoneBack,
  isOfOther,
  isSameCluster,
  isUnfinished,
  reasonToPurge,
  type TakeoverFacts,
  unfinishedSlot
} from "./Takeover.ts"

/** What a takeover does about storage once it knows where the stream comes from. */
export interface SourcePlan {
  /** Why shapes cannot go on from what is stored; `undefined` when they can. */
  readonly stale: string | undefined
  /** Storage has to be told where its changes come from. */
  readonly isNew: boolean
  /**
   * That has to be durable before the stream begins. What is as it was when the journal ended need not be: nothing of the
   * stream is acknowledged before.
   */
  readonly mustBeDurable: boolean
}

export const planSource = (
  facts: TakeoverFacts & { readonly slotIsLost: boolean; readonly publicationRepaired: boolean }
): SourcePlan => {
  const { source, storedSource } = facts
  const stale =
    reasonToPurge(facts) ??
    (facts.publicationRepaired ? "the publication did not carry all operations" : undefined)
  const isNew =
    facts.slotIsLost ||
    storedSource?.systemId !== source.systemId ||
    storedSource.timeline !== source.timeline ||
    storedSource.slot !== source.slot ||
    hasGoneBack(facts)
  return { stale, isNew, mustBeDurable: isNew || stale !== undefined }
}

interface SourceServices {
  readonly engine: StorageEngine
  readonly replication: StreamActor["Service"]
  readonly record: SessionServices["Service"]["record"]
  readonly slotName: string
  /** See `TakeoverFacts`. */
  readonly receivedLsn: Lsn | undefined
  /** Has the tables of all shapes published. Shapes for which that is not possible are dropped. */
  readonly publishTables: (session: RegistrySession) => Effect.Effect<void>
  /** Has shapes follow the tables that have the names of theirs now; see `redefineShapes`. Gives how many have become others. */
  readonly redefine: (session: RegistrySession, isOther: boolean) => Effect.Effect<number, PgError>
  /** Brings shapes to a point at which they can go on. */
  readonly repair: (
    session: RegistrySession,
    point: ConsistentPoint
  ) => Effect.Effect<Repaired, PgError | StorageFailed>
}

/** Makes a new slot in place of one that Postgres has given up. */
const usableSlot = (replication: StreamActor["Service"], connection: ReplicationConnection) =>
  replication
    .ensureSlot(connection)
    .pipe(
      Effect.catchIf(needsNewSlot, (error) =>
        reportFault(failureCode(error), error.message).pipe(
          Effect.andThen(replication.dropSlot(connection)),
          Effect.andThen(replication.ensureSlot(connection))
        )
      )
    )

const storageFailed = (fault: StorageFault) =>
  Effect.fail(
    new StorageFailed({
      message: fault.message,
      ...(fault._tag === "BucketFault" ? { passing: fault.passing } : {})
    })
  )

/** Who watches the publication may have told of it just before. */
const goneAgainMillis = 60_000

const publicationIsGone =
  "The publication, from which this service has read before, was gone, and has been made anew with a new replication slot: changes may " +
  "have been missed, so shapes are compared with the database or fetched again. Find out who dropped it."

const slotIsGone = (slotName: string): string =>
  `The replication slot ${slotName}, from which this service has read before, is gone: somebody dropped it, or the database was ` +
  "restored or failed over without it. A new one is made, and all shapes are compared with the database. Keep others from dropping it; from " +
  "Postgres 17 on, providers can keep slots through a failover."

/**
 * Brings shapes that cannot go on from what is stored to the point of a new slot, under their handles. Not done where storage has
 * been told nothing of where they came from.
 */
const tryRepair = (
  services: SourceServices,
  connection: ReplicationConnection,
  session: RegistrySession,
  source: StreamSource,
  reason: string
): Effect.Effect<EnsuredSlot | undefined, PgError | NotWriting | StorageFailed> =>
  Effect.gen(function* () {
    const { engine, publishTables, redefine, repair, replication } = services
    const { store } = engine
    const stored = store.source
    if (store.count === 0 || stored === undefined) return undefined
    // What is known in memory only cannot be repaired: nobody else would know of it.
    const stands = fromDisk(() => engine.writing?.standsOnJournal() ?? Promise.resolve(false))
    if (!(yield* Effect.catchTags(stands, { BucketFault: storageFailed, DiskFault: storageFailed })))
      return undefined
    const wasCutOff = isUnfinished(stored)
    const { closed, had } = beforeComparison(store, wasCutOff)
    if (closed !== undefined) engine.writing?.write({ t: "source", ...encodeSource(stored), lost: closed })
    const isOther = !isSameCluster(stored, source) || (wasCutOff && isOfOther(stored))
    // From here on whoever takes over begins again, whatever becomes of this. It is still to be known what was there before.
    engine.writing?.write({
      t: "source",
      ...encodeSource(stored),
      slot: unfinishedSlot(source.slot, isOther),
      lost: storedGap(had, had.ordinary)
    })
    yield* Effect.catchTags(settledIn(engine), { BucketFault: storageFailed, DiskFault: storageFailed })
    yield* reportFault(
      "BATON-SHAPE-COMPARED",
      `What ${store.count} shapes have cannot be continued: ${reason}. They are compared with the database, and get what they lack: nothing is fetched again. Changes since then come afterwards.`
    )
    const redefined = yield* redefine(session, isOther)
    // A slot gives the changes of those tables that were published at its point.
    yield* publishTables(session)
    yield* replication.dropSlot(connection)
    const slot = yield* replication.ensureSlot(connection, { exportSnapshot: true })
    const { snapshotName } = slot
    if (snapshotName === undefined) {
      session.purge(reason)
      yield* adoptSource(services, source, slot)
      return slot
    }
    const shift = chooseShift(slot.confirmedFlushLsn, store, isOther || redefined > 0)
    const lsn = journalLsn(slot.confirmedFlushLsn, shift)
    const done = yield* repair(session, { lsn, snapshotName, reason })
    yield* Effect.logInfo(
      `Compared ${done.shapes} shapes with ${done.rowsRead} rows of the database: ${done.inserts} inserts, ${done.updates} updates and ${done.deletes} deletes were missing.`
    )
    yield* writeSource(engine, { ...source, shift }, storedGap(had, lsn - 1n))
    // All before the point is here: whoever takes over before the stream has brought anything goes on from it.
    engine.writing?.write({ t: "position", lsn: String(lsn) })
    return slot
  })

/** Storage is told that changes come from this slot from now on. What shapes made from now on are given rises all the same. */
const adoptSource = ({ engine }: SourceServices, source: StreamSource, slot: EnsuredSlot) => {
  const isOther = engine.store.source !== undefined && !isSameCluster(engine.store.source, source)
  const shift = chooseShift(slot.confirmedFlushLsn, engine.store, isOther)
  return writeSource(engine, { ...source, shift })
}

/**
 * The first release would start over with a source that is shifted, and then take all changes for ones that it has had before.
 * It is kept out.
 */
const writeSource = (
  engine: StorageEngine,
  source: StreamSource,
  lost?: StoredGap
): Effect.Effect<void, StorageFailed> =>
  Effect.gen(function* () {
    if (source.shift !== undefined && source.shift > 0n && engine.store.level < gatedLevel) {
      const keepOut = fromDisk(async () => {
        if (!(await engine.isFenced())) await closeGate(engine.paths)
      })
      yield* Effect.catchTags(keepOut, { BucketFault: storageFailed, DiskFault: storageFailed })
      yield* Effect.logInfo(
        "The database has another history than before, which releases before 0.2.0 could not follow: they refuse to start on this storage from now on."
      )
    }
    engine.writing?.write({ t: "source", ...encodeSource(source), ...(lost === undefined ? {} : { lost }) })
  })

/** From the publication to a slot that storage goes on from, or starts over from. Then the stream can begin. */
export const prepareSource = (
  services: SourceServices,
  connection: ReplicationConnection,
  session: RegistrySession,
  ensured: EnsuredPublication,
  steps: Steps
): Effect.Effect<void, PgError | NotWriting | StorageFailed> =>
  Effect.gen(function* () {
    const { engine, record, replication, slotName } = services
    const { store } = engine
    const { systemId, timeline } = connection
    const source: StreamSource = { systemId, timeline, slot: slotName, shift: store.shift }
    const wasElsewhere = store.source !== undefined && !isSameCluster(store.source, source)
    const lost = wasElsewhere ? otherCluster : whyLost(store.slotIsLost, ensured)
    // The earlier slot does not go with a new publication: Postgres would fail to decode with it.
    if (lost !== undefined) yield* replication.dropSlot(connection)
    let repaired =
      lost === undefined ? undefined : yield* tryRepair(services, connection, session, source, lost)
    let slot = repaired ?? (yield* usableSlot(replication, connection))
    steps.done("slot")
    const shared =
      isSameCluster(store.source ?? source, source) && (store.source?.timeline ?? timeline) < timeline
        ? yield* sharedUpTo(connection.query, timeline, store.source?.timeline ?? timeline)
        : undefined
    const plan = planSource({
      storedSource: store.source,
      source,
      shapes: store.count,
      slotCreated: slot.created,
      confirmedFlushLsn: journalLsn(slot.confirmedFlushLsn, store.shift),
      storedLsn: store.resumeLsn,
      walLsn: journalLsn(slot.walLsn, store.shift),
      positionLsn: store.positionLsn,
      sharedUpToLsn: shared === undefined ? undefined : journalLsn(shared, store.shift),
      receivedLsn: services.receivedLsn,
      slotIsLost: store.slotIsLost,
      publicationRepaired: ensured.repaired
    })
    if (ensured.created && store.source !== undefined && !wasElsewhere)
      yield* reportFault("BATON-PUBLICATION-MISSING", {
        message: publicationIsGone,
        everyMillis: goneAgainMillis
      })
    if (slot.created && store.source?.slot === slotName && lost === undefined)
      yield* reportFault("BATON-SLOT-MISSING", slotIsGone(slotName))
    if (plan.stale !== undefined && repaired === undefined) {
      if (lost === undefined) repaired = yield* tryRepair(services, connection, session, source, plan.stale)
      if (repaired === undefined) session.purge(plan.stale)
      else slot = repaired
    }
    steps.done("repair")
    // What it was like before counts for shapes from before.
    record.begin(session.shapes)
    // A later timeline of the same history counts as before: what the slot gives once more has to be recognised.
    const goesOn = plan.stale === undefined && store.count > 0
    if (repaired === undefined && plan.isNew)
      yield* goesOn ? writeSource(engine, source) : adoptSource(services, source, slot)
    engine.toldLsn = journalLsn(slot.walLsn, store.shift)
    session.sink.startAt(journalLsn(slot.confirmedFlushLsn, store.shift))
    // What an epoch says that is not durable itself is lost with it.
    if (plan.mustBeDurable || repaired !== undefined)
      yield* Effect.catchTags(settledIn(engine), { BucketFault: storageFailed, DiskFault: storageFailed })
    steps.done("position")
  })

const otherCluster = "they came from another database cluster"

/** Why the slot is of no use whatever it is like, if so. */
const whyLost = (slotIsLost: boolean, ensured: EnsuredPublication): string | undefined =>
  slotIsLost
    ? "the replication slot is of no use any more"
    : ensured.created
      ? "the publication was gone, and is made anew"
      : undefined
