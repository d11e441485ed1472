import { assert, describe, it } from "@effect/vitest"
import {
  roleAfter,
  type RoleEvent,
  roleEvents,
  type RoleName,
  roleNames
} from "../../src/storage/roles/EngineRole.ts"

/** An engine as it really is: with the work that it has begun and that will end some time. */
interface World {
  readonly role: RoleName
  readonly takeover: boolean
  readonly release: boolean
}

const start: World = { role: "opened", takeover: false, release: false }

/** Events that can really happen. The host closes whenever it likes; work that was begun before ends after that. */
const possible = ({ release, role, takeover }: World): ReadonlyArray<RoleEvent> =>
  roleEvents.filter((event) => {
    if (event === "won" || event === "gaveUp") return takeover
    if (event === "left") return release
    // The instance follows when storage is loaded, and asks to take over with the lock, one after the other.
    if (event === "follow") return role === "opened" || role === "following" || role === "closed"
    if (event === "takeOver") return !takeover && !release && role !== "writing"
    return true
  })

const step = (world: World, event: RoleEvent): World => {
  const role = roleAfter(world.role, event)
  assert.isNotNull(role, `${event} can happen in ${JSON.stringify(world)}`)
  return {
    role: role ?? world.role,
    takeover: event === "won" || event === "gaveUp" ? false : world.takeover || role === "takingOver",
    release: event === "left" ? false : world.release || role === "leaving"
  }
}

const explore = (from: World): ReadonlyArray<World> => {
  const seen = new Map<string, World>()
  const todo = [from]
  for (let world = todo.pop(); world !== undefined; world = todo.pop()) {
    const key = JSON.stringify(world)
    if (seen.has(key)) continue
    seen.set(key, world)
    for (const event of possible(world)) todo.push(step(world, event))
  }
  return [...seen.values()]
}

const everywhere = explore(start)

/** What changes the role, line by line. */
const changes = (event: RoleEvent): ReadonlyArray<string> =>
  roleNames.flatMap((role) => {
    const next = roleAfter(role, event)
    return next === null || next === role ? [] : [`${role} -> ${next}`]
  })

describe("the roles of a storage engine", () => {
  it("change as the table says, and in no other way", () => {
    assert.deepStrictEqual(Object.fromEntries(roleEvents.map((event) => [event, changes(event)])), {
      follow: ["opened -> following"],
      takeOver: ["opened -> takingOver", "following -> takingOver"],
      won: ["takingOver -> writing"],
      gaveUp: ["takingOver -> following"],
      release: ["writing -> leaving"],
      left: ["leaving -> following"],
      close: ["opened", "following", "takingOver", "writing", "leaving"].map((role) => `${role} -> closed`)
    })
  })

  it("refuse what would be a bug, and nothing that can happen", () => {
    const refused = roleNames.map((role) => [
      role,
      roleEvents.filter((event) => roleAfter(role, event) === null).join(" ")
    ])
    assert.deepStrictEqual(Object.fromEntries(refused), {
      opened: "won gaveUp left",
      following: "won gaveUp left",
      takingOver: "follow takeOver left",
      writing: "follow takeOver won gaveUp left",
      leaving: "follow takeOver won gaveUp",
      closed: ""
    })
    assert.isAbove(everywhere.length, roleNames.length)
  })

  it("are all reached, and lead to writing from everywhere but from the end, which is for good", () => {
    assert.sameMembers([...new Set(everywhere.map(({ role }) => role))], [...roleNames])
    for (const world of everywhere) {
      const ahead = new Set(explore(world).map(({ role }) => role))
      if (world.role === "closed") assert.deepStrictEqual([...ahead], ["closed"])
      else assert.isTrue(ahead.has("writing"), JSON.stringify(world))
    }
  })

  it("have the work that they stand for, and no other, until the end", () => {
    for (const { release, role, takeover } of everywhere) {
      if (role === "closed") continue
      assert.strictEqual(takeover, role === "takingOver")
      assert.strictEqual(release, role === "leaving")
    }
  })
})
