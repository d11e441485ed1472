import { Deferred, Effect } from "effect"
import { standardLimits } from "../../config/Limits.ts"
import { MembershipState } from "../../membership/MembershipState.ts"
import type { Relation } from "../../postgres/Relation.ts"
import type { Tuple } from "../../postgres/Tuple.ts"
import type { Lsn } from "../../shared/Lsn.ts"
import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import type { MemberSink } from "../routing/MemberSink.ts"
import type { SnapshotFailed } from "../ShapeRegistry.ts"
import type { DatabaseSnapshot } from "../snapshot/SnapshotTransaction.ts"
import { makeShapeLogs } from "../../storage/ShapeLogsLive.ts"
import { Emptying } from "../emptying/Emptying.ts"
import { Guests } from "../emptying/Guests.ts"
import { isClean } from "../waiting/CleanSnapshot.ts"
import { LaneQueue } from "../waiting/LaneQueue.ts"
import type { RawTransaction } from "../waiting/RawTransaction.ts"
import { type Admission, Admissions } from "./Admissions.ts"
import { Admitting } from "./Admitting.ts"
import { Batches } from "./Batches.ts"
import { LaneMembers, type Reservation } from "./LaneMembers.ts"
import { LaneMending } from "./LaneMending.ts"
import type { LaneHost, LaneOptions } from "./LaneOptions.ts"
import { MoveReader } from "./MoveReader.ts"
import { LaneWriter } from "./LaneWriter.ts"
import type { Pieces } from "../routing/Output.ts"
import { Processing } from "./Processing.ts"
import { Reception } from "../waiting/Reception.ts"
import { Slices } from "./Slices.ts"
import { StreamedMoves } from "./StreamedMoves.ts"
import { UntilRead } from "./UntilRead.ts"
import { emptiedBy } from "./Wanted.ts"
import type { WorkingSet } from "./WorkingSet.ts"

const empty: WorkingSet = new Map()

/**
 * The lane of shapes with sub-selects. It knows what their sub-selects give, as of one transaction of the stream, and brings that
 * and the shapes from transaction to transaction.
 *
 * ```text
 *          a transaction can move rows beside its own; a new sub-select
 *   idle ────────────────────────────────────────────────────────────────► behind
 *    ▲                                                                       │ transactions wait; rows are read,
 *    └───────────────────────────────── none waits ──────────────────────────┘ rewound, and they are processed
 * ```
 *
 * While it is idle, a transaction is processed when its commit comes, and written to its ordinary record. While it is behind,
 * all others go on, and what its shapes get is written as late transactions.
 */
export class Lane implements MemberSink {
  readonly members: LaneMembers
  private readonly options: LaneOptions
  private readonly engine: StorageEngine
  private readonly queue: LaneQueue
  private readonly reception: Reception
  private readonly processing: Processing
  private readonly emptying: Emptying
  private readonly reader: MoveReader
  private readonly writer: LaneWriter
  private readonly slices: Slices
  private host: LaneHost | undefined
  private isIdle = true
  /** The journal says that it is behind. */
  private isNoted = false
  /** What comes follows on what is stored. */
  private isTrusted = true
  /** The stream waits for a transaction that is processed when its commit comes. */
  private isHeld = false
  readonly shapes = new Set<ShapeState>()
  private readonly guests = new Guests()
  private readonly admissions: Admissions
  private readonly admitting: Admitting
  private readonly batches: Batches
  private readonly mending: LaneMending
  private wake: (() => void) | undefined

