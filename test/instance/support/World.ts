import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { Effect, Exit, type Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { BatonConfig } from "../../../src/config/BatonConfig.ts"
import { abilities } from "../../../src/health/HealthState.ts"
import { handBackMillis } from "../../../src/instance/InstanceTimings.ts"
import { storagePaths } from "../../../src/storage/disk/StorageDir.ts"
import { type Received, testConfig } from "../../http/support/harness.ts"
import { FakePostgres, type Row, type WalTransaction } from "./FakePostgres.ts"
import { FaultyDisk } from "../../../testing/disk/FaultyDisk.ts"
import type { Leftovers } from "../../../testing/disk/MemoryTree.ts"
import { highestClaimOnDisk, positionOnDisk } from "./journalTruth.ts"
import { Client, type Progress } from "./Client.ts"
import { tooLargeBytes } from "./FakeWalsender.ts"
import { Member } from "./Member.ts"
import { settled, VirtualTime } from "./VirtualTime.ts"

export interface WorldOptions {
  /** Of the server. Default 10 s; 0: never. */
  readonly walSenderTimeoutMillis?: number
  readonly config?: Partial<BatonConfig>
}

const stampOf = (directory: string, name: string): string => {
  const { mtimeNs, size } = statSync(join(directory, name), { bigint: true })
  return `${name} ${size} ${mtimeNs}`
}

/** Saying goodbye to the database, after which the state is another one. */
const goodbyeMillis = 100

/**
 * A database server, a disk, and instances of the service, in virtual time. Whatever the test makes happen,
 * the promises that hold at every moment are checked at every moment (`check`).
 */
export class World {
  readonly time: VirtualTime
  readonly server: FakePostgres
  /** Where SQLite has its files. */
  private readonly metaDir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "baton-world-"))
  readonly disk = new FaultyDisk([this.metaDir])
  readonly members: Array<Member> = []
  /** What has been acknowledged without being on disk. */
  private readonly violations: Array<string> = []
  /** Since when instances say that they are active, and do not write. */
  private readonly idleSince = new Map<Member, number>()
  private readonly config: BatonConfig
  private readonly scope = Scope.makeUnsafe()
  private nextNumber = 1
  acknowledgements = 0
  private powerCuts = 0

  private constructor(time: VirtualTime, scope: Scope.Closeable, options: WorldOptions) {
    this.time = time
    this.scope = scope
    this.server = new FakePostgres({ time, walSenderTimeoutMillis: options.walSenderTimeoutMillis ?? 10_000 })
    this.config = testConfig({
      storageDir: FaultyDisk.directory,
      shapeDbStorageDir: this.metaDir,
      replicationStreamId: "default",
      allowShapeDeletion: true,
      maxTransactionBytes: tooLargeBytes,
      ...options.config
    })
  }

  static async make(options: WorldOptions = {}): Promise<World> {
    const scope = Scope.makeUnsafe()
    const clock = await Effect.runPromise(Scope.provide(TestClock.make(), scope))
    return new World(new VirtualTime(clock), scope, options)
  }

  get paths() {
    return storagePaths(FaultyDisk.directory, "default", this.metaDir)
  }

  /** Runs the test in a world of its own, and says what happened there when it fails. */
  static async run<A>(options: WorldOptions, test: (world: World) => Promise<A>): Promise<A> {
    const world = await World.make(options)
    try {
      return await test(world)
    } catch (error) {
      if (error instanceof Error) error.message += `\n${world.story()}`
      throw error
    } finally {
      await world.close()
    }
  }

  story(): string {
    return this.members
      .map((m) => `${m.name} (${m.state})\n${m.log.map((line) => `  ${line}`).join("\n")}`)
      .join("\n")
  }

  async close(): Promise<void> {
    this.disk.heal()
    for (const member of this.members) {
      if (member.isKilled) continue
      member.thaw()
      await this.closed(member)
    }
    await Effect.runPromise(Scope.close(this.scope, Exit.void))
    await settled()
    rmSync(this.metaDir, { recursive: true, force: true })
  }

  /** A writer that waits before it tries again is closed after that, so time has to pass. */
  private async closed(member: Member): Promise<void> {
    const closing = Effect.runFork(Effect.ignore(Effect.tryPromise(() => member.close())))
    const began = this.time.now
    for (await settled(); closing.pollUnsafe() === undefined; await this.time.step(this.time.now + 1000))
      assert.isBelow(this.time.now - began, 60_000, `${member.name} is not closed`)
  }

  async start(name: string): Promise<Member> {
    const { powerCuts } = this
    const member = await Member.start({
      name,
      time: this.time,
      server: this.server,
      config: this.config,
      disk: this.disk,
      onAcknowledge: (who, lsn) => this.acknowledged(who, lsn)
    })
    this.members.push(member)
    // In the middle of its start.
    if (this.powerCuts > powerCuts) member.kill()
    return member
  }

  private acknowledged(who: string, lsn: bigint): void {
    this.acknowledgements++
    const durable = this.durableLsn
    if (lsn > durable) this.violations.push(`${who} acknowledged ${lsn} when ${durable} was durable`)
  }

  /** How far the journal would reach after a power cut at this moment. */
  get durableLsn(): bigint {
    return positionOnDisk(this.disk, this.paths)
  }

  /** All names and sizes in storage. */
  listing(): ReadonlyArray<string> {
    const beside = readdirSync(this.metaDir, { recursive: true, encoding: "utf8" }).toSorted()
    return [...this.disk.listing(), ...beside.map((name) => stampOf(this.metaDir, name))]
  }

  /** The machine of all instances loses its power: they are dead, and what was not durable is gone. */
  powerCut(leftovers: Leftovers): void {
    this.powerCuts++
    for (const member of this.members) if (!member.isKilled) member.kill()
    this.disk.powerCut(leftovers)
  }

  /** Lets time pass, checking all the while. */
  async advance(millis: number): Promise<void> {
    await this.time.advance(millis, () => this.check())
  }

  /** Lets time pass until `condition` holds; fails after `limitMillis`. Returns how long it took. */
  async until(what: string, condition: () => boolean, limitMillis = 60_000): Promise<number> {
    const began = this.time.now
    await settled()
    while (!condition()) {
      if (this.time.now - began >= limitMillis) assert.fail(`${what} did not come true in ${limitMillis} ms`)
      await this.time.step(began + limitMillis)
      this.check()
    }
    return this.time.now - began
  }

  /** Lets time pass until the fiber has ended. */
  async result<A, E>(fiber: Fiber.Fiber<A, E>, limitMillis = 60_000): Promise<Exit.Exit<A, E>> {
    await this.until("the end of a fiber", () => fiber.pollUnsafe() !== undefined, limitMillis)
    return fiber.pollUnsafe() ?? assert.fail("no result")
  }

  /** What holds at every moment at which nothing is under way. */
  check(): void {
    assert.deepStrictEqual(this.violations, [])
    const past: Array<string> = []
    const highest = highestClaimOnDisk(this.disk, this.paths)
    for (const member of this.members) {
      if (member.isKilled) continue
      const writer = member.engine.writer
      const isPast = writer !== undefined && highest <= writer.epoch
      if (isPast) past.push(member.name)
      if (member.isFrozen) {
        this.idleSince.delete(member)
        continue
      }
      const ability = abilities[member.state]
      // One that was fenced off has its writer until it has said goodbye to the database; nothing of it counts.
      if (!ability.mayAppend && isPast)
        assert.isUndefined(writer, `${member.name} is ${member.state} and writes`)
      if (ability.createsShapes && writer === undefined) this.mustEndSoon(member)
      else this.idleSince.delete(member)
      assert.notMatch(member.log.join("\n"), /This is a bug/)
    }
    assert.isAtMost(past.length, 1, `${past.join(" and ")} are past the fence at once`)
  }

  /** Its turn is over. On a disk that refuses it may try for a while to save what it had received, before it says so. */
  private mustEndSoon(member: Member): void {
    const since = this.idleSince.get(member) ?? this.time.now
    this.idleSince.set(member, since)
    const limitMillis = this.disk.hits > 0 ? 2 * handBackMillis : goodbyeMillis
    assert.isAtMost(this.time.now - since, limitMillis, `${member.name} stays active and cannot write`)
  }

  // The database

  rows(...tables: ReadonlyArray<number>): ReadonlyArray<Row> {
    return tables.map((table) => ({ table, number: this.nextNumber++ }))
  }

  /** One transaction that inserts a row into each of the tables. */
  insert(...tables: ReadonlyArray<number>): WalTransaction {
    return this.server.commit(this.server.begin(this.rows(...tables)))
  }

  expected(table: number): ReadonlyArray<number> {
    return this.server.wal.flatMap(({ rows }) =>
      rows.filter((row) => row.table === table).map(({ number }) => number)
    )
  }

  // Clients

  /** Answers one request; fails when there is no answer within `limitMillis`. */
  async ask(member: Member, target: string, limitMillis = 60_000): Promise<Received> {
    const exit = await this.result(member.ask(target), limitMillis)
    if (Exit.isFailure(exit)) throw new Error(`a request died: ${String(exit.cause)}`)
    return exit.value
  }

  /** Reads on where the client is, up to the end of the log as the instance knows it, or until it has no answer. */
  async sync(member: Member, client: Client): Promise<Progress> {
    for (;;) {
      const progress = client.take(await this.ask(member, client.target()))
      if (progress === "upToDate" || progress === "retry") return progress
    }
  }

  /** A client of a shape that is made for it, or was there. */
  async client(member: Member, table: number): Promise<Client> {
    const client = new Client(table)
    assert.strictEqual(await this.sync(member, client), "upToDate")
    return client
  }

  /** The client, reading on at this instance, has the table: every row once, changes in the order of their commits. */
  async assertWhole(member: Member, client: Client): Promise<void> {
    assert.strictEqual(await this.sync(member, client), "upToDate", `${member.name} (${member.state})`)
    const expected = this.expected(client.table)
    const order = new Map(expected.map((number, i) => [number, i]))
    assert.deepStrictEqual(
      client.all.toSorted((x, y) => x - y),
      expected.toSorted((x, y) => x - y),
      `t${client.table} at ${member.name}`
    )
    const places = client.log.map((number) => order.get(number) ?? -1)
    assert.deepStrictEqual(
      places,
      places.toSorted((x, y) => x - y),
      "changes in the order of their commits"
    )
  }

  /** A client that has been reading, and one that begins now, both have all of it, and nobody was told to start over. */
  async assertServes(member: Member, client: Client): Promise<void> {
    await this.assertWhole(member, client)
    assert.strictEqual(client.refetches, 0)
    const fresh = new Client(client.table)
    fresh.handle = client.handle
    await this.assertWhole(member, fresh)
    assert.strictEqual(fresh.handle, client.handle)
    assert.strictEqual(fresh.refetches, 0)
  }
}
