import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import {
  abilities,
  type HealthEvent,
  healthEvents,
  type HealthState,
  healthStates,
  isStopping,
  refusalOf,
  transition
} from "../../src/health/HealthState.ts"
import { refusalReasons, refusals } from "../../src/health/Refusal.ts"
import { isOfStartingInstance } from "../../testing/readers/RefusedAnswer.ts"

const said = (...asked: Parameters<typeof refusalOf>) => {
  const { message, retryAfterSeconds, why } = refusalOf(...asked)
  return `${why} ${retryAfterSeconds}: ${message.slice(0, 46)}`
}

const isExcused = ({ message, retryAfterSeconds }: ReturnType<typeof refusalOf>, status = 503) =>
  isOfStartingInstance({
    status,
    body: JSON.stringify({ message }),
    retryAfter: String(retryAfterSeconds)
  })

/** What is true of the world, as opposed to what the instance believes. */
interface World {
  readonly state: HealthState
  readonly lockHeld: boolean
  readonly storageLoaded: boolean
}

/** Events that can really happen in a world. Races are allowed: a fiber may report what another one has just undone. */
const possible = ({ state, lockHeld, storageLoaded }: World): ReadonlyArray<HealthEvent> =>
  healthEvents.filter((event) => {
    if (event === "storageLoaded" || event === "replicates") return !storageLoaded
    if (event === "lockGranted")
      return !lockHeld && storageLoaded && state !== "asleep" && state !== "replica"
    if (event === "streamStarted") return lockHeld && (state === "takingOver" || state === "releasing")
    if (event === "storageFailed") return lockHeld
    if (event === "slept") return lockHeld && (state === "active" || state === "releasing")
    if (event === "lockReleased") return state === "releasing"
    if (event === "drained") return state === "draining"
    return true
  })

const lockAfter: Partial<Record<HealthEvent, boolean>> = {
  lockGranted: true,
  lockLost: false,
  lockReleased: false,
  storageFailed: false,
  databaseDown: false,
  slept: false
}

const step = (world: World, event: HealthEvent): World => {
  const next = transition(world.state, event)
  assert.isNotNull(next, `${event} can happen in ${JSON.stringify(world)}`)
  const state = next ?? world.state
  // An instance that is demoted or stopped closes its connection, and the lock goes with it.
  const gaveUp = event === "fenced" || state === "draining" || state === "stopped"
  return {
    state,
    lockHeld: gaveUp ? false : (lockAfter[event] ?? world.lockHeld),
    storageLoaded: world.storageLoaded || event === "storageLoaded" || event === "replicates"
  }
}

const explore = (from: World, events: (world: World) => ReadonlyArray<HealthEvent>): ReadonlyArray<World> => {
  const seen = new Map<string, World>()
  const todo = [from]
  for (let world = todo.pop(); world !== undefined; world = todo.pop()) {
    const key = JSON.stringify(world)
    if (seen.has(key)) continue
    seen.set(key, world)
    for (const event of events(world)) todo.push(step(world, event))
  }
  return [...seen.values()]
}

const start: World = { state: "starting", lockHeld: false, storageLoaded: false }
const everywhere = explore(start, possible)
const withoutShutdown = (world: World) => possible(world).filter((event) => event !== "shutdown")

const answer = (state: HealthState) => {
  const { status, body } = abilities[state].health
  return `${status} ${JSON.stringify(body)}`
}

const statesWhere = (ability: "asksWriter" | "mayBecomeActive" | "knowsWholeLog" | "asksDatabase") =>
  healthStates.filter((state) => abilities[state][ability])

/** The state that `events` lead to from active. */
const route = (...events: ReadonlyArray<HealthEvent>) =>
  events.reduce(step, { state: "active", lockHeld: true, storageLoaded: true }).state

