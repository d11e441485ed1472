import { assert, describe, it } from "@effect/vitest"
import { vi } from "vitest"
import { patient } from "../../testing/Load.ts"
import { makeRandom } from "../../testing/Random.ts"
import { Client } from "./support/Client.ts"
import { fatesOf, freshPlot, smallSegments } from "./support/Plot.ts"
import type { Member } from "./support/Member.ts"
import { World } from "./support/World.ts"

vi.mock(import("node:zlib"), async (original) => {
  const { zlibAtOnce } = await import("./support/ZlibAtOnce.ts")
  return zlibAtOnce(await original())
})

const active = async (world: World, name: string): Promise<Member> => {
  const member = await world.start(name)
  await world.until(`${name} is active`, () => member.state === "active")
  return member
}

const deletion = (client: Client): string => `/v1/shape?table=t${client.table}&handle=${client.handle}`

describe("DELETE", () => {
  it("is answered when a power cut does not bring the shape back, and not before", () =>
    World.run({}, async (world) => {
      const old = await active(world, "old")
      const client = await world.client(old, 1)
      const stall = world.disk.stall({ operation: ["sync", "sync the names in"] })
      const early = old.ask(deletion(client), { method: "DELETE" })
      await world.advance(1000)
      assert.isUndefined(early.pollUnsafe(), "nothing of it is durable")
      stall.end()
      const exit = await world.result(early)
      assert(exit._tag === "Success")
      assert.strictEqual(exit.value.status, 202)
      world.powerCut("nothing")
      const next = await active(world, "next")
      assert.isUndefined(next.engine.store.byHandle(client.handle ?? ""))
      assert.strictEqual((await world.ask(next, client.target())).status, 409)
    }))

  it("that was not answered before a power cut may be forgotten, and the shape then goes on", () =>
    World.run({}, async (world) => {
      const old = await active(world, "old")
      const client = await world.client(old, 1)
      world.disk.stall({ operation: "sync" })
      const asking = old.ask(deletion(client), { method: "DELETE" })
      await world.advance(1000)
      assert.isUndefined(asking.pollUnsafe())
      world.powerCut("nothing")
      const next = await active(world, "next")
      world.insert(1)
      await world.advance(300)
      await world.assertServes(next, client)
    }))
})

describe("an epoch whose first segment could not be begun", () => {
  it("leaves no gap in the journal: segments are moved, and the next instance finds every shape", () =>
    World.run({ config: smallSegments }, async (world) => {
      const refused = world.disk.fail({ operation: "create", path: /journal\/00000001-/, times: 1 }, "EMFILE")
      const old = await active(world, "old")
      assert.strictEqual(refused.hits(), 1)
      assert.include(old.log.join("\n"), "Storage cannot be taken over")
      const client = await world.client(old, 1)
      for (let n = 0; n < 24; n++) {
        world.insert(1)
        await world.advance(10)
      }
      await world.until("segments are moved", () => old.engine.oldestSegment > 2, 3000)
      assert.notInclude(old.log.join("\n"), "is gone")
      old.kill()
      const next = await active(world, "next")
      world.insert(1)
      await world.advance(300)
      await world.assertServes(next, client)
    }))
})

const seed = Number(process.env["DISK_FAULTS_SEED"] ?? Date.now() & 0x7fffffff)
/**
 * How many calls go wrong, one in each story; "all": each call of it, in each way, some 5000 stories; "2/4": the second of four parts of
 * them, for processes beside each other.
 */
const asked = process.env["DISK_FAULTS"] ?? "8"

const chosenOf = <A>(every: ReadonlyArray<A>): ReadonlyArray<A> => {
  const random = makeRandom(seed)
  if (asked === "all") return every
  const [count = 0, parts] = asked.split("/").map(Number)
  if (parts === undefined) return Array.from({ length: count }, () => random.pick(every))
  return every.filter((_, n) => n % parts === count % parts)
}

describe("one call of the disk that goes wrong", () => {
  const timeout = patient(process.env["DISK_FAULTS"] === undefined ? 120_000 : 3_600_000)
  it("costs nothing that was promised, whichever call and in whichever way", { timeout }, async () => {
    const calls = await freshPlot("none")
    const every = calls.flatMap((call, n) => fatesOf(call).map((fate) => ({ nth: n + 1, fate })))
    assert.isAbove(every.length, 500)
    const chosen = chosenOf(every)
    assert.isNotEmpty(chosen)
    // All of them are tried: one that fails says little of the kind.
    const failures: Array<string> = []
    for (const { fate, nth } of chosen) {
      await freshPlot(fate, nth).catch((error: unknown) => {
        const { operation = "", path = "" } = calls[nth - 1] ?? {}
        const failure = `seed ${seed}, ${fate} at call ${nth} (${operation} ${path}): ${String(error)}`
        // At once: the rest takes its time.
        console.error(failure)
        failures.push(failure)
      })
    }
    assert.deepStrictEqual(failures, [], `${failures.length} of ${chosen.length}`)
  })
})
