import { Effect } from "effect"
import { join } from "node:path"
import { compareOffsets, type LogOffset } from "../../shapes/LogOffset.ts"
import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { BucketFault } from "../../bucket/BucketFault.ts"
import { DiskFault } from "../disk/DiskFault.ts"
import { shapeDir } from "../disk/StorageDir.ts"
import { levelOfCompaction } from "../levels/Levels.ts"
import { isMadeByCompaction } from "../records/Compaction.ts"
import type { Compaction } from "../records/CompactionState.ts"
import type { LogFile } from "../records/Records.ts"
import { makeShapeLogs } from "../ShapeLogsLive.ts"
import { type ShapeLogs, ShapeReadError } from "../ShapeLogs.ts"
import type { ShapeState } from "../state/ShapeState.ts"
import type { StorageEngine } from "../StorageEngine.ts"
import { FoldAside } from "./FoldAside.ts"
import { CompactShape, type CompactionWork } from "./CompactShape.ts"
import { Abandoned, RestingWork } from "./RestingWork.ts"
import { type Candidate, inTurns, lastLooked } from "./CompactionOrder.ts"
import {
  type CompactionSettings,
  isWorthIt,
  mayBeWorthIt,
  mayMakeBase,
  quietBytes,
  quietMillis,
  retained,
  rowBytesOf,
  shortOfRoom,
  type Worth,
  worthOf
} from "./Policy.ts"
import { readBeginning, readBytes } from "./ReadWholeLog.ts"
import { bytesBehind, bytesBetween, firstRowsBytes, newLook, rowsAt, type ShapeLook } from "./ShapeLook.ts"
import { rowLengthOf, TallyLog } from "./TallyLog.ts"

interface CompactorOptions extends CompactionSettings {
  /** Of the time, so much is worked at most, waiting for the disk included. */
  readonly share: number
  /** Characters of messages in memory, about. */
  readonly budget: number
  /** How long files that nobody needs any more are left to readers that are in the middle of them. */
  readonly removalDelayMillis: number
  /** The thread in which logs are folded; absent, they are folded here. */
  readonly aside?: FoldAside
}

/** A log with fewer entries in the journal, and no file, is not looked at. */
const fewEntries = 32
const logMayGrowBy = 1.5
/** What has failed so often, and not for the disk or the bucket, is not tried again. */
const hopelessFailures = 10
/** Shapes with little to compact are, so many at a time: nearly all that takes is waiting for the disk. */
const together = 8
const littleBytes = 128 * 1024
/** So much of a shape's rows is read, once, to know how long they are. */
const sampleBytes = 64 * 1024
/** Then it is looked anew which logs may give most. */
const longestSweepMillis = 60_000
/** Between two looks where room is short. */
const shortMillis = 1000

/**
 * Compacts the logs of shapes, for the writer of one epoch: one shape after the other, in slices. See `docs/storage.md`. What it
 * makes stands beside what is there until a record in the journal says that it counts, so at whatever moment it ends either is whole.
 */
export class Compactor {
  private readonly engine: StorageEngine
  private readonly options: CompactorOptions
  private readonly logs: ShapeLogs["Service"]
  private readonly looks = new Map<number, ShapeLook>()
  /** Files that no record speaks of, and since when that has been known. */
  private readonly doomed = new Map<string, number>()
  /** How often the compaction of a shape has failed, one time after the other. */
  private readonly failures = new Map<number, number>()
  private readonly tidied = new Set<number>()
  private readonly pace: RestingWork
  /** What holds for the look at all shapes that is under way. */
  private settings: CompactionSettings
  /** Records that were written. */
  private told = 0
  /** The id of the shape that was looked at last because it was its turn. */
  private lastInTurn = 0

  constructor(engine: StorageEngine, options: CompactorOptions, isOver: () => boolean = () => false) {
    this.engine = engine
    this.options = options
    this.settings = options
    this.logs = makeShapeLogs(engine)
    const { writer } = engine
    this.pace = new RestingWork(engine.timers, options.share, () => isOver() || engine.writer !== writer)
  }

  /** Looks at every shape once, and compacts those that are worth it. To be called every few seconds; one call at a time. */
  async sweep(): Promise<void> {
    const { engine } = this
    const { pressure } = engine
    const isShort = pressure.isShort
    if (engine.store.level < levelOfCompaction) {
      pressure.isExhausted = isShort
      return
    }
    this.settings = isShort ? shortOfRoom(this.options) : this.options
    const toldBefore = this.told
    this.pace.begin()
    try {
      const worth = await this.mayBeCompacted()
      const looked = await this.compactEach(worth)
      this.lastInTurn = lastLooked(worth, this.lastInTurn, looked)
      for (const id of this.looks.keys()) if (engine.store.get(id) === undefined) this.forget(id)
      await this.removeDoomed()
      pressure.isExhausted =
        isShort && looked.size === worth.length && this.told === toldBefore && !this.hasReplaced()
    } catch (error) {
      if (!(error instanceof Abandoned)) throw error
    }
  }