  constructor(options: LaneOptions) {
    const { directories, engine, limits = standardLimits, writer } = options
    this.options = options
    this.engine = engine
    this.queue = new LaneQueue(limits.moveBytes, directories)
    const state = new MembershipState(options)
    this.members = new LaneMembers(state, options.makeMatcher(state))
    this.admissions = new Admissions(this.members)
    this.writer = new LaneWriter(engine, writer, (...about) => this.host?.dropForbidden(...about))
    this.slices = new Slices(engine.timers, writer)
    this.reception = new Reception(engine.timers, options.askForPosition)
    this.emptying = new Emptying({
      logs: makeShapeLogs(engine),
      complaints: engine.complaints,
      drop: options.drop
    })
    this.processing = new Processing({
      members: this.members,
      emptying: this.emptying,
      shapeOf: (id) => engine.store.get(id),
      drop: options.drop,
      compare: (shapes, reason) => this.mending.wantAstray(shapes, reason),
      dropConcerned: (shapes, at, reason) => this.host?.dropConcerned(shapes, at, reason)
    })
    this.queue.remember(this.engine.store.recentXids)
    this.reader = new MoveReader({
      members: this.members,
      sessions: options.sessions,
      published: options.published,
      reception: this.reception,
      shift: () => engine.store.shift,
      processedXids: () => this.queue.processed.seenBefore(this.queue.processed.point),
      queue: () => this.queue.waiting,
      inSlices: (work) => this.slices.run(work),
      pause: this.slices.turn,
      mostRowsBytes: limits.moveBytes
    })
    const untilRead = new UntilRead(engine.complaints, this.members, options.drop)
    const { admissions, members, processing, queue, reader, reception, slices } = this
    const streamed = new StreamedMoves({
      members,
      reader,
      processing,
      writer: this.writer,
      slices,
      queue: () => queue.waiting
    })
    this.batches = new Batches({
      admissions,
      members,
      processing,
      queue,
      reader,
      slices,
      streamed,
      untilRead,
      writer: this.writer
    })
    this.mending = new LaneMending({
      admissions,
      members,
      queue,
      reception,
      lane: options,
      isThere: (shape) => this.shapes.has(shape)
    })
    this.admitting = new Admitting({
      members: this.members,
      admissions: this.admissions,
      reader: this.reader,
      untilRead,
      positionLost: options.positionLost,
      enter: (reservation, shape) => this.enter(reservation, shape),
      reportFailures: () => this.processing.reportFailures(),
      latestSerial: () => this.queue.latestSerial
    })
  }

  attach(host: LaneHost): void {
    this.host = host
  }

  /** The stream starts here, at the latest. */
  startAt(lsn: Lsn): void {
    this.queue.startAt(lsn)
    // The source may have become another one since.
    this.queue.remember(this.engine.store.recentXids)
    this.reception.reached(lsn)
    if (!this.isIdle) this.noteBehind()
    else this.isNoted = this.engine.store.behindLsn !== undefined
  }

  trust(isCertain: boolean): void {
    this.isTrusted = isCertain
    this.wake?.()
  }

  close(): void {
    this.reception.close()
    this.writer.abandon()
    this.queue.store.close()
  }

  // Shapes

  has(shape: ShapeState): boolean {
    return this.shapes.has(shape)
  }

  /** A shape from before, if it has sub-selects or was here. Before the stream starts. */
  addShape(shape: ShapeState): void {
    const isGuest = this.engine.store.lateIds.has(shape.id)
    if (!isGuest && shape.members.length === 0) return
    if (isGuest) this.guests.add(shape)
    this.shapes.add(shape)
    this.queueAdmission(shape.definition, shape, undefined)
  }

  /** Shapes are defined otherwise than they were when they were added. Before the stream starts. */
  redefined(): void {
    this.admissions.clear()
    for (const shape of this.shapes) this.queueAdmission(shape.definition, shape, undefined)
  }

  adopt(shapes: ReadonlyArray<ShapeState>): boolean {
    const { current, latestSerial, position } = this.queue
    if (current === undefined || current.commitLsn < position) return false
    for (const shape of shapes) {
      this.guests.welcome(shape)
      this.shapes.add(shape)
      this.queueAdmission(shape.definition, shape, undefined, latestSerial - 1)
    }
    return true
  }

  mend(shapes: ReadonlyArray<ShapeState>, reason: string): void {
    const { current } = this.queue
    const xid = this.hasPassed() ? undefined : current?.xid
    for (const shape of shapes) {
      if (!this.shapes.has(shape)) this.guests.welcome(shape)
      this.shapes.add(shape)
      this.mending.want(shape, reason, xid)
    }
    this.fallBehind()
    this.wake?.()
  }

  /** From here on transactions wait. */
  private fallBehind(): void {
    this.isIdle = false
    this.noteBehind()
    this.host?.late(this.guests.takeUnnoted())
  }

  /** Between two transactions: who went astray in the one before is compared first. */
  private turnToAstray(): void {
    if (!this.mending.takeAstray()) return
    this.fallBehind()
    this.wake?.()
  }

  /** One of the shapes has to be compared with the database, and has not been, durably. */
  isBeingCompared(shapes: Iterable<ShapeState>): boolean {
    for (const shape of shapes) if (this.mending.isWanted(shape)) return true
    return false
  }

