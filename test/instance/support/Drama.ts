import { isDeepStrictEqual } from "node:util"
import { assert } from "@effect/vitest"
import type { Fiber } from "effect"
import fc from "fast-check"
import { abilities, type HealthState, isStopping } from "../../../src/health/HealthState.ts"
import type { Received } from "../../http/support/harness.ts"
import type { DiskOperation } from "../../../src/storage/disk/DiskFault.ts"
import type { Meeting } from "../../../testing/disk/FaultyDisk.ts"
import { makeRandom } from "../../../testing/Random.ts"
import { Client } from "./Client.ts"
import type { Member } from "./Member.ts"
import { settled } from "./VirtualTime.ts"
import type { World } from "./World.ts"

/** Something that happens to the world. Numbers pick among what there is: members, clients, tables, open transactions. */
export type WorldEvent =
  | { readonly _tag: "Start" }
  | { readonly _tag: "Stop" | "Kill" | "Freeze" | "Thaw" | "Cut" | "Heal"; readonly member: number }
  | { readonly _tag: "DatabaseDown" | "DatabaseUp" | "LoseLock" | "LoseSlot" | "OtherWal" }
  | { readonly _tag: "Insert"; readonly tables: ReadonlyArray<number>; readonly visibleAfterMillis: number }
  | { readonly _tag: "Begin"; readonly tables: ReadonlyArray<number> }
  | { readonly _tag: "Commit"; readonly transaction: number }
  | { readonly _tag: "Ask"; readonly client: number; readonly member: number; readonly live: boolean }
  | { readonly _tag: "Delete"; readonly client: number; readonly member: number }
  | { readonly _tag: "Wait"; readonly millis: number }
  /** It sees of the journal what is there at moments so far apart, as over a slow file system; short ones end that. */
  | { readonly _tag: "Lag"; readonly member: number; readonly millis: number }
  /** Of what was not durable nothing is left, or what chance leaves. */
  | { readonly _tag: "PowerCut"; readonly chance: number | undefined }
  /** The disk of all instances refuses some calls, or keeps one waiting until it is well again. */
  | { readonly _tag: "DiskRefuses"; readonly meeting: Meeting; readonly code: string }
  | { readonly _tag: "DiskHangs"; readonly meeting: Meeting }
  | { readonly _tag: "DiskFull" | "DiskWell" }

const tables = [1, 2, 3]
const clients = 5
/** What an instance may be in while another one is active. */
const atRest: ReadonlyArray<HealthState> = ["waiting", "unwritable", "draining", "asleep"]
const mostMembers = 3
const usualPollMillis = 10

const member = fc.nat(mostMembers - 1)
const someTables = fc.array(fc.constantFrom(...tables), { minLength: 1, maxLength: 3 })

const of = <Tag extends WorldEvent["_tag"]>(weight: number, ...tags: ReadonlyArray<Tag>) => ({
  weight,
  arbitrary: fc.record({ _tag: fc.constantFrom(...tags), member }) as fc.Arbitrary<WorldEvent>
})

/** Which calls a fault of the disk meets: mostly a single one that comes soon. */
const meeting: fc.Arbitrary<Meeting> = fc.record({
  operation: fc.constantFrom<DiskOperation | ReadonlyArray<DiskOperation>>(
    ["open", "create", "read", "write", "sync", "look at", "list", "sync the names in", "rename", "remove"],
    ["write", "create"],
    ["sync", "sync the names in"],
    ["open", "read", "list", "look at"],
    "rename",
    "create"
  ),
  nth: fc.constantFrom(1, 1, 2, 3, 5, 8, 13, 30),
  times: fc.constantFrom(1, 1, 1, 3, 20)
})

