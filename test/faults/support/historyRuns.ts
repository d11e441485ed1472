import { mkdtempSync, rmSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { type Cluster, startCluster } from "../../../src/dev/EmbeddedPostgres.ts"
import { caughtUp, filesOf, promote } from "../../../testing/postgres/Copies.ts"
import { createDatabase, databaseIn, type TestDatabase } from "../../../testing/postgres/Database.ts"
import type { Random } from "../../../testing/Random.ts"
import type { ShapeLogReader } from "../../../testing/readers/ShapeLog.ts"
import { type DatabaseProxy, startDatabaseProxy } from "../../../testing/services/DatabaseProxy.ts"
import { startService, type TestService } from "../../../testing/services/Service.ts"
import { foundDifferences } from "../../../testing/services/VerifyShapes.ts"
import { every, expectSelected, moods, readersAt, tables } from "./comparedShapes.ts"

export const historyKinds = [
  /** A standby that has everything is promoted. */
  "promote",
  /** One that lacks the last transactions. */
  "lose",
  /** A backup with the slot in it, which nobody has written to since. */
  "restore",
  /** One that is ahead of what was read, in another history. */
  "restoreGrown",
  /** Tables and rows in a cluster that is new. */
  "otherCluster",
  /** The same in the same cluster. */
  "anew",
  "dropSlot"
] as const
export type HistoryKind = (typeof historyKinds)[number]

interface HistoryOptions {
  readonly rounds: number
  readonly kinds: ReadonlyArray<HistoryKind>
  /** Storage stands in a bucket, which is a directory; each instance has a directory of its own. */
  readonly inBucket: boolean
  /** HTTP workers of each instance. */
  readonly workers: number
  readonly random: Random
  readonly say: (text: string) => void
}

interface HistoryReport {
  readonly rounds: number
  /** Comparisons that were cut off by kill -9, and takeovers by an instance that waited. */
  readonly cutOff: number
  readonly handovers: number
  /** Changes that readers were told of. */
  readonly operations: number
}

const newCluster = () => startCluster({ settings: { fsync: "off" } })

/** What happens to a database, a service and its readers. */
class History {
  cutOff = 0
  handovers = 0
  private readonly options: HistoryOptions
  private readonly directory = mkdtempSync(path.join(tmpdir(), "baton-history-"))
  private proxy!: DatabaseProxy
  private cluster!: Cluster
  private database!: TestDatabase
  private services: Array<TestService> = []
  private readonly all: Array<TestService> = []
  private started = 0
  private written = 0
  readers: ReadonlyArray<ShapeLogReader> = []

  constructor(options: HistoryOptions) {
    this.options = options
  }

  async begin(): Promise<void> {
    this.cluster = await newCluster()
    this.proxy = await startDatabaseProxy(() => this.cluster.port)
    this.database = await createDatabase(this.cluster)
    await this.database.query(`${tables};${moods}`)
    const service = await this.start("active")
    this.readers = await readersAt(service.url, every)
  }

  async end(): Promise<void> {
    for (const service of this.services) await service.stop("SIGKILL").catch(() => {})
    await this.proxy.close()
    await this.cluster.destroy()
    rmSync(this.directory, { recursive: true, force: true })
  }

  logs(): string {
    const told = this.all.map((service) =>
      service
        .logs()
        .split("\n")
        .filter((line) => /warning|error|Dropped|Compared|follow other/.test(line))
    )
    return [...told.flat(), ...this.all.slice(-2).map((service) => service.logs().slice(-6000))].join("\n")
  }

  private async start(until: "active" | "waiting" | false): Promise<TestService> {
    const { inBucket, workers } = this.options
    const own = path.join(this.directory, inBucket ? `instance-${this.started++}` : "storage")
    const service = await startService({
      storageDir: own,
      until,
      env: {
        DATABASE_URL: this.proxy.url(this.database.url),
        ELECTRIC_REPLICATION_STREAM_ID: this.database.streamId,
        ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "10000",
        BATON_HTTP_WORKERS: String(workers),
        // What is right is looked at here, not how fast it is on a machine that others use, too.
        BATON_MAX_DECISION_TIME: "20s",
        ...(inBucket ? { BATON_BUCKET: `file://${path.join(this.directory, "bucket")}` } : {})
      }
    })
    this.services.push(service)
    this.all.push(service)
    return service
  }

  private async stopAll(name: "SIGTERM" | "SIGKILL"): Promise<void> {
    for (const service of this.services) await service.stop(name)
    this.services = []
  }

  /**
   * What a client was told and is not durable comes again from the slot; where that is lost at the same time the shape starts over,
   * as it has to. On a disk that takes a millisecond, in a bucket much longer.
   */
  private get beforeLoss(): "SIGTERM" | "SIGKILL" {
    return this.options.inBucket ? "SIGTERM" : "SIGKILL"
  }

  private turnTo(cluster: Cluster): void {
    this.cluster = cluster
    this.database = databaseIn(cluster, this.database.name)
    this.proxy.cut()
  }

  /** Random changes, large and small. */
  private async write(): Promise<void> {
    const { random } = this.options
    for (let n = random.int(1, 6); n > 0; n--) {
      const id = 10_000 + ++this.written
      const [from, person] = [random.int(0, 400), random.int(0, 7)]
      const all = [
        `UPDATE items SET name = 'w${id}' WHERE id BETWEEN ${from} AND ${from + random.int(0, 90)}`,
        `DELETE FROM items WHERE id % 37 = ${random.int(0, 36)}`,
        `INSERT INTO items SELECT ${id}00 + i, i % 5, 'n${id}', NULL FROM generate_series(1, ${random.int(1, 60)}) i`,
        `UPDATE members SET project = ${random.int(0, 4)}, person = ${person} WHERE id % 5 = ${random.int(0, 4)}`,
        `INSERT INTO loose VALUES ('l${id}', ${id}); DELETE FROM loose WHERE "of" % 11 = ${random.int(0, 10)}`,
        `UPDATE people SET feels = '${random.pick(["sad", "fine", "glad"])}', nick = 'N${person}' WHERE id % 7 = ${person}`
      ]
      await this.database.query(random.pick(all))
    }
  }

  /** The same tables, with other rows. */
  private async refill(cluster: Cluster): Promise<TestDatabase> {
    const { random } = this.options
    const database = await createDatabase(cluster, this.database.name)
    const before = random.chance(0.5) ? "CREATE TABLE before (id int); CREATE TYPE other AS ENUM ('x');" : ""
    await database.query(`${before}${random.chance(0.5) ? `${tables};${moods}` : `${moods};${tables}`}`)
    return database
  }

  private async copyOf(cluster: Cluster) {
    await cluster.stop()
    const files = filesOf(cluster)
    await cluster.start()
    return files
  }

  private async failOver(isBehind: boolean): Promise<void> {
    const { random } = this.options
    const primary = this.cluster
    const files = await this.copyOf(primary)
    const standby = await files.startStandby(primary)
    files.remove()
    await this.write()
    await caughtUp(primary, standby)
    if (isBehind) {
      await standby.stop()
      await this.write()
      if (random.chance(0.7)) await this.expectAll()
    }
    await primary.destroy()
    if (isBehind) await standby.start()
    const isLate = random.chance(0.5)
    if (!isLate) await promote(standby)
    this.turnTo(standby)
    // The address leads to the standby before that is a primary.
    if (isLate) {
      await sleep(random.int(0, 1500))
      await promote(standby)
    }
  }

  private async restore(hasGrown: boolean): Promise<void> {
    const old = this.cluster
    const files = await this.copyOf(old)
    await this.write()
    await this.expectAll()
    if (hasGrown) await this.stopAll(this.beforeLoss)
    await old.destroy()
    const restored = await files.start()
    files.remove()
    this.turnTo(restored)
    if (!hasGrown) return
    await this.database.query(
      `INSERT INTO items SELECT 50000000 + i, 7, repeat('y', 300), NULL FROM generate_series(1, 5000) i;
       DELETE FROM items WHERE id > 50000000`
    )
    await this.write()
  }

  private readonly does: Readonly<Record<HistoryKind, () => Promise<void>>> = {
    promote: () => this.failOver(false),
    lose: () => this.failOver(true),
    restore: () => this.restore(false),
    restoreGrown: () => this.restore(true),
    otherCluster: async () => {
      const old = this.cluster
      const next = await newCluster()
      await this.refill(next)
      this.turnTo(next)
      await old.destroy()
    },
    anew: async () => {
      await this.stopAll("SIGTERM")
      await this.database.drop()
      this.database = await this.refill(this.cluster)
    },
    dropSlot: async () => {
      await this.stopAll(this.beforeLoss)
      await this.write()
      const { slotName } = this.database
      await this.database.query(
        `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${slotName}'`
      )
    }
  }

  async round(kind: HistoryKind): Promise<void> {
    const { random } = this.options
    await this.write()
    if (random.chance(0.5)) await this.expectAll()
    const waits = random.chance(0.3)
    if (waits && this.services.length === 1) await this.start("waiting")
    await this.does[kind]()
    if (random.chance(0.4)) await this.cutComparisonOff()
    if (this.services.length === 0) await this.start("active")
    await this.expectAll()
    await this.write()
    await this.expectAll()
    const service = await this.active()
    const differs = await foundDifferences(service.url)
    if (differs !== undefined) throw new Error(differs)
    // One instance from here on, and with some luck another one than before.
    if (this.services.length > 1) {
      this.handovers++
      const others = this.services.filter((one) => one !== service)
      const gone = random.chance(0.5) ? [service] : others
      for (const one of gone) await one.stop(random.chance(0.5) ? "SIGTERM" : "SIGKILL")
      this.services = this.services.filter((one) => !gone.includes(one))
    }
  }

  /** kill -9 of whoever compares, whenever it is; who waits goes on, or who is started next. */
  private async cutComparisonOff(): Promise<void> {
    if (this.services.length === 0) await this.start(false)
    const { random } = this.options
    const began = performance.now()
    const seen = new Map(this.services.map((service) => [service, service.logs().length]))
    const compares = () =>
      this.services.find((service) =>
        service.logs().slice(seen.get(service)).includes("BATON-SHAPE-COMPARED")
      )
    while (compares() === undefined && performance.now() - began < 5000) await sleep(5)
    const victim = compares()
    if (victim === undefined) return
    await sleep(random.int(0, 400))
    await victim.stop("SIGKILL")
    this.services = this.services.filter((service) => service !== victim)
    this.cutOff++
  }

  private async active(): Promise<TestService> {
    for (let tries = 0; ; tries++) {
      for (const service of this.services)
        if ((await service.health())?.body === '{"status":"active"}') return service
      if (tries > 1200) throw new Error("no instance has become active")
      await sleep(50)
    }
  }

  private async expectAll(): Promise<void> {
    const service = await this.active()
    await expectSelected(this.database, this.readers, service.url, every)
  }
}

/**
 * One thing after the other happens to the database, as `historyKinds` says, while readers follow shapes of every kind: each has
 * to end with the rows of `SELECT` under the handle that it has, and to be told of nothing out of order. Instances are killed in
 * the middle of the comparison, or take over from each other. Fails with what went wrong, and in which round.
 */
export const historyRuns = async (options: HistoryOptions): Promise<HistoryReport> => {
  const { kinds, random, rounds, say } = options
  const history = new History(options)
  try {
    await history.begin()
    for (let round = 0; round < rounds; round++) {
      const kind = random.pick(kinds)
      const began = performance.now()
      try {
        await history.round(kind)
      } catch (error) {
        say(history.logs())
        throw new Error(
          `Round ${round}, ${kind}: ${error instanceof Error ? error.message : String(error)}`,
          {
            cause: error
          }
        )
      }
      say(`${round}: ${kind}, ${Math.round(performance.now() - began)} ms`)
    }
    const operations = history.readers.reduce((sum, reader) => sum + reader.operations.length, 0)
    return { rounds, cutOff: history.cutOff, handovers: history.handovers, operations }
  } finally {
    await history.end()
  }
}
