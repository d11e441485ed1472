import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { onTestFinished } from "vitest"
import { systemTimers } from "../../../src/shared/Timers.ts"
import { Compactor } from "../../../src/storage/compaction/Compactor.ts"
import { FoldAside } from "../../../src/storage/compaction/FoldAside.ts"
import { shapeDir } from "../../../src/storage/disk/StorageDir.ts"
import { ownLevels } from "../../../src/storage/levels/Levels.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { CompactedLog, newReader, type LogReader } from "../../../testing/compaction/CompactedLog.ts"
import { randomHistory } from "../../../testing/compaction/Histories.ts"
import { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"
import { freshSeed, makeRandom, type Random } from "../../../testing/Random.ts"
import {
  definitionOf,
  engineAt,
  type EngineSettings,
  hasty,
  maintenanceOf,
  raisedTo,
  temporaryDirectory
} from "../support.ts"

/** So that a few transactions fill a segment, a file of the log, and memory. */
const small: EngineSettings = { segmentBytes: 3000, chunkBytesThreshold: 1200, timers: hasty }
const eager = {
  garbagePercent: 10,
  leastBytes: 200,
  retentionMillis: 1e9,
  retentionPercent: 1e6,
  share: 1,
  budget: 3000,
  removalDelayMillis: 0
}

class Life {
  readonly said: Array<string> = []
  readonly engine: StorageEngine
  private readonly scope = Scope.makeUnsafe()
  private maintenance: ReturnType<typeof maintenanceOf> | undefined
  private compactor: Compactor | undefined
  private readonly aside: FoldAside | undefined

  constructor(directory: string, settings: EngineSettings, aside: FoldAside | undefined) {
    this.engine = engineAt(directory, { ...small, ...settings, said: this.said })
    this.aside = aside
  }

  async begin(): Promise<void> {
    await this.engine.load()
    await this.engine.takeOver()
    assert.isTrue(await this.engine.settled())
    await this.engine.writing?.raiseLevel(ownLevels.newest, raisedTo(ownLevels.newest))
    this.maintenance = maintenanceOf(this.engine, { indexStepBytes: 500 })
    this.compactor = new Compactor(this.engine, {
      ...eager,
      ...(this.aside === undefined ? {} : { aside: this.aside })
    })
  }

  async round(): Promise<void> {
    if (this.maintenance !== undefined)
      await Effect.runPromise(Scope.provide(this.maintenance.round(), this.scope))
  }

  sweep(): Promise<void> {
    return this.compactor?.sweep() ?? Promise.resolve()
  }

  end(): Promise<void> {
    return Effect.runPromise(Scope.close(this.scope, Exit.void))
  }
}

/** Readers that come and go on, at random, while the log is written and compacted. */
class Activity {
  readonly log: CompactedLog
  private readonly random: Random
  private readonly readers: Array<LogReader> = []
  mayExpire = false

  constructor(random: Random, messages: number) {
    this.random = random
    this.log = new CompactedLog("1-1000", randomHistory(random, messages))
  }

  /** False when all is written. */
  async step(life: Life): Promise<boolean> {
    const { engine } = life
    const { random } = this
    const dice = random.next()
    const shape = engine.store.byHandle(this.log.handle)
    if (shape === undefined) {
      this.readers.length = 0
      this.log.create(engine, definitionOf("items"))
      await engine.settled()
    } else if (dice < 0.7) return this.log.writeNext(engine, shape)
    else if (dice < 0.76) await life.round()
    else if (dice < 0.82) await life.sweep()
    else if (dice < 0.86) this.readers.push(newReader())
    else if (this.readers.length > 0) await this.readSome(engine, random.pick(this.readers), random.int(1, 4))
    return true
  }

  private async readSome(engine: StorageEngine, reader: LogReader, answers: number): Promise<void> {
    // What is not durable may never have been: it is written anew, the same, and the reader goes on.
    for (let n = 0; n < answers; n++) {
      const outcome = await this.log.read(engine, reader)
      if (outcome === "more") continue
      if (outcome === "expired") {
        assert.isTrue(this.mayExpire, "an offset was given up too early")
        this.readers.splice(this.readers.indexOf(reader), 1)
      }
      return
    }
  }

  /** Whoever is somewhere in the log, and who comes, ends with the same rows. */
  async check(engine: StorageEngine): Promise<number> {
    if (engine.store.byHandle(this.log.handle) === undefined) return 0
    const newcomer = newReader()
    for (const reader of [...this.readers, newcomer]) await this.readSome(engine, reader, Infinity)
    return newcomer.messages
  }
}

const failing = (seed: number) => (error: unknown) => {
  throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
}

const firstSeed = Number(process.env["COMPACTION_SEED"] ?? freshSeed())
const seeds = Number(process.env["COMPACTION_SEEDS"] ?? 2)

/** A thread for every log, however small it is. */
const threadOfTest = (): FoldAside => {
  const aside = new FoldAside(systemTimers, 0)
  onTestFinished(() => aside.end())
  return aside
}

const untroubled = async (seed: number, aside: FoldAside | undefined) => {
  const random = makeRandom(seed)
  const directory = temporaryDirectory()
  const activity = new Activity(random.fork(), 600)
  const life = new Life(directory, {}, aside)
  onTestFinished(() => life.end())
  await life.begin()
  const follower = engineAt(directory, small)
  await follower.load()
  follower.follow()
  while (await activity.step(life)) if (random.chance(0.02)) await activity.check(life.engine)
  await activity.check(life.engine)
  // Everything goes to files, and is compacted.
  for (let i = 0; i < 3; i++) {
    await life.round()
    await life.sweep()
  }
  const shape = life.engine.store.byHandle(activity.log.handle)
  assert.isAbove(shape?.compaction?.bases.length ?? 0, 0)
  assert.isAtMost(await activity.check(life.engine), 60)
  await follower.catchUp()
  await activity.check(follower)
  // Nothing is left over.
  const directoryOfShape = shapeDir(life.engine.paths, activity.log.handle)
  const known =
    (shape?.files.length ?? 0) +
    (shape?.compaction?.bases ?? []).reduce((sum, { chunks }) => sum + chunks.length, 0)
  assert.isAtMost(readdirSync(directoryOfShape).length, known + 1)
  assert.isTrue(statSync(join(directoryOfShape)).isDirectory())
  assert.deepStrictEqual(life.said, [])
}

const troubled = async (seed: number, aside: FoldAside) => {
  const random = makeRandom(seed)
  const metaDir = temporaryDirectory()
  const disk = new FaultyDisk([metaDir])
  const activity = new Activity(random.fork(), 400)
  for (let lives = 0; lives < 8; lives++) {
    let isKilled = false
    const settings: EngineSettings = {
      disk: disk.mount({ through: (work) => void (isKilled || work()) }),
      metaDir,
      losesPower: true,
      durableWrites: true
    }
    const life = new Life(FaultyDisk.directory, settings, random.chance(0.5) ? aside : undefined)
    const cut = Promise.withResolvers<boolean>()
    disk.before({ nth: random.int(200, 1500), times: 1 }, () => {
      if (random.chance(0.5)) isKilled = true
      else disk.powerCut(random.chance(0.5) ? random.fork() : undefined)
      cut.resolve(false)
    })
    const live = async () => {
      await life.begin()
      await activity.check(life.engine)
      while (await activity.step(life)) if (random.chance(0.02)) await activity.check(life.engine)
      for (let i = 0; i < 3; i++) {
        await life.round()
        await life.sweep()
      }
      await activity.check(life.engine)
      return true
    }
    const isDone = await Promise.race([cut.promise, live()])
    await life.end()
    if (isDone) return
  }
}

describe("storage that is compacted", () => {
  it("gives readers at every offset what was written, and a newcomer little more than the rows", async () => {
    const aside = threadOfTest()
    for (let n = 0; n < seeds; n++)
      await untroubled((firstSeed + n) >>> 0, n % 2 === 0 ? undefined : aside).catch(failing(firstSeed + n))
  })

  it("is whole after power cuts and kills at any moment", async () => {
    const aside = threadOfTest()
    for (let n = 0; n < seeds; n++) await troubled((firstSeed + n) >>> 0, aside).catch(failing(firstSeed + n))
  })
})
