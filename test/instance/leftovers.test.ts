import { assert, describe, it } from "@effect/vitest"
import { Exit } from "effect"
import { vi } from "vitest"
import { gatedLevel } from "../../src/storage/levels/Levels.ts"
import { smallSegments } from "./support/Plot.ts"
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

const filesBelow = (world: World, part: RegExp): ReadonlyArray<string> =>
  world.disk.listing().filter((line) => part.test(line))

describe("what is left in storage", () => {
  it("by instances that were killed is removed, also once storage is finalised", { timeout: 60_000 }, () =>
    World.run({ config: { rollbackWindowMillis: 0 } }, async (world) => {
      const first = await active(world, "first")
      await world.until(
        "it has said that it is there",
        () => filesBelow(world, /instances\/.*json/).length > 0
      )
      const stall = world.disk.stall({ operation: "rename", path: /instances/ })
      await world.until("it is saying that it is there", () => stall.hits() > 0)
      first.kill()
      stall.end()
      const next = await active(world, "next")
      await world.until("storage is finalised", () => next.engine.store.level === gatedLevel, 120_000)
      const left = filesBelow(world, /instances\/.*json/)
      assert.strictEqual(left.length, 3, left.join("\n"))
      const isLeft = () => filesBelow(world, /instances\/.*json/).length > 1
      const took = await world.until("only its own file is there", () => !isLeft(), 1_000_000)
      assert.isAbove(took, 540_000)
    })
  )

  it("by an instance that stops is nothing, also where it stops while it says that it is there", () =>
    World.run({}, async (world) => {
      const only = await active(world, "only")
      const stall = world.disk.stall({ operation: "rename", path: /instances/ })
      await world.until("it is saying that it is there", () => stall.hits() > 0)
      const leaving = only.leave()
      // Whatever of the stop waits for nothing has come to pass by then.
      await world.advance(2000)
      stall.end()
      assert.isTrue(Exit.isSuccess(await world.result(leaving)))
      await world.advance(2000)
      assert.deepStrictEqual(filesBelow(world, /instances\/./), [])
    }))

  it("by the level before it is removed", () =>
    World.run({ config: { ...smallSegments, rollbackFloor: "0.1.0" } }, async (world) => {
      const first = await active(world, "first")
      const client = await world.client(first, 1)
      const fill = async () => {
        for (let n = 0; n < 40; n++) {
          world.insert(1)
          await world.advance(20)
        }
      }
      await fill()
      await world.until("entries are moved", () => first.engine.oldestSegment > 2)
      assert.isNotEmpty(filesBelow(world, /l\d+\.idx/))
      first.kill()
      const next = await active(world, "next")
      await next.engine.writing?.raiseLevel(gatedLevel, {
        level: gatedLevel,
        raisedBy: "0.2.0",
        raisedAtMillis: 1,
        sinceMillis: 1,
        lastSeen: {},
        holds: null
      })
      await fill()
      await world.until("no index is left", () => filesBelow(world, /l\d+\.idx/).length === 0)
      await fill()
      await world.assertServes(next, client)
      next.kill()
      await world.assertServes(await active(world, "last"), client)
      assert.deepStrictEqual(filesBelow(world, /l\d+\.idx/), [])
    }))
})
