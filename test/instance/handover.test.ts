import { assert, describe, it } from "@effect/vitest"
import { vi } from "vitest"
import type { HealthState } from "../../src/health/HealthState.ts"
import { StorageEngine } from "../../src/storage/StorageEngine.ts"
import { Client } from "./support/Client.ts"
import type { Member } from "./support/Member.ts"
import { Gate } from "./support/VirtualTime.ts"
import { World, type WorldOptions } from "./support/World.ts"

vi.mock(import("node:zlib"), async (original) => {
  const { zlibAtOnce } = await import("./support/ZlibAtOnce.ts")
  return zlibAtOnce(await original())
})

const handover = (name: string, test: (world: World) => Promise<void>, options: WorldOptions = {}): void =>
  void it(name, () => World.run(options, test))

const becomes = (world: World, member: Member, state: HealthState, limitMillis?: number): Promise<number> =>
  world.until(`${member.name} is ${state}`, () => member.state === state, limitMillis)

const started = async (world: World, name: string, state: HealthState): Promise<Member> => {
  const member = await world.start(name)
  await becomes(world, member, state)
  return member
}

/** An active instance with a client of one table that has some rows, and an instance that waits. */
const pair = async (world: World) => {
  const old = await started(world, "old", "active")
  world.insert(1, 2)
  const client = await world.client(old, 1)
  world.insert(1)
  const next = await started(world, "next", "waiting")
  await world.advance(300)
  return { old, next, client }
}

const health = async (world: World, member: Member): Promise<string> => {
  const { status, text } = await world.ask(member, "/v1/health")
  return `${status} ${text}`
}

