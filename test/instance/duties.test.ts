import { assert, describe, it } from "@effect/vitest"
import { vi } from "vitest"
import { duties } from "../../src/health/Duties.ts"
import { ConditionsMemory } from "../../src/registry/ConditionsMemory.ts"
import { diskFault } from "../../src/storage/disk/DiskFault.ts"
import type { Member } from "./support/Member.ts"
import { World, type WorldOptions } from "./support/World.ts"

vi.mock(import("node:zlib"), async (original) => {
  const { zlibAtOnce } = await import("./support/ZlibAtOnce.ts")
  return zlibAtOnce(await original())
})

/** A method that fails once, as if by a mistake in it. Returns whether it has. */
const failOnce = <K extends string>(
  owner: { [_ in K]: unknown },
  method: K,
  error: Error
): (() => boolean) => {
  const original = owner[method]
  const own = Object.hasOwn(owner, method)
  let hasFailed = false
  Object.defineProperty(owner, method, {
    configurable: true,
    writable: true,
    value: () => {
      hasFailed = true
      if (own) owner[method] = original as (typeof owner)[K]
      else Reflect.deleteProperty(owner, method)
      throw error
    }
  })
  return () => hasFailed
}

const told = (member: Member, what: string): ReadonlyArray<string> =>
  member.log.filter((line) => line.includes(`${what} stumbled: `))

interface Death {
  readonly duty: keyof typeof duties
  readonly options?: WorldOptions
  /** Makes it die, or see to it that it will. */
  readonly strike: (world: World, member: Member) => void
  /** Before the instance is active. */
  readonly early?: boolean
  /** It works again. */
  readonly isWell?: (world: World, member: Member) => boolean
}

const boom = new Error("made up")

const deaths: ReadonlyArray<Death> = [
  {
    duty: "maintenance",
    options: { config: { journalSegmentBytes: 512 } },
    strike: (_, { engine }) => failOnce(engine, "keepCheckpoint", boom),
    isWell: (world, { engine }) => {
      world.insert(1)
      return engine.oldestSegment > 5
    }
  },
  {
    duty: "tablesAndPublication",
    strike: (_, { strikes }) => strikes.arm("trust"),
    early: true,
    isWell: (_, { strikes }) => strikes.isWell("publication")
  },
  {
    duty: "publicationCheck",
    strike: (_, { strikes }) => strikes.strike("publication"),
    isWell: (_, { strikes }) => strikes.isWell("publication")
  },
  {
    duty: "tableWatch",
    strike: (_, { strikes }) => strikes.arm("serverVersion"),
    isWell: (_, { strikes }) => !strikes.isArmed("serverVersion")
  },
  {
    duty: "schemaMemory",
    strike: (_, { strikes }) => strikes.arm("loaded"),
    isWell: (_, { strikes }) => !strikes.isArmed("loaded")
  },
  {
    duty: "tableComparison",
    strike: (_, { strikes }) => strikes.arm("refresh"),
    isWell: (_, { strikes }) => !strikes.isArmed("refresh")
  },
  {
    duty: "eviction",
    options: { config: { maxShapes: 1 } },
    strike: (_, { engine }) => failOnce(engine.timers, "epochMillis", boom)
  },
  {
    duty: "quota",
    options: { config: { maxStorageBytes: 2 ** 30 } },
    strike: (_, { engine: { pressure } }) =>
      Object.defineProperty(pressure, "usedBytes", {
        configurable: true,
        set: () => {
          Object.defineProperty(pressure, "usedBytes", { value: 0, writable: true })
          throw boom
        }
      })
  },
  {
    duty: "storageMemory",
    strike: (_, { engine }) => failOnce(engine.writer ?? assert.fail("not the writer"), "ageRecent", boom)
  },
  { duty: "lookAhead", strike: (_, { strikes }) => strikes.arm("readAgain"), early: true },
  {
    duty: "conditionsMemory",
    strike: () => failOnce(ConditionsMemory.prototype, "add", boom),
    early: true
  }
]

const writingOf = ({ engine }: Member) => engine.writing ?? assert.fail("not the writer")

describe("no duty of an active instance dies silently", () => {
  for (const { duty, early = false, isWell = () => true, options = {}, strike } of deaths) {
    const { after, what } = duties[duty]
    it(`${duty}: ${after}`, () =>
      World.run(options, async (world) => {
        // Somebody before has left a shape, so that the next one has tables to look after.
        const before = await world.start("before")
        await world.until("active", () => before.state === "active")
        world.insert(1, 2)
        const client = await world.client(before, 1)
        await world.result(before.shutdown())
        const member = await world.start("member")
        if (early) strike(world, member)
        await world.until("active", () => member.state === "active")
        if (duty === "eviction") await world.client(member, 2)
        if (!early) strike(world, member)
        await world.until("a death", () => told(member, what).length > 0, 120_000)
        assert.strictEqual(told(member, what).length, 1)
        assert.strictEqual(member.state, "active")
        assert.match(told(member, what)[0] ?? "", after === "letGo" ? /not begun anew/ : /begins anew in 1 s/)
        await world.advance(1000)
        await world.until("at work again", () => isWell(world, member), 120_000)
        assert.strictEqual(told(member, what).length, 1)
        assert.strictEqual(member.state, "active")
        if (duty === "eviction") return
        world.insert(1)
        await world.advance(200)
        await world.assertServes(member, client)
      }))
  }

  it("readiness: beginAgain, and the lock is waited for all the while", () =>
    World.run({}, async (world) => {
      const holder = await world.start("holder")
      await world.until("active", () => holder.state === "active")
      const next = await world.start("next")
      await world.until("prepared", () => next.strikes.isWell("warmth"))
      next.strikes.strike("warmth")
      await world.until("a death", () => told(next, duties.readiness.what).length > 0)
      await world.until("prepared again", () => next.strikes.isWell("warmth"), 2000)
      assert.strictEqual(next.state, "waiting")
      holder.kill()
      await world.until("active", () => next.state === "active")
    }))

  it("fence: endTurn, so that an instance that does not know whether it is fenced off holds no lock", () =>
    World.run({}, async (world) => {
      const member = await world.start("member")
      await world.until("active", () => member.state === "active")
      world.insert(1)
      const client = await world.client(member, 1)
      failOnce(writingOf(member), "checkPlace", boom)
      await world.until("a death", () => told(member, duties.fence.what).length > 0)
      await world.until("without the lock", () => member.state === "waiting", 1000)
      assert.strictEqual(world.server.lockHolder, undefined)
      // It asks again like everybody else.
      await world.until("active again", () => member.state === "active")
      world.insert(1)
      await world.advance(200)
      await world.assertServes(member, client)
    }))

  it("an instance that runs into the limit of open files, and is fenced off then, gives up the lock", () =>
    World.run({}, async (world) => {
      const member = await world.start("member")
      await world.until("active", () => member.state === "active")
      const { engine } = member
      const manyFiles = diskFault("look at", "journal", { code: "EMFILE" })
      for (let i = 0; i < 3; i++) {
        const looked = failOnce(writingOf(member), "checkPlace", manyFiles)
        await world.until("a look", looked)
      }
      failOnce(engine, "settled", manyFiles)
      await world.advance(2000)
      assert.strictEqual(member.state, "active")
      member.freeze()
      world.server.terminate(world.server.lockHolder?.pid ?? 0)
      const next = await world.start("next")
      await world.until("active", () => next.state === "active", 120_000)
      member.thaw()
      await world.until("fenced", () => member.state === "waiting", 10_000)
    }))
})