export const eventArbitrary: fc.Arbitrary<WorldEvent> = fc.oneof(
  of(3, "Start"),
  of(2, "Stop", "Kill", "Cut", "LoseLock"),
  of(2, "Freeze"),
  of(4, "Thaw", "Heal", "DatabaseUp"),
  of(1, "DatabaseDown"),
  of(1, "OtherWal"),
  {
    weight: 8,
    arbitrary: fc
      .constantFrom(1, 4, 20, 150, 600, 2500, 12_000)
      .map((millis) => ({ _tag: "Wait", millis }) as const)
  },
  {
    weight: 6,
    arbitrary: fc.record({
      _tag: fc.constant("Insert" as const),
      tables: someTables,
      visibleAfterMillis: fc.constantFrom(0, 0, 0, 2, 30)
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Begin" as const), tables: someTables }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Commit" as const), transaction: fc.nat(3) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      _tag: fc.constant("Ask" as const),
      client: fc.nat(clients - 1),
      member,
      live: fc.boolean()
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({ _tag: fc.constant("Delete" as const), client: fc.nat(clients - 1), member })
  },
  { weight: 1, arbitrary: fc.constant({ _tag: "LoseSlot" } as const) },
  {
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constant("PowerCut" as const),
      chance: fc.option(fc.nat(), { nil: undefined })
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      _tag: fc.constant("DiskRefuses" as const),
      meeting,
      code: fc.constantFrom("EIO", "EMFILE", "ENOSPC", "ESTALE")
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("DiskHangs" as const), meeting }) },
  of(1, "DiskFull"),
  of(3, "DiskWell"),
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("Lag" as const),
      member,
      millis: fc.constantFrom(usualPollMillis, 400, 3000)
    })
  }
)

interface Asking {
  readonly member: Member
  /** Faults of the disk before it was asked. */
  readonly hits: number
  readonly fiber: Fiber.Fiber<Received>
}

/** One performance: members, clients with at most one request each, and what they may be told. */
class Drama {
  private readonly world: World
  private readonly clients = Array.from(
    { length: clients },
    (_, i) => new Client(tables[i % tables.length] ?? 1)
  )
  private readonly asking = new Map<Client, Asking>()
  private readonly deleting: Array<Asking & { readonly handle: string }> = []
  /** Handles that somebody asked to delete: whether they are is known when the answer comes, or never. */
  private readonly doomed = new Set<string>()
  /** Since then nobody has made a new slot and dropped what the old one fed. */
  private slotIsLost = false
  /** Faults of the disk before each instance was started. */
  private readonly hitsBefore = new Map<Member, number>()
  private names = 0

  constructor(world: World) {
    this.world = world
  }

  private get members(): ReadonlyArray<Member> {
    return this.world.members.filter(({ isKilled }) => !isKilled)
  }

  private pick(i: number): Member | undefined {
    const { members } = this
    return members[i % Math.max(1, members.length)]
  }

  async start(): Promise<Member> {
    const { hits } = this.world.disk
    const started = await this.world.start(`m${this.names++}`)
    this.hitsBefore.set(started, hits)
    return started
  }

  async happen(event: WorldEvent): Promise<void> {
    const { disk, server, time } = this.world
    switch (event._tag) {
      case "Start":
        if (this.members.filter(({ isStopping: stops }) => !stops).length < mostMembers) await this.start()
        return
      case "Stop":
        this.pick(event.member)?.shutdown()
        return
      case "Kill": {
        const victim = this.pick(event.member)
        victim?.kill()
        for (const [client, { member: asked }] of this.asking) if (asked === victim) this.giveUp(client)
        return
      }
      case "Freeze":
        this.pick(event.member)?.freeze()
        return
      case "Thaw":
        this.pick(event.member)?.thaw()
        return
      case "Cut":
        this.pick(event.member)?.network.shut()
        return
      case "Heal":
        this.pick(event.member)?.network.open()
        return
      case "DatabaseDown":
        server.goDown()
        return
      case "DatabaseUp":
        server.comeUp()
        return
      case "LoseLock":
        if (server.lockHolder !== undefined) server.end(server.lockHolder, "terminated")
        return
      case "LoseSlot":
        if (server.slot !== undefined) this.slotIsLost = true
        server.loseSlot()
        return
      case "OtherWal":
        if (server.isUp) server.writeOtherWal()
        return
      case "Insert":
        if (server.isUp)
          server.commit(server.begin(this.world.rows(...event.tables)), event.visibleAfterMillis)
        return
      case "Begin":
        if (server.isUp) server.begin(this.world.rows(...event.tables))
        return
      case "Commit": {
        const open = server.openXids
        const xid = open[event.transaction % Math.max(1, open.length)]
        if (server.isUp && xid !== undefined) server.commit(xid)
        return
      }
      case "Ask":
        this.ask(this.clients[event.client], this.pick(event.member), event.live)
        return
      case "Delete":
        this.delete(this.clients[event.client], this.pick(event.member))
        return
      case "Lag": {
        const lagging = this.pick(event.member)
        if (lagging !== undefined) this.setLag(lagging, event.millis)
        return
      }
      case "PowerCut":
        for (const client of this.clients) this.giveUp(client)
        this.world.powerCut(event.chance === undefined ? "nothing" : makeRandom(event.chance))
        return
      case "DiskRefuses":
        disk.fail(event.meeting, event.code)
        return
      case "DiskHangs":
        disk.stall(event.meeting)
        return
      case "DiskFull":
        disk.isFull = true
        return
      case "DiskWell":
        disk.heal()
        return
      case "Wait":
        await time.advance(event.millis, () => this.look())
    }
  }

