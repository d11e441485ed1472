import { cpSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { snapshotEnd } from "../../../src/shapes/LogOffset.ts"
import { ownLevels } from "../../../src/storage/levels/Levels.ts"
import type { Maintenance } from "../../../src/storage/Maintenance.ts"
import type { StorageEngine } from "../../../src/storage/StorageEngine.ts"
import { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { freshSeed, makeRandom, type Random } from "../../../testing/Random.ts"
import {
  changes,
  engineAt,
  hasty,
  maintenanceOf,
  openEngine,
  raisedTo,
  readAll,
  temporaryDirectory,
  writingEngine
} from "../support.ts"
import { Session, Source } from "./lane.ts"

/** The log of each shape is what Postgres sent; with `whole` all of it, else a part from the beginning. */
const checkLogs = async (engine: StorageEngine, source: Source, whole: boolean): Promise<void> => {
  const { behindLsn, lastCommitLsn } = engine.store
  for (const known of source.shapes) {
    const live = engine.live(known.shape)
    if (live === undefined) throw new Error(`shape ${known.shape.handle} is lost`)
    const log = changes(await readAll(engine, live, snapshotEnd))
    const expected = source.logOf(known)
    if (whole) {
      assert.deepStrictEqual(log, expected)
      continue
    }
    assert.deepStrictEqual(log, expected.slice(0, log.length))
    const upTo = known.isMember && behindLsn !== undefined ? behindLsn : lastCommitLsn
    const what = `${known.isMember ? "member" : "plain"} shape ${known.shape.handle}, behind ${behindLsn}, last ${lastCommitLsn}`
    assert.deepStrictEqual(log.slice(0, source.logOf(known, upTo).length), source.logOf(known, upTo), what)
  }
}

/** One process that writes, with another that reads along. */
class Life {
  readonly engine: StorageEngine
  readonly follower: StorageEngine
  private readonly maintenance: Maintenance
  private readonly scope = Scope.makeUnsafe()
  /** The power is cut, or it has ended: whatever is still under way in it must do nothing more. */
  isOver = false

  constructor(disk: FaultyDisk, metaDir: string, chunkBytesThreshold: number) {
    const settings = {
      disk: disk.mount(),
      metaDir,
      losesPower: true,
      durableWrites: true,
      segmentBytes: 1500,
      chunkBytesThreshold,
      timers: hasty,
      said: []
    }
    this.engine = engineAt(FaultyDisk.directory, settings)
    this.follower = engineAt(FaultyDisk.directory, { ...settings, disk: disk.mount() })
    this.maintenance = maintenanceOf(this.engine, { indexStepBytes: 200, removalDelayMillis: 100_000 })
  }

  async begin(): Promise<void> {
    await this.engine.load()
    await this.engine.takeOver()
    await this.engine.writing?.raiseLevel(ownLevels.newest, raisedTo(ownLevels.newest))
    await this.follower.load()
    this.follower.follow()
  }

  round(): Promise<void> {
    return Effect.runPromise(Scope.provide(this.maintenance.round(), this.scope))
  }

  end(): Promise<void> {
    this.isOver = true
    return Effect.runPromise(Scope.close(this.scope, Exit.void))
  }
}

/** What waits in a life that is over waits for ever. */
const never = new Promise<never>(() => {})

const live = async (life: Life, source: Source, random: Random, steps: number): Promise<void> => {
  const { engine, follower } = life
  await life.begin()
  assert.isTrue(
    engine.store.resumeLsn >= source.acknowledgedLsn,
    `Postgres was told of ${source.acknowledgedLsn}, storage has ${engine.store.resumeLsn}`
  )
  await checkLogs(engine, source, false)
  let session = new Session(engine, source, random)
  for (let step = 0; step < steps; step++) {
    if (life.isOver) return never
    const dice = random.next()
    if (dice < 0.45) session.receive()
    else if (dice < 0.8) session.process()
    else if (dice < 0.85) await life.round()
    else if (dice < 0.88) {
      await follower.catchUp()
      await checkLogs(follower, source, false)
    } else if (dice < 0.9 && session.canCreate && source.shapes.length < 6) {
      const known = session.create(random.chance(0.6))
      if ((await engine.settled()) && !life.isOver) source.shapes = [...source.shapes, known]
    } else if (dice < 0.91 && session.isIdle) {
      // The stream breaks off, and is begun once more by the same writer.
      session.close()
      session = new Session(engine, source, random)
    } else if (dice < 0.95) await engine.settled()
    else await new Promise((resolve) => setImmediate(resolve))
    assert.isFalse(
      engine.store.behindLsn !== undefined && source.acknowledgedLsn > engine.store.behindLsn,
      "nothing is acknowledged that shapes lack"
    )
  }
  if (life.isOver) return never
  while (!session.hasAll) {
    if (session.hasMore) session.receive()
    session.process()
  }
  await engine.settled()
  if (life.isOver) return never
  await checkLogs(engine, source, true)
  await eventually("the follower has it, too", async () => {
    await follower.catchUp()
    return (
      follower.store.behindLsn === undefined && follower.store.lastCommitLsn === engine.store.lastCommitLsn
    )
  })
  await checkLogs(follower, source, true)
  session.close()
}

const run = async (seed: number): Promise<void> => {
  const random = makeRandom(seed)
  const metaDir = temporaryDirectory()
  const disk = new FaultyDisk([metaDir])
  const source = new Source(random.fork())
  const chunkBytesThreshold = random.pick([400, 2000, 10_000])
  for (let lives = 0; lives < 5; lives++) {
    const life = new Life(disk, metaDir, chunkBytesThreshold)
    const cut = Promise.withResolvers<"cut">()
    const leftovers = random.chance(0.3) ? "nothing" : random.fork()
    const powerCut = () => {
      if (life.isOver) return
      life.isOver = true
      disk.powerCut(leftovers)
      cut.resolve("cut")
    }
    disk.before({ nth: random.int(30, 600), times: 1 }, powerCut)
    await Promise.race([cut.promise, live(life, source, random.fork(), 400).then(powerCut)])
    disk.heal()
    await life.end()
  }
  const last = new Life(disk, metaDir, chunkBytesThreshold)
  await live(last, source, random.fork(), 100)
  await last.end()
  await last.engine.close()
  await last.follower.close()
}

const seeds = Number(process.env["LATE_SEEDS"] ?? 8)

describe("late transactions", () => {
  it("leave every shape with the log that Postgres sent, whatever comes between and whatever is lost", async () => {
    const first = Number(process.env["LATE_SEED"] ?? freshSeed())
    for (let n = 0; n < seeds; n++) {
      const seed = (first + n) >>> 0
      try {
        await run(seed)
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
      }
    }
  })

  it("are taken whole or not at all, wherever the journal is cut off", async () => {
    const seed = Number(process.env["LATE_SEED"] ?? freshSeed())
    const random = makeRandom(seed)
    const path = temporaryDirectory()
    const engine = await writingEngine(path)
    await engine.writing?.raiseLevel(ownLevels.newest, raisedTo(ownLevels.newest))
    const source = new Source(random.fork())
    const session = new Session(engine, source, random)
    source.shapes = [false, true, true].map((isMember) => session.create(isMember))
    const from = engine.writer?.position ?? 0
    for (let step = 0; (engine.writer?.position ?? 0) < from + 2000; step++)
      if (random.chance(0.5)) session.receive()
      else session.process()
    await engine.writer?.durable()
    session.close()
    await engine.close()
    const { journal } = engine.paths
    const segment = readdirSync(journal).toSorted().at(-1) ?? ""
    const { length } = readFileSync(join(journal, segment))
    for (let end = from + random.int(0, 30); end <= length; end += 31) {
      const copy = temporaryDirectory()
      cpSync(path, copy, { recursive: true })
      truncateSync(join(copy, journal.slice(path.length), segment), end)
      try {
        const cut = await openEngine(copy)
        await checkLogs(cut, source, false)
        await cut.takeOver()
        const again = new Session(cut, source.copy(random.fork()), random)
        while (!again.hasAll) {
          if (again.hasMore) again.receive()
          again.process()
        }
        await checkLogs(cut, source, true)
        again.close()
        await cut.close()
      } catch (error) {
        throw new Error(`seed ${seed}, cut off at ${end}: ${String(error)}`, { cause: error })
      }
      rmSync(copy, { recursive: true, force: true })
    }
  })
})
