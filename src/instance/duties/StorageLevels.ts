import { randomUUID } from "node:crypto"
import { Context, Deferred, Effect, Latch, Layer, type Scope } from "effect"
import type { ObjectStore } from "../../bucket/ObjectStore.ts"
import { type BatonConfig, Config } from "../../config/BatonConfig.ts"
import { duties } from "../../health/Duties.ts"
import { HealthRef } from "../../health/HealthRef.ts"
import { isWanted } from "../../lock/LockKey.ts"
import { AdminPool } from "../../postgres/connection/Pools.ts"
import { startDuty } from "../../shared/Duty.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import { type StorageFault, fromDisk } from "../../storage/disk/DiskFault.ts"
import { type EpochRecord, readEpochs } from "../../storage/journal/Epochs.ts"
import { isGateClosed } from "../../storage/levels/Gate.ts"
import { decideLevel, type LevelDecision } from "../../storage/levels/LevelDecision.ts"
import {
  forgetFinaliseRequest,
  isFinaliseRequested,
  type LevelRecord,
  readLevelRecord,
  writeLevelRecord
} from "../../storage/levels/LevelFile.ts"
import { newestLevelOf, ownLevels, releaseOf, unsaidLevel } from "../../storage/levels/Levels.ts"
import { BucketPresence } from "../../storage/levels/BucketPresence.ts"
import { Instances, removePresence, writePresence } from "../../storage/levels/Presence.ts"
import { StorageTooNew } from "../../storage/levels/StorageTooNew.ts"
import { bytesBehind, journalFiles } from "../../storage/JournalSize.ts"
import { Storage } from "../../storage/Storage.ts"
import type { StorageEngine } from "../../storage/StorageEngine.ts"
import {
  leftoverLookMillis,
  bucketPresenceAgainMillis,
  bucketPresenceMillis,
  levelLookMillis,
  levelWriteMillis,
  presenceAfterMillis,
  presenceMillis,
  removePresenceMillis
} from "./DutyTimings.ts"

/**
 * Keeps upgrades possible in both directions: says in storage that this instance is there and what it can read, and, while it
 * holds the lock, raises the level of what is stored when nobody needs the lower one any more (`storage/levels`).
 */
export class StorageLevels extends Context.Service<
  StorageLevels,
  {
    /** The lock is held, or waited for, on this connection: others can tell it from that of a release that says nothing. */
    readonly connected: (backendPid: number) => Effect.Effect<void>
    /** The duty of the instance that holds the lock and streams. */
    readonly whileActive: Effect.Effect<never>
    /** Fails when what is stored has become too new for this release, which then cannot go on. */
    readonly tooNew: Effect.Effect<never, StorageTooNew>
  }
>()("baton/instance/duties/StorageLevels") {
  static readonly layer = Layer.effect(
    StorageLevels,
    Effect.gen(function* () {
      const config = yield* Config
      const { engine } = yield* Storage
      const admin = yield* AdminPool
      const tooNew = yield* Deferred.make<never, StorageTooNew>()
      const health = yield* HealthRef
      const presence = new OwnPresence(engine, config.instanceId, health.current)
      // What is in a bucket has had the newest level since it was begun.
      const isShared = config.storage !== "memory" && config.bucket === undefined
      const underWay = new Set<Promise<unknown>>()
      const onDisk = <A>(work: () => Promise<A>) => fromDisk(() => kept(underWay, work()))
      const changed = yield* Latch.make(false)

      const complain = complainOf(engine)

      const say = Effect.gen(function* () {
        yield* changed.close
        yield* onDisk(() => presence.say()).pipe(complain("Saying that this instance is there"))
        const said = yield* fromDisk(() => readLevelRecord(engine.paths)).pipe(
          complain("Reading the level of storage")
        )
        if (said !== undefined && said.level > ownLevels.newest)
          yield* Deferred.fail(
            tooNew,
            new StorageTooNew(said.level, ownLevels.newest, said.raisedBy ?? undefined)
          )
        yield* Effect.raceAllFirst([Effect.sleep(presenceMillis), changed.await, afterChange(health)])
      })
      if (isShared) {
        // What a fiber had begun on the disk goes on after its end, and whoever stops may remove the directory next.
        const leave = async () => {
          await Promise.allSettled(underWay)
          await presence.remove()
        }
        yield* Effect.addFinalizer(() => Effect.ignore(fromDisk(leave)))
        yield* startDuty(duties.presence, Effect.forever(say))
      }

      const { bucket } = engine.options
      if (bucket !== undefined) yield* announceInBucket(bucket, presence.name, config.role, engine, health)

      const wanting = Effect.map(
        admin.query<{ readonly pid: number }>(
          `SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l WHERE ${isWanted(config.slotName)}`
        ),
        (rows) => rows.map(({ pid }) => Number(pid))
      )
      const whileActive = Effect.suspend(() => {
        const work = new LevelWork(engine, presence, {
          windowMillis: config.rollbackWindowMillis,
          drainMillis: config.shutdownGraceMillis,
          floor: floorOf(config.rollbackFloor)
        })
        const look = Effect.gen(function* () {
          if (work.isDone)
            return yield* Effect.andThen(
              Effect.sleep(leftoverLookMillis),
              onDisk(() => work.tidy())
            ).pipe(complain("Removing what instances that are gone have left behind", "it stays meanwhile"))
          const news = yield* wanting.pipe(
            // Without an answer nothing is decided; others say that the database does not answer.
            Effect.orElseSucceed(() => undefined),
            Effect.flatMap((pids) => (pids === undefined ? Effect.undefined : onDisk(() => work.look(pids)))),
            complain("Looking whether storage can be finalised")
          )
          if (news !== undefined) yield* Effect.logInfo(news)
        })
        // A takeover has more urgent things to ask of the database and the disk, if there are shapes.
        const first = engine.store.count === 0 ? Effect.void : pause
        return Effect.andThen(first, Effect.forever(Effect.andThen(look, pause)))
      })

      return StorageLevels.of({
        connected: (backendPid) =>
          Effect.suspend(() => {
            presence.backendPid = backendPid
            return Effect.asVoid(changed.open)
          }),
        whileActive: isShared ? whileActive : Effect.never,
        tooNew: Deferred.await(tooNew)
      })
    })
  )
}