  /** Gives those that were looked at: all, where there was time. */
  private async compactEach(worth: ReadonlyArray<Candidate>): Promise<ReadonlySet<ShapeState>> {
    const { timers } = this.engine
    const untilMillis = timers.nowMillis() + longestSweepMillis
    const bytesOf = new Map(worth.map(({ bytes, shape }) => [shape, bytes]))
    const looked = new Set<ShapeState>()
    const small = new Group((shape) => this.compactIfDue(shape), this.carefully)
    for (const shape of inTurns(worth, this.lastInTurn)) {
      await this.pace.rest()
      if (timers.nowMillis() > untilMillis) break
      looked.add(shape)
      if ((bytesOf.get(shape) ?? 0) <= littleBytes) await small.add(shape)
      else await this.carefully(shape, () => this.compactIfDue(shape))
    }
    await small.settle()
    return looked
  }

  /** Lets go what need not be kept any more. Gives the shapes whose logs may be worth it. */
  private async mayBeCompacted(): Promise<ReadonlyArray<Candidate>> {
    const { settings } = this
    const leastBytes = Math.min(quietBytes, settings.leastBytes)
    const found: Array<Candidate> = []
    const retaining = new Group((shape) => this.retain(shape), this.carefully)
    for (const shape of Array.from(this.engine.store.all())) {
      await this.pace.rest()
      // Nothing has happened to it that could be compacted.
      if (shape.isDormant && !shape.hasHistory) continue
      if (shape.dropped || !shape.snapshotComplete || shape.unannounced || shape.undecided !== undefined)
        continue
      if (shape.compaction !== undefined) await retaining.add(shape)
      if (shape.dropped || !this.hasLog(shape)) continue
      const { from, rowLength } = this.lookOf(shape)
      const bytes = bytesBehind(shape, from)
      if (mayBeWorthIt(this.rowBytes(shape), bytes, rowLength, leastBytes, settings))
        found.push({ shape, bytes })
    }
    await retaining.settle()
    return found
  }

  private forget(id: number): void {
    this.looks.delete(id)
    this.failures.delete(id)
    this.tidied.delete(id)
  }

  /** Whether rows are left that a base has taken the place of: they go by themselves. */
  private hasReplaced(): boolean {
    for (const { compaction, dropped } of this.engine.store.all()) {
      if (dropped || compaction === undefined) continue
      if (compaction.bases.length + Number(compaction.hasFirstRows) > 1) return true
    }
    return false
  }

  private async compactIfDue(shape: ShapeState): Promise<void> {
    if (shape.dropped || !(await this.isDue(shape))) return
    await this.compact(shape)
    this.failures.delete(shape.id)
  }

  /** What goes wrong with one shape is said, and does not concern the others. */
  private readonly carefully: Carefully = async (shape, work) => {
    try {
      await work()
    } catch (error) {
      if (error instanceof Abandoned && !shape.dropped && this.engine.writer !== undefined) throw error
      if (shape.dropped || error instanceof Abandoned) return
      const why = error instanceof Error ? error.message : String(error)
      const failures = (this.failures.get(shape.id) ?? 0) + 1
      this.failures.set(shape.id, failures)
      if (mayPass(error) || failures < hopelessFailures) {
        this.engine.complaints.about("compaction", `The log of shape ${shape.handle} ${tryAgain(why)}`)
        return
      }
      this.looks.set(shape.id, { ...this.lookOf(shape), againBytes: Infinity })
      this.engine.options.run(
        reportFault("BATON-STORAGE-COMPACTION", {
          message: `The log of shape ${shape.handle} cannot be compacted: ${why}. It is served as it is, and not tried again before a restart.`,
          about: shape.handle,
          everyMillis: 600_000
        })
      )
    }
  }

  private lookOf(shape: ShapeState): ShapeLook {
    const nowMillis = this.engine.timers.nowMillis()
    let look = this.looks.get(shape.id)
    if (look === undefined || compareOffsets(look.from, rowsAt(shape)) !== 0) {
      look = newLook(shape, nowMillis)
      this.looks.set(shape.id, look)
    }
    if (compareOffsets(look.end, shape.end) !== 0) {
      look.end = shape.end
      look.endSinceMillis = nowMillis
    }
    return look
  }