describe("health states", () => {
  it("are all reached", () => {
    assert.sameMembers([...new Set(everywhere.map((world) => world.state))], [...healthStates])
  })

  it("never allow to append, or to create shapes, without the lock", () => {
    for (const world of everywhere) {
      const can = abilities[world.state]
      assert.isTrue(world.lockHeld || !(can.mayAppend || can.createsShapes), JSON.stringify(world))
    }
  })

  it("never lead out of a replica but by a shutdown", () => {
    for (const world of everywhere.filter(({ state }) => state === "replica"))
      assert.deepStrictEqual(
        explore(world, withoutShutdown).map(({ state }) => state),
        ["replica"]
      )
  })

  it("always leave a way to active, until a shutdown, but for a replica", () => {
    for (const world of everywhere.filter(({ state }) => !isStopping(state) && state !== "replica")) {
      const ahead = explore(world, withoutShutdown)
      assert.isTrue(
        ahead.some(({ state }) => state === "active"),
        JSON.stringify(world)
      )
    }
  })

  it("end in stopped after a shutdown, and never serve as active again", () => {
    for (const world of everywhere.filter(({ state }) => isStopping(state))) {
      const ahead = explore(world, possible)
      assert.isTrue(ahead.every(({ state }) => isStopping(state)))
      assert.isTrue(ahead.some(({ state }) => state === "stopped"))
      for (const { state } of ahead) assert.strictEqual(abilities[state].health.status, 503)
    }
  })

  it("serve existing shapes from the moment storage is loaded until the end", () => {
    for (const { state, storageLoaded } of everywhere) {
      if (state === "stopped" || (isStopping(state) && !storageLoaded)) continue
      assert.strictEqual(abilities[state].servesExistingShapes, storageLoaded, state)
    }
  })

  it("say what the health route answers", () => {
    assert.deepStrictEqual(Object.fromEntries(healthStates.map((state) => [state, answer(state)])), {
      starting: '202 {"status":"starting"}',
      waiting: '202 {"status":"waiting"}',
      unwritable: '202 {"status":"waiting","reason":"storage cannot be written"}',
      disconnected: '202 {"status":"waiting"}',
      takingOver: '202 {"status":"starting"}',
      active: '200 {"status":"active"}',
      replica: '200 {"status":"replica"}',
      asleep: '200 {"status":"active"}',
      releasing: '503 {"status":"stopping"}',
      draining: '503 {"status":"stopping"}',
      stopped: '503 {"status":"stopping"}'
    })
  })

  it("say why no shape is made, and when to ask again", () => {
    assert.deepStrictEqual(Object.fromEntries(healthStates.map((state) => [state, said(state, false)])), {
      starting: "waiting 5: Timeout waiting for shape metadata to be loade",
      waiting: "waiting 5: Timeout waiting for Postgres lock acquisition",
      disconnected: "waiting 5: Timeout waiting for Postgres lock acquisition:",
      unwritable: "failed 10: Storage cannot be written, so this instance ca",
      takingOver: "waiting 5: Timeout waiting for replication client to be r",
      replica: "waiting 5: This instance is a replica, and the active ins",
      active: "waiting 1: Failed to create shape, please retry",
      asleep: "waiting 5: Timeout waiting for Postgres lock acquisition",
      releasing: "stopping 1: This instance is shutting down; its successor ",
      draining: "stopping 1: This instance is shutting down; its successor ",
      stopped: "stopping 1: This instance is shutting down; its successor "
    })
    for (const state of healthStates) {
      for (const why of refusalReasons) {
        const given = refusalOf(state, true, why).why
        const expected =
          why !== "waiting" ? why : abilities[state].health.status === 202 ? "failed" : "waiting"
        assert.strictEqual(given, isStopping(state) ? "stopping" : expected, `${state} ${why}`)
      }
    }
    assert.match(said("starting", true), /^failed 10: This instance cannot become active/)
    assert.match(said("active", false, "notDurable"), /^notDurable 1: Another instance has taken over/)
  })

  it("say that storage is being read only while it is: clients of soaks are excused by that", () => {
    for (const state of healthStates)
      for (const why of refusalReasons)
        for (const hasFailed of [false, true])
          assert.strictEqual(
            isExcused(refusalOf(state, hasFailed, why)),
            state === "starting" && why === "waiting" && !hasFailed,
            `${state} ${why} ${hasFailed}`
          )
    const excused = Object.entries(refusals).filter(([, refusal]) => isExcused(refusal))
    assert.deepStrictEqual(Object.fromEntries(excused), { starting: refusals.starting })
    assert.isFalse(isExcused(refusals.starting, 409))
    const withoutTime = { status: 503, body: JSON.stringify({ message: refusals.starting.message }) }
    assert.isFalse(isOfStartingInstance({ ...withoutTime, retryAfter: null }))
  })

  it("say what else an instance does in them", () => {
    assert.deepStrictEqual(statesWhere("knowsWholeLog"), ["active", "releasing"])
    assert.deepStrictEqual(
      statesWhere("mayBecomeActive"),
      healthStates.filter((state) => !["replica", "releasing", "draining", "stopped"].includes(state))
    )
    assert.deepStrictEqual(
      statesWhere("asksDatabase"),
      healthStates.filter(
        (state) => !["disconnected", "replica", "asleep", "draining", "stopped"].includes(state)
      )
    )
    assert.deepStrictEqual(statesWhere("asksWriter"), ["replica"])
  })

  it("are looked up in this table by what answers requests, and not listed elsewhere", () => {
    const src = path.resolve(import.meta.dirname, "../../src")
    const listed = new RegExp(`[=!]== "(?:${healthStates.join("|")})"`)
    for (const folder of ["http", "metrics", "workers"])
      for (const file of readdirSync(path.join(src, folder), { recursive: true, encoding: "utf8" })) {
        if (!file.endsWith(".ts")) continue
        const lines = readFileSync(path.join(src, folder, file), "utf8").split("\n")
        assert.deepStrictEqual(
          lines.filter((line) => listed.test(line)),
          [],
          file
        )
      }
  })

  it("lead from active to waiting and back when the lock, the database or the epoch is lost", () => {
    assert.strictEqual(route("lockLost"), "waiting")
    assert.strictEqual(route("fenced"), "waiting")
    assert.strictEqual(route("databaseDown"), "disconnected")
    for (const lost of ["lockLost", "fenced", "databaseDown"] as const) {
      assert.strictEqual(route(lost, "databaseUp", "lockGranted", "streamStarted"), "active")
    }
    assert.strictEqual(route("slept"), "asleep")
    assert.strictEqual(route("slept", "woken", "databaseUp", "lockGranted", "streamStarted"), "active")
  })
})