const complainOf =
  (engine: StorageEngine) =>
  (what: string, meanwhile = "storage is not finalised meanwhile") =>
    Effect.catch(({ message }: StorageFault) =>
      Effect.sync(() => {
        const line = `${what} failed: ${message}. It is tried again; ${meanwhile}, and nothing else depends on it.`
        engine.complaints.about("level", line, what)
        return undefined
      })
    )

/** Until the scope ends, whose end removes it. */
const announceInBucket = (
  bucket: ObjectStore,
  name: string,
  role: BatonConfig["role"],
  engine: StorageEngine,
  health: HealthRef["Service"]
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const own = new BucketPresence(bucket, name)
    const sayThere = fromDisk(() => own.say({ release: batonVersion, ...ownLevels, role })).pipe(
      Effect.as(bucketPresenceMillis),
      complainOf(engine)("Saying in the bucket that this instance is there"),
      Effect.flatMap((millis) => Effect.sleep(millis ?? bucketPresenceAgainMillis))
    )
    // A stop waits for no bucket: what is left is removed after a day.
    const remove = Effect.interruptible(fromDisk(() => own.remove()))
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(remove, removePresenceMillis)))
    // Before that the start finds out whether the bucket can be used at all, and says so.
    const isStarted = health.awaitState((state) => state !== "starting", "1000 weeks")
    yield* startDuty(duties.presence, Effect.andThen(isStarted, Effect.forever(sayThere)))
  })

/** The work is in the set for as long as it goes on. */
const kept = <A>(underWay: Set<Promise<unknown>>, work: Promise<A>): Promise<A> => {
  underWay.add(work)
  return work.finally(() => underWay.delete(work))
}

/** Whoever looks at other instances is to see soon that this one drains; what is more urgent comes first. */
const afterChange = (health: HealthRef["Service"]): Effect.Effect<void> =>
  Effect.suspend(() => {
    const now = health.current()
    const isOther = health.awaitState((state) => state !== now, presenceMillis)
    return Effect.andThen(isOther, Effect.sleep(presenceAfterMillis))
  })

/** The journal is there from its beginning, and all who have written it know the newest level. */
const isBegunHere = (epochs: ReadonlyArray<EpochRecord>): boolean =>
  epochs[0]?.previous === null && epochs.every(({ newest = unsaidLevel }) => newest >= ownLevels.newest)

const pause = Effect.sleep(levelLookMillis)

const floorOf = (release: string | undefined): number | undefined =>
  release === undefined ? undefined : (newestLevelOf(release) ?? ownLevels.oldest)

/** What this process says of itself, under a name that no other one has. */
class OwnPresence {
  readonly name = randomUUID()
  backendPid: number | null = null
  private beat = 0
  private readonly engine: StorageEngine
  private readonly instanceId: string
  private readonly state: () => string

  constructor(engine: StorageEngine, instanceId: string, state: () => string) {
    this.engine = engine
    this.instanceId = instanceId
    this.state = state
  }

  /** Where there is no storage yet, nobody looks. */
  async say(): Promise<void> {
    const { paths } = this.engine
    if ((await paths.disk.stat(paths.root)) === undefined) return
    const { backendPid, engine } = this
    const followerLagBytes =
      engine.writer === undefined ? bytesBehind(await journalFiles(paths), engine.at) : undefined
    await writePresence(paths, this.name, {
      release: batonVersion,
      ...ownLevels,
      backendPid,
      beat: this.beat++,
      instanceId: this.instanceId,
      state: this.state(),
      ...(followerLagBytes === undefined ? {} : { followerLagBytes })
    })
  }

  remove(): Promise<void> {
    return removePresence(this.engine.paths, this.name)
  }
}