  private setLag({ engine }: Member, millis: number): void {
    engine.eagerPollMillis = millis
    // A long wait that has begun ends.
    if (millis === usualPollMillis) engine.lookNow()
  }

  private ask(client: Client | undefined, to: Member | undefined, live: boolean): void {
    if (client === undefined || to === undefined || to.state === "stopped") return
    // A client that was held for too long, or whose connection is gone, asks somebody else.
    this.giveUp(client)
    const { hits } = this.world.disk
    this.asking.set(client, {
      member: to,
      hits,
      fiber: to.ask(client.target(live && client.offset !== "-1"))
    })
  }

  private giveUp(client: Client): void {
    this.asking.get(client)?.fiber.interruptUnsafe()
    this.asking.delete(client)
  }

  private delete(client: Client | undefined, to: Member | undefined): void {
    if (client?.handle === undefined || to === undefined) return
    this.doomed.add(client.handle)
    const target = `/v1/shape?table=t${client.table}&handle=${client.handle}`
    this.deleting.push({
      member: to,
      hits: this.world.disk.hits,
      handle: client.handle,
      fiber: to.ask(target, { method: "DELETE" })
    })
  }

  /** What every instance says of itself, and whether it answers for a shape that it knows, is what its state allows. */
  async examine(): Promise<void> {
    // What a shape is read from may be out of reach.
    const wasFaulty = this.world.disk.isFaulty
    for (const each of this.members) {
      if (each.isFrozen) continue
      const { state } = each
      const health = each.ask("/v1/health")
      const client = this.clients.find(({ handle }) => each.engine.store.byHandle(handle ?? "")?.readable)
      const read = client === undefined ? undefined : each.ask(`/v1/shape?table=t${client.table}&offset=-1`)
      await settled()
      if (each.state !== state) continue
      const exit = health.pollUnsafe()
      assert(exit?._tag === "Success", `${each.name} (${state}) does not say how it is`)
      const { status, body } = abilities[state].health
      assert.deepStrictEqual([exit.value.status, exit.value.json()], [status, body])
      if (read === undefined || !abilities[state].servesExistingShapes || wasFaulty) continue
      const reply = read.pollUnsafe()
      assert(reply?._tag === "Success", `${each.name} (${state}) does not answer for a shape that it has`)
      assert.strictEqual(reply.value.status, 200, `${each.name} (${state})`)
    }
  }

  /** Hands out the answers that have come, and looks at everything that must hold. */
  async look(): Promise<void> {
    for (const [client, { fiber, hits, member: asked }] of this.asking) {
      const exit = fiber.pollUnsafe()
      if (exit === undefined) continue
      this.asking.delete(client)
      // The connection is cut in the middle of what cannot be read on, and the client asks again.
      if (exit._tag === "Failure" && this.world.disk.hits > hits) continue
      assert(exit._tag === "Success", `a request at ${asked.name} died`)
      this.take(client, exit.value, asked)
    }
    this.world.check()
    this.buryWhoGaveUp()
    const { slot } = this.world.server
    if (this.slotIsLost && slot?.lost === false && this.members.some(({ state }) => state === "active")) {
      this.slotIsLost = false
      for (const { handle } of this.clients) if (handle !== undefined) this.doomed.add(handle)
    }
  }

  /**
   * An instance that cannot read storage at its start, or cannot write there, ends and says why, whether it is to stop or not. One
   * that stops in order follows, once it has started.
   */
  private buryWhoGaveUp(): void {
    for (const each of this.members) {
      if (each.isFrozen) continue
      const exit = each.running.pollUnsafe()
      if (exit === undefined || (each.isStopping && exit._tag === "Success")) continue
      const before = this.hitsBefore.get(each) ?? 0
      assert.isAbove(this.world.disk.hits, before, `${each.name} gave up without a reason`)
      each.kill()
      for (const [client, { member: asked }] of this.asking) if (asked === each) this.giveUp(client)
    }
  }