  hasPassed(): boolean {
    const { current, position } = this.queue
    return current !== undefined && current.commitLsn < position
  }

  /** Between two transactions, with nothing left to do: guests go back to where they came from. */
  private dismissGuests(): void {
    const { host } = this
    if (this.guests.isEmpty || host === undefined || !this.isIdle || this.isNoted) return
    for (const shape of this.guests.all()) {
      this.removeShape(shape)
      host.dismissed(shape)
    }
  }

  removeShape(shape: ShapeState): void {
    this.guests.delete(shape)
    this.mending.forget(shape)
    if (!this.shapes.delete(shape)) return
    const reservation = this.members.reservationOf(shape)
    if (reservation !== undefined) this.members.release(reservation)
  }

  /** Completes when what the sub-selects of a new shape give is known. It has to be entered, or released. */
  admit(definition: ShapeDefinition): Effect.Effect<Reservation, SnapshotFailed> {
    return Effect.suspend(() => {
      const done = Deferred.makeUnsafe<Reservation, SnapshotFailed>()
      const admission = this.queueAdmission(definition, undefined, done)
      return Effect.onInterrupt(Deferred.await(done), () =>
        Effect.sync(() => this.admissions.giveUp(admission))
      )
    })
  }

  /** The shape is there, and gets its changes from now on. */
  enter(reservation: Reservation, shape: ShapeState): void {
    this.shapes.add(shape)
    if (this.members.enter(reservation, shape)) return
    const { name, schema } = shape.common.table
    this.options.drop([shape], `the definition of table ${schema}.${name} has changed`)
  }

  release(reservation: Reservation): void {
    this.members.release(reservation)
  }

  private queueAdmission(
    definition: ShapeDefinition,
    shape: ShapeState | undefined,
    done: Admission["done"],
    latestSerial = this.queue.latestSerial
  ): Admission {
    const admission = this.admissions.add(definition, latestSerial, shape, done)
    this.isIdle = false
    this.wake?.()
    return admission
  }

  /** See `isClean`. */
  isClean(snapshot: DatabaseSnapshot): Effect.Effect<boolean> {
    return isClean(snapshot, this.engine.store.shift, this.queue, this.reception)
  }

  // The stream

  relation(relation: Relation, tableOids: ReadonlyArray<number>): ReadonlyArray<ShapeState> {
    for (const oid of tableOids) this.members.attach(relation.oid, oid)
    return this.members.affectedBy(relation)
  }

  detach(tableOid: number, relationOids: ReadonlyArray<number>): void {
    this.members.detach(tableOid, relationOids)
  }

  begin(commitLsn: Lsn, xid: number): void {
    this.queue.begin(commitLsn, xid)
  }

  private isConcerned(oid: number): boolean {
    return this.members.tablesOf(oid).length > 0 || this.admissions.needs(oid)
  }

  change(
    relation: Relation,
    op: number,
    oldRow: Tuple | undefined,
    row: Tuple | undefined
  ): Effect.Effect<void> | undefined {
    if (this.isConcerned(relation.oid)) this.queue.current?.add(relation, op, oldRow, row)
    return undefined
  }

  truncate(relationOids: ReadonlyArray<number>): void {
    const oids = relationOids.filter((oid) => this.isConcerned(oid))
    if (oids.length > 0) this.queue.current?.truncate(oids)
  }

  received(lsn: Lsn): void {
    this.reception.reached(lsn)
    this.sayCaughtUp()
    this.dismissGuests()
  }

  committed(): void {
    this.turnToAstray()
    this.sayCaughtUp()
    this.dismissGuests()
  }

  commit(endLsn: Lsn, nextOp: number, isOpen: boolean): Effect.Effect<void> | undefined {
    const transaction = this.queue.end(endLsn, nextOp)
    let held: Effect.Effect<void> | undefined
    if (transaction !== undefined) {
      const emptied = emptiedBy(transaction, this.members)
      if (emptied.length > 0) this.mending.beforeEmptied(emptied, transaction, this.guests, this.host)
      if (this.isIdle && this.isTrusted && emptied.length === 0) held = this.processNow(transaction, isOpen)
      else this.wait(transaction)
    }
    this.wake?.()
    // Last: who waits for it may run right here.
    if (held === undefined) {
      this.reception.reached(endLsn)
      return undefined
    }
    return Effect.map(held, () => this.reception.reached(endLsn))
  }