/** The looks of one turn as holder of the lock. */
class LevelWork {
  isDone = false
  private readonly engine: StorageEngine
  private readonly presence: OwnPresence
  private readonly settings: {
    readonly windowMillis: number
    readonly drainMillis: number
    readonly floor: number | undefined
  }
  private readonly instances: Instances
  private record: LevelRecord | undefined
  private wroteMillis = -Infinity
  /** Connections without a name at the last look: one that has just been made may not have said who it is. */
  private silentBefore: ReadonlySet<number> = new Set()

  constructor(engine: StorageEngine, presence: OwnPresence, settings: LevelWork["settings"]) {
    this.engine = engine
    this.presence = presence
    this.settings = settings
    this.instances = new Instances(engine.paths, engine.timers.nowMillis)
  }

  /** Looks once, with the backends that hold the lock or wait for it. What is to be said about it, where that is new. */
  async look(wanting: ReadonlyArray<number>): Promise<string | undefined> {
    const { engine, presence } = this
    const { paths, store, writing } = engine
    if (writing === undefined) return undefined
    const now = engine.timers.epochMillis()
    const before = this.record ?? (await this.firstRecord(now))
    const others = await this.instances.others(presence.name)
    const named = new Set([presence.backendPid, ...others.map(({ backendPid }) => backendPid)])
    const silent = new Set(wanting.filter((pid) => !named.has(pid)))
    const lastSeen: Record<number, number> = { ...before.lastSeen }
    for (const { newest } of others) if (newest < ownLevels.newest) lastSeen[newest] = now
    if ([...silent].some((pid) => this.silentBefore.has(pid))) lastSeen[unsaidLevel] = now
    this.silentBefore = silent
    const stored = Math.max(store.level, before.level)
    const decision = decideLevel({
      stored,
      isGateClosed: await isGateClosed(paths),
      own: ownLevels,
      floor: this.settings.floor,
      participants: others,
      silent: silent.size,
      lastSeen,
      isOwn: before.isOwn === true,
      sinceMillis: before.sinceMillis,
      nowMillis: now,
      windowMillis: this.settings.windowMillis,
      drainMillis: this.settings.drainMillis,
      isForced: await isFinaliseRequested(paths)
    })
    return this.follow(decision, { ...before, level: stored, lastSeen }, now)
  }

  /** Nothing is to be decided any more; what instances that are gone have left behind is removed all the same. */
  async tidy(): Promise<void> {
    if (this.engine.writing !== undefined) await this.instances.others(this.presence.name)
  }

  /** What storage says; whose turn it was before this one is a sight, too. */
  private async firstRecord(now: number): Promise<LevelRecord> {
    const { paths, store } = this.engine
    const epochs = await readEpochs(paths, 0)
    const known = (await readLevelRecord(paths)) ?? {
      level: store.level,
      raisedBy: null,
      raisedAtMillis: null,
      sinceMillis: now,
      lastSeen: {},
      ...(isBegunHere(epochs) ? { isOwn: true } : {}),
      holds: null
    }
    const previous = epochs.at(-1)?.previous?.epoch
    const holder = epochs.find(({ epoch }) => epoch === previous)
    const newest = holder === undefined ? ownLevels.newest : (holder.newest ?? unsaidLevel)
    if (newest >= ownLevels.newest) return known
    return { ...known, isOwn: false, lastSeen: { ...known.lastSeen, [newest]: now } }
  }

  private async follow(
    decision: LevelDecision,
    record: LevelRecord,
    now: number
  ): Promise<string | undefined> {
    const { paths, writing } = this.engine
    switch (decision._tag) {
      case "Newest":
        await this.write({ ...record, holds: null })
        await forgetFinaliseRequest(paths)
        this.isDone = true
        return undefined
      case "Raise": {
        const raised = {
          ...record,
          level: decision.to,
          raisedBy: batonVersion,
          raisedAtMillis: now,
          holds: null
        }
        if ((await writing?.raiseLevel(decision.to, raised)) !== true) return undefined
        this.record = raised
        return `Storage is finalised: it has level ${decision.to} from now on. Releases before ${releaseOf(decision.to) ?? batonVersion} refuse to start on it; going back to them takes an empty ELECTRIC_STORAGE_DIR.`
      }
      case "Hold": {
        const { because, untilMillis = null } = decision
        const isNews = record.holds?.because !== because
        await this.write({ ...record, holds: { because, untilMillis } })
        if (!isNews) return undefined
        const until = untilMillis === null ? "" : ` until ${new Date(untilMillis).toISOString()}`
        return `Storage keeps level ${record.level}, which releases from ${releaseOf(record.level)} on can take over${until}: ${because}. Nothing is to be done; "baton finalise" ends it sooner.`
      }
    }
  }

  /** Only what is news, and from time to time when somebody older was seen last. */
  private async write(record: LevelRecord): Promise<void> {
    const { before, now } = { before: this.record, now: this.engine.timers.nowMillis() }
    this.record = record
    const isSame =
      before !== undefined &&
      before.level === record.level &&
      before.holds?.because === record.holds?.because &&
      now - this.wroteMillis < levelWriteMillis
    if (isSame || (await this.engine.isFenced())) return
    await writeLevelRecord(this.engine.paths, record)
    this.wroteMillis = now
  }
}