  private mayStartOver(handle: string | undefined): boolean {
    return this.slotIsLost || (handle !== undefined && this.doomed.has(handle))
  }

  private take(client: Client, reply: Received, from: Member): void {
    const { handle } = client
    if (client.take(reply) !== "refetch") return
    assert.isTrue(
      this.mayStartOver(handle),
      `${from.name} (${from.state}) told a client of ${handle} to start over`
    )
  }

  /** Everything is mended; then one instance becomes active, and every client gets everything. */
  async finale(): Promise<void> {
    const { disk, server } = this.world
    await this.world.time.advance(0, () => this.look())
    server.comeUp()
    disk.heal()
    for (const each of this.members) {
      each.network.open()
      each.thaw()
      this.setLag(each, usualPollMillis)
    }
    for (const xid of server.openXids) server.commit(xid)
    await this.recover()
    for (const client of this.clients) this.giveUp(client)
    await this.insertAtLast()
    for (const each of this.members) for (const client of this.clients) await this.finish(each, client)
    // An instance that is not stopping becomes active when it is the last one.
    const rest = this.members.filter((each) => !each.isStopping)
    for (const each of rest.slice(1)) each.shutdown()
    await this.recover()
    assert.strictEqual(rest[0]?.state, "active")
    await this.insertAtLast()
    for (const each of this.members) for (const client of this.clients) await this.finish(each, client)
  }

  /** If there are none, those that are asleep are woken, as the next request would. */
  private activeOnes(): ReadonlyArray<Member> {
    const active = this.members.filter(({ state }) => state === "active")
    if (active.length === 0) for (const each of this.members) if (each.state === "asleep") each.wake()
    return active
  }

  /**
   * A row in each table, until all instances have it. Before that one may have to save what it got before it lost its
   * connection, and those that could not read the journal let a while pass before they try again.
   */
  private async insertAtLast(): Promise<void> {
    const { commitLsn } = this.world.insert(...tables)
    await this.world.until(
      "all instances have the last change",
      () =>
        this.activeOnes().some(
          ({ engine }) =>
            engine.processedLsn >= commitLsn &&
            this.members.every((each) => isDeepStrictEqual(each.engine.at, engine.at))
        ),
      120_000
    )
    await this.world.advance(300)
  }

  /** One was frozen while a fault of the disk ended its start, and ends now: another takes its place. */
  private async recover(): Promise<void> {
    const isNeeded = () => this.members.every((each) => isStopping(each.state) || each.isStopping)
    if (isNeeded()) await this.start()
    await this.world.until(
      "one instance is active, the others wait or drain",
      () => {
        this.buryWhoGaveUp()
        if (isNeeded()) return true
        const active = this.activeOnes()
        const others = this.members.filter((each) => !active.includes(each))
        return active.length === 1 && others.every(({ state }) => atRest.includes(state))
      },
      120_000
    )
    if (isNeeded()) await this.recover()
  }

  /** Like a client that tries until it has everything, whichever instance it has to ask. */
  private async finish(at: Member, client: Client): Promise<void> {
    for (let tries = 0; ; tries++) {
      const reply = await this.world.ask(at, client.target())
      const before = client.handle
      const progress = client.take(reply)
      if (progress === "upToDate") break
      if (progress === "refetch")
        assert.isTrue(
          this.mayStartOver(before),
          `${at.name} (${at.state}) told a client of ${before} to start over`
        )
      if (progress === "retry") {
        // A shape that does not exist can only be made by the active one.
        assert.isFalse(abilities[at.state].createsShapes, `${at.name} is active and made no shape`)
        const active = this.members.find(({ state }) => state === "active")
        if (active !== undefined) await this.finish(active, new Client(client.table))
        await this.world.advance(300)
      }
      assert.isBelow(tries, 20, `${at.name} (${at.state}) has no answer for ${client.target()}`)
    }
    await this.world.assertWhole(at, client)
  }
}

export const play = async (world: World, events: ReadonlyArray<WorldEvent>): Promise<void> => {
  const drama = new Drama(world)
  await drama.start()
  await world.advance(20)
  for (const event of events) {
    await drama.happen(event)
    await drama.examine()
  }
  await drama.finale()
}