  private hasLog(shape: ShapeState): boolean {
    // There are no rows from which its readers begin.
    if (shape.common.log === "changes_only") return false
    return shape.files.length > 0 || (shape.tail?.count ?? 0) >= fewEntries
  }

  private async isDue(shape: ShapeState): Promise<boolean> {
    const { settings } = this
    const look = this.lookOf(shape)
    const isQuiet =
      this.engine.pressure.isShort || this.engine.timers.nowMillis() - look.endSinceMillis >= quietMillis
    const leastBytes = isQuiet ? Math.min(quietBytes, settings.leastBytes) : settings.leastBytes
    const logBytes = bytesBehind(shape, look.from)
    const rowBytes = this.rowBytes(shape)
    const mayBe = () => mayBeWorthIt(rowBytes, logBytes, look.rowLength, leastBytes, settings)
    if (!mayBe()) return false
    if (look.rowLength === undefined && rowBytes > 0) {
      look.rowLength = rowLengthOf(await readBeginning(this.logs, shape, sampleBytes))
      if (!mayBe()) return false
    }
    const hasMore = compareOffsets(look.seen, shape.end) < 0
    if (hasMore && (logBytes >= look.againBytes || (isQuiet && look.againBytes < Infinity))) {
      await this.read(shape, look)
      look.againBytes = logBytes * logMayGrowBy
    }
    return isWorthIt(this.worth(shape, look), leastBytes, settings)
  }

  private async read(shape: ShapeState, look: ShapeLook): Promise<void> {
    const tally = new TallyLog(look.tally)
    look.seen = await readBytes(this.logs, shape, look.seen, shape.end, async (piece) => {
      tally.add(piece)
      await this.pace.rest()
    })
    look.tally = tally.tally
  }

  private rowBytes(shape: ShapeState): number {
    return rowBytesOf({ compaction: shape.compaction, firstRowsBytes: firstRowsBytes(shape) })
  }

  private worth(shape: ShapeState, look: ShapeLook): Worth {
    return worthOf(this.rowBytes(shape), look.tally, look.rowLength)
  }

  private async compact(shape: ShapeState): Promise<void> {
    const { engine, logs, options, pace } = this
    const { writing } = engine
    if (writing === undefined) return
    const { liveBytes } = this.worth(shape, this.lookOf(shape))
    const work: CompactionWork = {
      engine,
      writing,
      logs,
      pace,
      budget: options.budget,
      aside: options.aside
    }
    const making = new CompactShape(work, shape)
    try {
      await this.make(making, shape, liveBytes)
    } finally {
      making.end()
    }
  }

  private async make(making: CompactShape, shape: ShapeState, liveBytes: number): Promise<void> {
    const { settings } = this
    const folded = await making.fold(settings.leastBytes)
    const { compactions } = this.engine
    if (folded !== undefined) {
      await this.tell(shape, folded.compaction, folded.files)
      compactions.folds++
      for (const { bytes } of folded.files) compactions.writtenBytes += bytes
    }
    if (!this.mayMakeBase(shape, liveBytes)) return
    const compaction = await making.base()
    await this.tell(shape, this.leftOf(shape, compaction), undefined)
    compactions.bases++
    for (const { bytes } of compaction.bases.at(-1)?.chunks ?? []) compactions.writtenBytes += bytes
  }

  private mayMakeBase(shape: ShapeState, liveBytes: number): boolean {
    const { pressure, timers } = this.engine
    const { compaction } = shape
    const { endSinceMillis, from } = this.lookOf(shape)
    const chance = {
      liveBytes,
      behindBytes: bytesBehind(shape, from),
      ageMillis: timers.epochMillis() - (compaction?.bases.at(-1)?.madeAtMillis ?? 0),
      leftAloneMillis: pressure.isShort ? Infinity : timers.nowMillis() - endSinceMillis
    }
    return mayMakeBase({ compaction, firstRowsBytes: firstRowsBytes(shape) }, chance, this.settings)
  }

  private leftOf(shape: ShapeState, compaction: Compaction): Compaction {
    const newest = compaction.bases.at(-1)
    if (newest === undefined) return compaction
    const end = { tx: BigInt(newest.at[0]), op: newest.at[1] }
    return retained(
      compaction,
      this.engine.timers.epochMillis(),
      (from: LogOffset) => bytesBetween(shape, from, end),
      this.settings
    )
  }

  private async retain(shape: ShapeState): Promise<void> {
    const { compaction } = shape
    if (compaction === undefined) return
    if (!this.tidied.has(shape.id)) await this.doom(shape)
    const left = this.leftOf(shape, compaction)
    if (left !== compaction) await this.tell(shape, left, undefined)
  }