  /** Before the ordinary record of the transaction is whole. */
  private wait(transaction: RawTransaction): void {
    this.fallBehind()
    if (!transaction.isEmpty) this.queue.push(transaction)
    const { failure } = this.queue.store
    if (failure !== undefined) this.giveUpAll(failure)
    this.wake?.()
  }

  /** There is no room for what waits, and the stream must not wait: what it brings is needed to get on. */
  private giveUpAll(failure: string): void {
    const { fileBytes, memoryBytes } = this.queue.store
    const waiting = Math.round((fileBytes + memoryBytes) / 2 ** 20)
    const reason = `its sub-selects are behind by changes of ${waiting} MiB, and there is no room for more (${failure})`
    this.options.drop([...this.shapes], reason)
  }

  private noteBehind(): void {
    this.isNoted = true
    this.host?.behind(this.queue.position)
  }

  private processNow(transaction: RawTransaction, isOpen: boolean): Effect.Effect<void> | undefined {
    if (transaction.isEmpty) {
      this.queue.passed(transaction)
      return undefined
    }
    return this.inPieces(this.processOrWait(transaction, isOpen))
  }

  private *processOrWait(transaction: RawTransaction, isOpen: boolean): Pieces {
    if (yield* this.processing.tell(transaction)) {
      this.members.state.discard()
      this.wait(transaction)
      return
    }
    if (isOpen && !this.isNoted)
      yield* this.writer.ordinary(transaction, (output) => this.processing.write(transaction, empty, output))
    else yield* this.batches.writeLate(transaction)
    this.queue.passed(transaction)
  }

  /** At once, if that does not take long. */
  private inPieces(pieces: Pieces): Effect.Effect<void> | undefined {
    if (this.slices.runOne(pieces)) return undefined
    this.isHeld = true
    return Effect.ensuring(
      this.slices.run(pieces),
      Effect.sync(() => {
        this.isHeld = false
        this.wake?.()
      })
    )
  }

  // The work

  /** For as long as the stream runs. */
  readonly run: Effect.Effect<never> = Effect.suspend(() =>
    Effect.forever(Effect.andThen(this.untilWork, this.step))
  )

  private get hasWork(): boolean {
    return !this.isIdle && !this.isHeld && this.host !== undefined && this.canAdvance
  }

  /** Otherwise it waits for a transaction that is being received. */
  private get canAdvance(): boolean {
    if (!this.mending.isEmpty) return this.isTrusted
    if (this.queue.waiting.length > 0) return this.isTrusted || this.canAdmit
    return this.admissions.isEmpty || this.canAdmit
  }

  private get canAdmit(): boolean {
    return this.admissions.hasReady(this.queue.processedSerial)
  }

  private readonly untilWork: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.hasWork) return resume(Effect.void)
    this.wake = () => {
      if (!this.hasWork) return
      this.wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => (this.wake = undefined))
  })

  private readonly step: Effect.Effect<void> = Effect.suspend(() => {
    if (this.isHeld) return Effect.void
    if (!this.mending.isEmpty) return this.isTrusted ? this.mending.next : Effect.void
    if (this.canAdmit) return this.admitReady
    if (this.queue.waiting.length > 0) return this.isTrusted ? this.advance : Effect.void
    if (this.admissions.isEmpty) this.becomeIdle()
    return Effect.void
  })

  private readonly admitReady = Effect.suspend(() =>
    Effect.map(this.admitting.admit(this.queue.processedSerial), () => this.turnToAstray())
  )

  private becomeIdle(): void {
    this.queue.caughtUp()
    this.isIdle = true
    this.sayCaughtUp()
  }

  private sayCaughtUp(): void {
    if (this.isIdle && this.isNoted && this.host !== undefined) this.isNoted = !this.host.caughtUp()
  }

  /** Processes what waits, with rows from the database where they are needed. */
  private readonly advance: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    const { waiting } = this.queue
    const [first] = waiting
    if (first === undefined) return
    const emptied = emptiedBy(first, this.members)
    if (emptied.length === 0) yield* this.batches.process(first)
    else {
      const shapes = emptied.flatMap(({ shapes: all }) => [...all])
      yield* Effect.scoped(Effect.andThen(this.emptying.hold(first, shapes), this.batches.process(first)))
    }
    this.options.writer.flush()
    if (waiting.length > 0) this.noteBehind()
    this.turnToAstray()
  })
}
