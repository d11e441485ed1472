import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { SnapshotWriter } from "../../src/registry/snapshot/SnapshotWriter.ts"
import { beforeAll as fromTheBeginning } from "../../src/shapes/LogOffset.ts"
import type { ShapeHandle } from "../../src/storage/ShapeLogs.ts"
import type { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { isGateClosed } from "../../src/storage/levels/Gate.ts"
import { gatedLevel, ownLevels } from "../../src/storage/levels/Levels.ts"
import { Maintenance } from "../../src/storage/Maintenance.ts"
import { FaultyDisk } from "../../testing/disk/FaultyDisk.ts"
import { patient } from "../../testing/Load.ts"
import { freshSeed, makeRandom, type Random } from "../../testing/Random.ts"
import {
  changes,
  definitionOf,
  engineAt,
  hasty,
  maintenanceOf,
  raisedTo,
  readAll,
  temporaryDirectory,
  writeTransaction
} from "./support.ts"

const rowsPerWrite = 200

const rowOf = (n: number): string =>
  `${n === 0 || n === 3 * rowsPerWrite ? "" : ","}{"key":"${n}","value":"${"v".repeat(80)}","headers":{}}`

/** What was promised of a shape. */
interface Promised {
  readonly shape: ShapeHandle
  /** Rows of its snapshot. */
  readonly rows: number
  /** Somebody was told that it is there, so it stays. */
  isAnnounced: boolean
  /** It was to be dropped: it may be gone, and must be when `isGone`. */
  isDropped: boolean
  isGone: boolean
  /** All its transactions, of which those up to `durableLsn` must never be lost. */
  lsns: Array<number>
}

/** One process that writes, until it is killed or the power is cut. */
class Life {
  readonly said: Array<string> = []
  private isKilled = false
  readonly engine: StorageEngine
  private readonly maintenance: Maintenance
  private readonly scope = Scope.makeUnsafe()

  constructor(disk: FaultyDisk, metaDir: string) {
    this.engine = engineAt(FaultyDisk.directory, {
      disk: disk.mount({
        through: (work) => {
          if (!this.isKilled) work()
        }
      }),
      metaDir,
      losesPower: true,
      durableWrites: true,
      segmentBytes: 3000,
      chunkBytesThreshold: 2000,
      timers: hasty,
      said: this.said
    })
    this.maintenance = maintenanceOf(this.engine, { indexStepBytes: 500 })
  }

  async begin(): Promise<void> {
    await this.engine.load()
    await this.engine.takeOver()
    // What it has read is there to stay from now on, and what it has not read does not come again.
    assert.isTrue(await this.engine.settled())
  }

  round(): Promise<void> {
    return Effect.runPromise(Scope.provide(this.maintenance.round(), this.scope))
  }

  /** None of its calls completes any more. */
  kill(): void {
    this.isKilled = true
  }

  /** SQLite lets go of its file as it would if the process were killed. */
  end(): Promise<void> {
    return Effect.runPromise(Scope.close(this.scope, Exit.void))
  }
}

/** Writes at random, and remembers what it was told. It knows what Postgres knows: what was acknowledged. */
class Activity {
  readonly promised = new Map<string, Promised>()
  durableLsn = 0
  /** What is stored was said to be of this level. */
  level: number = ownLevels.oldest
  private lsn = 0
  private nextHandle = 1000
  private readonly random: Random

  constructor(random: Random) {
    this.random = random
  }

  private alive(): ReadonlyArray<Promised> {
    return [...this.promised.values()].filter((each) => !each.isDropped)
  }

  /** Postgres sends again what came after the last position that storage holds. */
  beginAgain({ store }: StorageEngine): void {
    this.lsn = Number(store.lastCommitLsn) / 100
  }

  async step(life: Life): Promise<void> {
    const { random } = this
    const { engine } = life
    const dice = random.next()
    if (dice < 0.1 && this.alive().length < 5) await this.create(engine)
    else if (dice < 0.13) await this.drop(engine)
    else if (dice < 0.6) this.transaction(engine)
    else if (dice < 0.8) {
      const { lsn } = this
      const alive = this.alive()
      if (await engine.settled()) {
        this.durableLsn = Math.max(this.durableLsn, lsn)
        for (const each of alive) each.isAnnounced ||= engine.live(each.shape)?.snapshotComplete === true
      }
    } else if (dice < 0.88) await life.round()
    else if (dice < 0.9) {
      if (await engine.writing?.raiseLevel(ownLevels.newest, raisedTo(ownLevels.newest)))
        this.level = ownLevels.newest
    } else await new Promise((resolve) => setImmediate(resolve))
  }

  private async create(engine: StorageEngine): Promise<void> {
    const id = engine.store.nextId
    const handle = `${id}-${++this.nextHandle}`
    engine.writing?.write({ t: "created", id, handle, definition: definitionOf(handle), atMillis: 1 })
    engine.writing?.write({ t: "visible", id, visibility: { xmin: "1", xmax: "1", xipList: [] } })
    const shape = engine.store.get(id)
    if (shape === undefined) throw new Error("not created")
    const rows = this.random.pick([1, 20, 800])
    const promised = { shape, rows, isAnnounced: false, isDropped: false, isGone: false, lsns: [] }
    this.promised.set(handle, promised)
    const output = new SnapshotWriter(engine, shape, () => {})
    for (let n = 0; n < rows; n += rowsPerWrite) {
      const some = Array.from({ length: Math.min(rowsPerWrite, rows - n) }, (_, i) => rowOf(n + i))
      await Effect.runPromise(output.sink.write(Buffer.from(some.join(""))))
      if (rows > rowsPerWrite && n === 2 * rowsPerWrite) await Effect.runPromise(output.sink.endChunk())
    }
    await Effect.runPromise(output.sink.end())
    promised.isAnnounced = true
    await Effect.runPromise(output.close)
  }

  private async drop(engine: StorageEngine): Promise<void> {
    const alive = this.alive()
    if (alive.length < 2) return
    const each = this.random.pick(alive)
    each.isDropped = true
    engine.writing?.write({ t: "dropped", ids: [each.shape.id], reason: "the test wants it" })
    if (await engine.settled()) each.isGone = true
  }

  private transaction(engine: StorageEngine): void {
    const alive = this.alive().filter((each) => engine.live(each.shape) !== undefined)
    if (alive.length === 0) return
    const some = alive.filter(() => this.random.chance(0.6))
    // Nothing is written for a transaction that concerns nobody.
    if (some.length === 0) return
    const lsn = ++this.lsn
    writeTransaction(
      engine,
      BigInt(lsn * 100),
      some.map((each, op) => ({ op, ids: [each.shape.id], padding: this.random.int(0, 300) }))
    )
    for (const each of some) each.lsns.push(lsn)
  }

  /**
   * Storage holds what was promised, and nothing but what was written. A disk that forgets what it has refused to sync, an instance
   * that has read that and was killed before it could write it once more, and then a power cut: that costs shapes, and is said.
   */
  async check({ engine, said }: Life): Promise<void> {
    const isDamaged = said.some((line) => /A record is damaged in journal segment/.test(line))
    const has = Number(engine.store.lastCommitLsn) / 100
    assert.isAtLeast(engine.store.level, this.level)
    // Nothing of a new level stands where the first release would read it.
    if (engine.store.level >= gatedLevel) assert.isTrue(await isGateClosed(engine.paths))
    assert.isAtLeast(Number(engine.store.positionLsn), this.durableLsn === 0 ? 0 : this.durableLsn * 100)
    for (const [handle, each] of this.promised) {
      const found = engine.store.byHandle(handle)
      if (found === undefined) {
        const mayBeGone = each.isDropped || !each.isAnnounced || isDamaged
        assert.isTrue(mayBeGone, `shape ${handle} was announced, and is lost`)
        this.promised.delete(handle)
        continue
      }
      assert.isFalse(each.isGone, `shape ${handle} was dropped, and is there again`)
      each.isDropped = false
      const all = await readAll(engine, found, fromTheBeginning)
      const rows = all.messages.filter((message) => message.headers.lsn === undefined)
      assert.strictEqual(
        rows.length,
        each.rows + (rows.at(-1)?.headers.control === undefined ? 0 : 1),
        handle
      )
      // What was written and is not here comes again from Postgres.
      each.lsns = each.lsns.filter((lsn) => lsn <= has)
      assert.deepStrictEqual(
        changes(all).map((change) => Number(change.split("_")[0]) / 100),
        each.lsns,
        handle
      )
    }
    assert.strictEqual(engine.store.count, this.promised.size)
  }
}

type End = (life: Life, disk: FaultyDisk, random: Random) => void

/** What writers of the journal sync, again and again until it works; everything else is done anew when it fails. */
const ofWriters = /journal\/|epochs\/0/

/** Lives one after the other on one disk, each ended at a random call; some syncs fail. At last the power is cut. */
const run = async (seed: number, end: End): Promise<void> => {
  const random = makeRandom(seed)
  const metaDir = temporaryDirectory()
  const disk = new FaultyDisk([metaDir])
  const activity = new Activity(random.fork())
  for (let lives = 0; lives < 6; lives++) {
    const life = new Life(disk, metaDir)
    const cut = Promise.withResolvers<"cut">()
    disk.before({ nth: random.int(1, lives === 0 ? 600 : 300), times: 1 }, () => {
      end(life, disk, random)
      cut.resolve("cut")
    })
    const times = random.pick([0, 0, 1, 3, 30])
    const fault = disk.fail({ operation: "sync", path: ofWriters, nth: random.int(1, 20), times })
    const live = async () => {
      await life.begin()
      await activity.check(life)
      activity.beginAgain(life.engine)
      for (;;) await activity.step(life)
    }
    await Promise.race([cut.promise, live()])
    fault.end()
    await life.end()
  }
  disk.powerCut()
  const last = new Life(disk, metaDir)
  await last.begin()
  await activity.check(last)
  await last.end()
  await last.engine.close()
}

const seeds = Number(process.env["POWER_CUT_SEEDS"] ?? 5)

/** One takes a quarter of a second. Whoever waits for ever is to say with which seed. */
const inTime = async (running: Promise<void>): Promise<void> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error("it does not end")), patient(45_000))
  await Promise.race([running, late.promise]).finally(() => clearTimeout(timer))
}

const ends: ReadonlyArray<readonly [string, End]> = [
  ["power cuts that leave nothing", (_, disk) => disk.powerCut()],
  ["power cuts that leave some", (_, disk, random) => disk.powerCut(random.fork())],
  // What was read of the dead one's journal was perhaps never synced, or its sync has failed.
  [
    "kills, and power cuts among them",
    (life, disk, random) => (random.chance(0.7) ? life.kill() : disk.powerCut(random.fork()))
  ]
]

describe("storage has all that was promised", () => {
  for (const [what, end] of ends)
    it(`after ${what}, at any moment, on a disk whose syncs may fail`, async () => {
      const first = Number(process.env["POWER_CUT_SEED"] ?? freshSeed())
      for (let n = 0; n < seeds; n++) {
        const seed = (first + n) >>> 0
        try {
          await inTime(run(seed, end))
        } catch (error) {
          throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
        }
      }
    })
})