describe("handover in virtual time", () => {
  handover("SIGTERM: the next instance continues where the first one stopped", async (world) => {
    const { old, next, client } = await pair(world)
    assert.strictEqual(await health(world, old), '200 {"status":"active"}')
    assert.strictEqual(await health(world, next), '202 {"status":"waiting"}')
    world.insert(1)
    old.shutdown()
    assert.isAtMost(await becomes(world, next, "active"), 50)
    assert.strictEqual(await health(world, old), '503 {"status":"stopping"}')
    assert.strictEqual(await health(world, next), '200 {"status":"active"}')
    world.insert(1)
    await world.advance(200)
    await world.assertServes(next, client)
    // The old instance is fed by the new one while it drains.
    world.insert(1)
    await world.advance(200)
    await world.assertServes(old, client)
    assert.deepStrictEqual(old.states, [
      "starting",
      "waiting",
      "takingOver",
      "active",
      "releasing",
      "draining"
    ])
    assert.deepStrictEqual(next.states, ["starting", "waiting", "takingOver", "active"])
  })

  handover("live requests at both instances get the new one's first change", async (world) => {
    const { old, next, client } = await pair(world)
    await world.sync(old, client)
    const atOld = old.ask(client.target(true))
    const atNext = next.ask(client.target(true))
    await world.advance(100)
    old.shutdown()
    await becomes(world, next, "active")
    const { rows } = world.insert(1)
    for (const fiber of [atOld, atNext]) {
      const exit = await world.result(fiber, 100)
      assert(exit._tag === "Success")
      assert.include(exit.value.text, `"id":"${rows[0]?.number}"`)
    }
    await world.assertServes(old, client)
  })

  handover(
    "SIGTERM without a successor: everything is durable and acknowledged, reads go on",
    async (world) => {
      const only = await started(world, "only", "active")
      const client = await world.client(only, 1)
      const { endLsn } = world.insert(1)
      // The first change of a table waits for what the catalogue says.
      await world.advance(100)
      await world.assertServes(only, client)
      only.shutdown()
      await becomes(world, only, "draining")
      assert.isAtLeast(Number(world.server.slot?.confirmed), Number(endLsn))
      assert.isUndefined(world.server.lockHolder)
      await world.assertServes(only, client)
      const after = await started(world, "after", "active")
      world.insert(1)
      await world.advance(200)
      await world.assertServes(after, client)
    }
  )

  handover("a rolling upgrade of three instances", async (world) => {
    const { old, next, client } = await pair(world)
    const third = await started(world, "third", "waiting")
    const other = await world.client(old, 2)
    await world.advance(200)
    old.shutdown()
    await becomes(world, next, "active")
    world.insert(1, 2)
    const made = await world.client(next, 3)
    next.shutdown()
    await becomes(world, third, "active")
    world.insert(1, 2, 3)
    await world.advance(200)
    for (const member of [old, next, third]) {
      for (const each of [client, other, made]) await world.assertServes(member, each)
    }
  })

  handover(
    "a transaction that is durable and was never acknowledged comes again, and is taken once",
    async (world) => {
      const { old, next, client } = await pair(world)
      const { endLsn } = world.insert(1)
      // The acknowledgement will be on its way, and not arrive.
      old.network.shut()
      await world.advance(50)
      assert.isAtLeast(Number(world.durableLsn), Number(endLsn))
      assert.isBelow(Number(world.server.slot?.confirmed), Number(endLsn))
      await becomes(world, next, "active")
      await world.advance(200)
      await world.assertServes(next, client)
      world.insert(1)
      await world.advance(200)
      await world.assertServes(next, client)
    }
  )

  handover("a crash of the active instance", async (world) => {
    const { old, next, client } = await pair(world)
    world.insert(1)
    await world.advance(5)
    await world.sync(old, client)
    old.kill()
    world.insert(1)
    assert.isAtMost(await becomes(world, next, "active"), 50)
    await world.advance(200)
    await world.assertServes(next, client)
  })

  handover("a crash of both, and a restart on the same directory", async (world) => {
    const { old, next, client } = await pair(world)
    await world.sync(next, client)
    old.kill()
    next.kill()
    world.insert(1)
    const again = await started(world, "again", "active")
    await world.advance(200)
    await world.assertServes(again, client)
  })

  handover("a shape whose creation was answered a moment before a crash is not lost", async (world) => {
    const { old, next } = await pair(world)
    const made = await world.client(old, 3)
    old.kill()
    await becomes(world, next, "active")
    world.insert(3)
    await world.advance(200)
    await world.assertServes(next, made)
  })

  handover("a shape that is being made when SIGTERM comes: no answer that does not hold", async (world) => {
    const { old, next } = await pair(world)
    world.insert(3)
    const asking = old.ask(new Client(3).target())
    await world.advance(3)
    old.shutdown()
    await becomes(world, next, "active")
    const exit = await world.result(asking)
    assert(exit._tag === "Success")
    assert.strictEqual(exit.value.status, 503)
    await world.assertServes(next, await world.client(next, 3))
  })

  handover(
    "a shape that the successor makes has what its predecessor saw go by and no snapshot showed yet",
    async (world) => {
      const { old, next } = await pair(world)
      // No shape is on the table: the old instance acknowledges the transaction and writes nothing of it but that.
      const { server } = world
      const { endLsn } = server.commit(server.begin(world.rows(3)), 5000)
      await world.until("it is acknowledged", () => (server.slot?.confirmed ?? 0n) >= endLsn)
      old.kill()
      await becomes(world, next, "active")
      const asking = next.ask(new Client(3).target())
      await world.advance(1000)
      assert.isUndefined(asking.pollUnsafe(), "it starts without the row")
      await world.advance(5000)
      await world.assertServes(next, await world.client(next, 3))
    }
  )

  handover("the lock is lost and regained", async (world) => {
    const { old, next, client } = await pair(world)
    world.server.terminate(world.server.lockHolder?.pid ?? 0)
    await becomes(world, next, "active")
    await world.advance(2000)
    assert.deepStrictEqual(old.states.slice(-3), ["active", "disconnected", "waiting"])
    world.insert(1)
    next.shutdown()
    await becomes(world, old, "active")
    world.insert(1)
    await world.advance(200)
    for (const member of [old, next]) await world.assertServes(member, client)
  })

  handover("the database goes down and comes back", async (world) => {
    const { old, next, client } = await pair(world)
    world.server.goDown()
    for (const member of [old, next]) await becomes(world, member, "disconnected")
    await world.advance(12_000)
    for (const member of [old, next]) {
      assert.strictEqual(await health(world, member), '202 {"status":"waiting"}')
      await world.assertServes(member, client)
    }
    assert.strictEqual((await world.ask(old, new Client(2).target())).status, 503)
    world.server.comeUp()
    await world.until("one is active", () => [old, next].some(({ state }) => state === "active"), 15_000)
    await world.until("the other waits", () => [old, next].some(({ state }) => state === "waiting"), 15_000)
    world.insert(1)
    await world.advance(300)
    for (const member of [old, next]) await world.assertServes(member, client)
  })

  handover(
    "frozen past the fence, then thawed: a zombie adds nothing and waits for its turn",
    async (world) => {
      const { old, next, client } = await pair(world)
      await world.sync(old, client)
      old.freeze()
      const { endLsn } = world.insert(1)
      assert.isAtMost(await becomes(world, next, "active", 12_000), 11_000)
      await world.advance(300)
      await world.sync(next, client)
      const made = await world.client(next, 2)
      world.insert(1, 2)
      await world.advance(300)
      // What was in its socket reaches it now, and is processed before it learns that the connection is gone.
      old.thaw()
      await world.advance(5000)
      assert.strictEqual(old.state, "waiting")
      assert.strictEqual(next.state, "active")
      world.insert(1, 2)
      await world.advance(300)
      for (const member of [old, next])
        for (const each of [client, made]) await world.assertServes(member, each)
      next.shutdown()
      await becomes(world, old, "active")
      world.insert(1, 2)
      await world.advance(300)
      for (const member of [old, next])
        for (const each of [client, made]) await world.assertServes(member, each)
      assert.isAbove(Number(world.server.slot?.confirmed), Number(endLsn))
    }
  )

  handover(
    "frozen while it waits: a lock that it was given meanwhile and has lost again is not used",
    async (world) => {
      const { old, next, client } = await pair(world)
      const third = await started(world, "third", "waiting")
      await world.advance(100)
      next.freeze()
      old.shutdown()
      // The server gives the lock to the frozen one, which is first in the queue, and takes it away again.
      await becomes(world, third, "active", 20_000)
      world.insert(1)
      await world.advance(300)
      const epoch = third.engine.writer?.epoch
      next.thaw()
      world.insert(1)
      await world.advance(5000)
      assert.strictEqual(next.state, "waiting")
      assert.strictEqual(third.state, "active")
      assert.strictEqual(third.engine.writer?.epoch, epoch, "it was disturbed")
      world.insert(1)
      await world.advance(300)
      for (const member of [old, next, third]) await world.assertServes(member, client)
    }
  )

  handover(
    "cut off from the database: the other one takes over, and the first one notices",
    async (world) => {
      const { old, next, client } = await pair(world)
      old.network.shut()
      await becomes(world, next, "active", 12_000)
      world.insert(1)
      await world.advance(300)
      await world.assertServes(next, client)
      // Its clients keep what they have, and are fed by the successor's journal once it knows.
      await becomes(world, old, "disconnected", 60_000)
      await world.assertServes(old, client)
      old.network.open()
      await becomes(world, old, "waiting", 15_000)
      assert.strictEqual(next.state, "active")
      world.insert(1)
      await world.advance(300)
      for (const member of [old, next]) await world.assertServes(member, client)
    }
  )

  handover(
    "a frozen holder that the server never cuts off is ended by the lock breaker",
    async (world) => {
      const { old, next, client } = await pair(world)
      world.server.terminate(world.server.lockHolder?.pid ?? 0)
      await becomes(world, next, "active")
      // Given the lock while it is frozen, it holds it without streaming: nobody but its peer can tell.
      await becomes(world, old, "waiting")
      await world.advance(1000)
      old.freeze()
      next.shutdown()
      const third = await started(world, "third", "waiting")
      await becomes(world, third, "active", 90_000)
      world.insert(1)
      await world.advance(200)
      await world.assertServes(third, client)
      old.thaw()
      await world.advance(5000)
      assert.strictEqual(old.state, "waiting")
      await world.assertServes(old, client)
    },
    { walSenderTimeoutMillis: 0 }
  )

  handover(
    "fenced while it is active and has the lock: it gives up, and continues without a loss",
    async (world) => {
      const { old, next, client } = await pair(world)
      next.shutdown()
      world.insert(1)
      await world.advance(100)
      // Somebody else opens an epoch in the same directory, with whatever database it has its lock in.
      const stranger = new StorageEngine({ ...old.engine.options, timers: old.engine.timers })
      await stranger.load()
      await stranger.takeOver()
      world.insert(1)
      await world.advance(1000)
      assert.strictEqual(old.state, "active", "it has not noticed yet")
      const asking = old.ask(new Client(2).target())
      await world.advance(500)
      assert.isUndefined(asking.pollUnsafe(), "a shape that does not count is not told of")
      const isActiveAgain = () => old.states.filter((state) => state === "active").length === 2
      await world.until("it is active again", isActiveAgain)
      const exit = await world.result(asking)
      assert(exit._tag === "Success")
      assert.strictEqual(exit.value.status, 200)
      await stranger.close()
      assert.deepStrictEqual(old.states.slice(-4), ["active", "waiting", "takingOver", "active"])
      world.insert(1)
      await world.advance(300)
      await world.assertServes(old, client)
    }
  )

  handover("a slot that is lost is made anew, and every shape starts over", async (world) => {
    const { old, next, client } = await pair(world)
    world.server.loseSlot()
    world.insert(1)
    await world.until("somebody is active again", () => world.server.slot?.activePid !== undefined, 15_000)
    await world.advance(300)
    world.insert(1)
    const active = old.state === "active" ? old : next
    await world.assertWhole(active, client)
    assert.strictEqual(client.refetches, 1)
    await world.advance(300)
    for (const member of [old, next]) await world.assertWhole(member, client)
    assert.strictEqual(client.refetches, 1)
  })

  handover(
    "a slot that cannot be streamed from is replaced once, whichever instance gets the lock",
    async (world) => {
      const { old, next, client } = await pair(world)
      const { server } = world
      server.commit(server.begin(world.rows(1)), 0, true)
      await world.until("a new slot", () => server.slotsMade === 2, 15_000)
      await world.until("somebody streams", () => server.slot?.activePid !== undefined, 15_000)
      world.insert(1)
      await world.advance(15_000)
      const active = old.state === "active" ? old : next
      const waiting = old === active ? next : old
      await world.assertWhole(active, client)
      assert.strictEqual(client.refetches, 1)
      // The other one has seen the old slot fail as well, and leaves the new one alone.
      active.shutdown()
      await becomes(world, waiting, "active")
      world.insert(1)
      await world.advance(300)
      await world.assertWhole(waiting, client)
      assert.strictEqual(client.refetches, 1)
      assert.strictEqual(server.slotsMade, 2)
    }
  )

  handover(
    "asleep: it gives up its connections when nothing happens, and a request wakes it",
    async (world) => {
      const only = await started(world, "only", "active")
      const client = await world.client(only, 1)
      await becomes(world, only, "asleep", 15_000)
      assert.strictEqual(world.server.sessions.size, 0)
      assert.strictEqual(await health(world, only), '200 {"status":"active"}')
      world.insert(1)
      await world.advance(20_000)
      assert.strictEqual(only.state, "asleep")
      await world.sync(only, client)
      await world.advance(100)
      await world.assertServes(only, client)
      assert.deepStrictEqual(only.states.slice(-4), ["asleep", "waiting", "takingOver", "active"])
      await world.assertServes(only, await world.client(only, 2))
    },
    { config: { replicationIdleTimeoutMillis: 10_000 } }
  )

  handover(
    "what was shown and never written comes once more, however late: nobody is told meanwhile that there is no such offset",
    async (world) => {
      const { old, next, client } = await pair(world)
      const { disk, server } = world
      await world.sync(old, client)
      disk.stall({ operation: "write", path: /journal/, times: 1 })
      world.insert(1)
      assert.strictEqual(await world.sync(old, client), "upToDate")
      const { offset } = client
      old.kill()
      server.decodingMillis = 30_000
      const took = await becomes(world, next, "active")
      assert.isBelow(took, 1000)
      // Held for half a long poll, twice.
      for (let i = 0; i < 2; i++) assert.strictEqual(await world.sync(next, client), "retry")
      // But that it has not read so far is not the truth of what nobody can have been told.
      await world.advance(30_000)
      assert.strictEqual(client.offset, offset)
      await world.assertServes(next, client)
      const [tx = ""] = offset.split("_")
      const beyond = `/v1/shape?table=t1&handle=${client.handle}&offset=${BigInt(tx) + 1000n}_0`
      assert.strictEqual((await world.ask(next, beyond)).status, 400)
    }
  )

  handover("a waiting instance writes nothing, and makes no shapes", async (world) => {
    const { old, next, client } = await pair(world)
    old.kill()
    await becomes(world, next, "active")
    await world.client(next, 2)
    next.kill()
    // Somebody who has nothing to do with the service has the lock.
    const foreign = world.server.connect({ name: "foreign", process: new Gate(), network: new Gate() })
    world.server.waitForLock(foreign)
    // But that it is there, and can be told from an older release.
    const kept = () => world.listing().filter((name) => !name.includes("instances"))
    const before = kept()
    const waiting = await started(world, "waiting", "waiting")
    await world.assertServes(waiting, client)
    const began = world.time.now
    const refused = await world.ask(waiting, new Client(3).target())
    assert.strictEqual(refused.status, 503)
    assert.strictEqual(refused.header("retry-after"), "5")
    assert.approximately(world.time.now - began, 5000, 300)
    const notDeleted = await world.result(
      waiting.ask(`/v1/shape?table=t1&handle=${client.handle}`, { method: "DELETE" })
    )
    assert(notDeleted._tag === "Success")
    assert.strictEqual(notDeleted.value.status, 503)
    await world.advance(30_000)
    assert.deepStrictEqual(kept(), before)
    world.server.end(foreign, "closed")
    await becomes(world, waiting, "active")
    await world.assertServes(waiting, client)
  })

  handover(
    "a request for a new shape at a waiting instance is answered when that becomes active",
    async (world) => {
      const { old, next } = await pair(world)
      world.insert(3)
      const asking = next.ask(new Client(3).target())
      await world.advance(2000)
      assert.isUndefined(asking.pollUnsafe())
      old.shutdown()
      const exit = await world.result(asking, 1000)
      assert(exit._tag === "Success")
      assert.strictEqual(exit.value.status, 200)
    }
  )

  handover("an instance that is stopped while it waits for the lock leaves at once", async (world) => {
    const { next } = await pair(world)
    next.shutdown()
    assert.isAtMost(await becomes(world, next, "draining"), 5)
    await world.until("the server knows", () => world.server.lockQueue.length === 0, 5)
  })

  handover(
    "storage that does not exist yet is made by the instance that gets the lock, not before",
    async (world) => {
      const foreign = world.server.connect({ name: "foreign", process: new Gate(), network: new Gate() })
      world.server.waitForLock(foreign)
      const first = await started(world, "first", "waiting")
      await world.advance(5000)
      assert.deepStrictEqual(world.listing(), [])
      assert.strictEqual((await world.ask(first, new Client(1).target())).status, 503)
      world.server.end(foreign, "closed")
      await becomes(world, first, "active")
      await world.assertServes(first, await world.client(first, 1))
    }
  )
})