  /** Everything it speaks of is durable: from now on it counts, for everybody who reads the journal. */
  private async tell(
    shape: ShapeState,
    compaction: Compaction,
    files: ReadonlyArray<LogFile> | undefined
  ): Promise<void> {
    const { engine } = this
    if (!(await engine.settled()) || shape.dropped) throw new Abandoned()
    this.told++
    engine.writing?.write({
      t: "compacted",
      id: shape.id,
      compaction,
      ...(files === undefined ? {} : { files })
    })
    if (!(await engine.settled())) throw new Abandoned()
    await this.doom(shape)
  }

  /** Notes what stands in the directory of the shape and belongs to nothing: what was replaced, and what a crash has left. */
  private async doom(shape: ShapeState): Promise<void> {
    const { disk } = this.engine.paths
    const directory = shapeDir(this.engine.paths, shape.handle)
    const known = new Set(shape.files.map(({ index }) => `l${index}`))
    shape.snapshotChunks.forEach((_, index) => known.add(`s${index}`))
    for (const { chunks } of shape.compaction?.bases ?? [])
      for (const { index } of chunks) known.add(`s${index}`)
    const growing = shape.files.findLast(({ index }) => !isMadeByCompaction(index))?.index ?? -1
    for (const name of await disk.list(directory)) {
      const match = /^([sl])(\d+)(?:\.idx)?$/.exec(name)
      if (match === null || known.has(name.replace(/\.idx$/, ""))) continue
      const index = Number(match[2])
      // A move writes to the last one of the log, and to those behind it, before anybody is told.
      if (match[1] === "l" && !isMadeByCompaction(index) && index > growing) continue
      const path = join(directory, name)
      if (!this.doomed.has(path)) this.doomed.set(path, this.engine.timers.nowMillis())
    }
    this.tidied.add(shape.id)
  }

  private async removeDoomed(): Promise<void> {
    const { engine, options } = this
    const before = engine.timers.nowMillis() - options.removalDelayMillis
    const due = [...this.doomed].filter(([, sinceMillis]) => sinceMillis <= before)
    if (due.length === 0 || !(await engine.settled())) return
    for (const [path] of due) {
      this.doomed.delete(path)
      await engine.paths.disk.remove(path)
      await this.pace.rest()
    }
  }
}

type Carefully = (shape: ShapeState, work: () => Promise<void>) => Promise<void>

/** The same work for some shapes at the same time. */
class Group {
  private readonly work: (shape: ShapeState) => Promise<void>
  private readonly carefully: Carefully
  private shapes: Array<ShapeState> = []

  constructor(work: (shape: ShapeState) => Promise<void>, carefully: Carefully) {
    this.work = work
    this.carefully = carefully
  }

  async add(shape: ShapeState): Promise<void> {
    this.shapes.push(shape)
    if (this.shapes.length >= together) await this.settle()
  }

  /** All that were added are done. */
  async settle(): Promise<void> {
    const shapes = this.shapes.splice(0)
    const outcomes = await Promise.allSettled(
      shapes.map((shape) => this.carefully(shape, () => this.work(shape)))
    )
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason
  }
}

const tryAgain = (why: string): string =>
  `cannot be compacted: ${why}. Tried again later; it is served as it is.`

const mayPass = (error: unknown): boolean =>
  error instanceof DiskFault ||
  error instanceof BucketFault ||
  (error instanceof ShapeReadError && error.mayPass === true)

/** One look at all shapes after the other, every so many milliseconds, until it is interrupted. Logs are folded in a thread. */
export const compactLogs = (
  engine: StorageEngine,
  options: CompactorOptions,
  everyMillis: number
): Effect.Effect<never> =>
  Effect.suspend(() => {
    let isOver = false
    const aside = new FoldAside(engine.timers)
    const compactor = new Compactor(engine, { ...options, aside }, () => isOver)
    const look = Effect.tryPromise({ try: () => compactor.sweep(), catch: (cause) => cause }).pipe(
      Effect.catch((cause) =>
        Effect.sync(() =>
          engine.complaints.about(
            "compaction",
            `Logs of shapes ${tryAgain(cause instanceof Error ? cause.message : String(cause))}`
          )
        )
      )
    )
    const pause = Effect.gen(function* () {
      const untilMillis = engine.timers.nowMillis() + everyMillis
      do yield* Effect.sleep(Math.min(shortMillis, everyMillis))
      while (!engine.pressure.isShort && engine.timers.nowMillis() < untilMillis)
    })
    const end = Effect.sync(() => {
      isOver = true
      aside.end()
    })
    return Effect.forever(Effect.andThen(pause, look)).pipe(Effect.ensuring(end))
  })
