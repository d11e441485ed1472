import { assert } from "@effect/vitest"
import type { DiskCall } from "../../../testing/disk/FaultyDisk.ts"
import { Client, type Progress } from "./Client.ts"
import type { Member } from "./Member.ts"
import { World } from "./World.ts"

/** What becomes of one call of the disk: it is refused, so are all after it for a while, it hangs, or the power is cut there. */
export type Fate = "none" | "EMFILE" | "EIO" | "ENOSPC" | "refusesForAWhile" | "hangs" | "powerCut"

/** A full disk has room for half of what is written: that tears a write. */
export const fatesOf = (call: DiskCall | undefined): ReadonlyArray<Fate> => [
  call?.operation === "write" ? "ENOSPC" : "EMFILE",
  "EIO",
  "refusesForAWhile",
  "hangs",
  "powerCut"
]

/** A few transactions fill a segment. */
export const smallSegments = {
  journalSegmentBytes: 500,
  chunkBytesThreshold: 700,
  cleanupIntervalMillis: 500
}
const whileMillis = 3000
/** Longer than any pause between attempts. */
const patienceMillis = 60_000

/**
 * One story, in which storage does everything that it ever does: begins, makes shapes, appends, begins segments, moves them,
 * writes checkpoints, drops a shape, is handed over to a follower, and taken over from one that was killed.
 */
class Plot {
  private readonly world: World
  private readonly reader = new Client(1)
  private readonly doomed = new Client(2)
  private names = 0

  constructor(world: World) {
    this.world = world
  }

  async play(): Promise<void> {
    const { reader, world } = this
    await this.start()
    world.insert(1, 2)
    await this.read(reader)
    await this.read(this.doomed)
    for (let n = 0; n < 12; n++) {
      world.insert(1, 2)
      await world.advance(10)
    }
    await world.advance(1200)
    await this.delete(this.doomed)
    await world.advance(600)
    const next = await this.start()
    await world.advance(50)
    const old = this.alive.find((each) => each !== next)
    old?.shutdown()
    world.insert(1)
    await this.read(reader)
    ;(await this.active()).kill()
    old?.kill()
    world.insert(1)
    await this.end()
  }

  private get alive(): ReadonlyArray<Member> {
    for (const each of this.world.members) {
      const exit = each.isKilled || each.isStopping ? undefined : each.running.pollUnsafe()
      if (exit === undefined) continue
      // The process ends, and says why.
      assert(exit._tag === "Failure", each.name)
      assert.match(String(exit.cause), /ELECTRIC_STORAGE_DIR|storage directory/)
      each.kill()
    }
    return this.world.members.filter(({ isKilled, isStopping }) => !isKilled && !isStopping)
  }

  private start(): Promise<Member> {
    return this.world.start(`m${this.names++}`)
  }

  /** The active instance; the operator, or what does his work, starts one when none is left. */
  private async active(): Promise<Member> {
    const { world } = this
    const began = world.time.now
    for (;;) {
      const found = this.alive.find(({ state }) => state === "active")
      if (found !== undefined) return found
      if (this.alive.length === 0) await this.start()
      assert.isBelow(world.time.now - began, patienceMillis, "nobody is active")
      await world.advance(50)
    }
  }

  /** Asks until there is an answer that counts, as clients do. */
  private async read(client: Client): Promise<void> {
    const began = this.world.time.now
    for (let progress: Progress = "more"; progress !== "upToDate";) {
      progress = await this.readOnce(client)
      assert.isBelow(this.world.time.now - began, 2 * patienceMillis, `no answer for ${client.target()}`)
      if (progress !== "more") await this.world.advance(100)
      assert.strictEqual(client.refetches, 0, "nobody starts over")
    }
  }

  private async readOnce(client: Client): Promise<Progress> {
    const member = await this.active()
    const asking = member.ask(client.target())
    await this.world.until(
      "an answer, or the end of the instance",
      () => member.isKilled || asking.pollUnsafe() !== undefined
    )
    const exit = asking.pollUnsafe()
    if (exit?._tag === "Success") return client.take(exit.value)
    // The connection was cut: because the process is dead, or in the middle of what could not be read on.
    assert.isAbove(this.world.disk.hits, 0, "a request died")
    return "retry"
  }

  private async delete(client: Client): Promise<void> {
    const { world } = this
    for (let tries = 0; ; tries++) {
      const member = await this.active()
      const asking = member.ask(`/v1/shape?table=t${client.table}&handle=${client.handle}`, {
        method: "DELETE"
      })
      await world.until(
        "an answer, or the end of the instance",
        () => member.isKilled || asking.pollUnsafe() !== undefined
      )
      const exit = asking.pollUnsafe()
      const status = exit?._tag === "Success" ? exit.value.status : undefined
      if (status === 202) return
      // An earlier attempt may have had its effect.
      if ((status === 400 || status === 404) && tries > 0) return
      assert.include([undefined, 503], status)
      await world.advance(500)
    }
  }

  private async end(): Promise<void> {
    const { doomed, reader, world } = this
    world.disk.heal()
    const last = await this.active()
    world.insert(1)
    await world.advance(1500)
    await this.read(reader)
    await world.assertServes(last, reader)
    assert.isUndefined(last.engine.store.byHandle(doomed.handle ?? ""), "a shape that was deleted is back")
    for (const { log, name, states } of world.members) {
      const turns = states.filter((state) => state === "active").length
      if (turns > 1) assert.match(log.join("\n"), /Warn|Error/, `${name} has given up a turn without a word`)
    }
  }
}

/** Plays it in a world of its own. The calls of the disk, of which the `nth` had this fate. */
export const freshPlot = (fate: Fate, nth = 0): Promise<ReadonlyArray<DiskCall>> =>
  World.run({ config: smallSegments }, async (world) => {
    const { disk, time } = world
    const one = { nth, times: 1 }
    // What comes first is done first: the fault may end the call.
    const endLater = (end: () => void) => time.after(whileMillis, end)
    if (fate === "hangs") {
      disk.before(one, () => endLater(() => stall.end()))
      const stall = disk.stall(one)
    } else if (fate === "refusesForAWhile") {
      disk.before(one, () => endLater(() => fault.end()))
      const fault = disk.fail({ nth }, "EIO")
    } else if (fate === "powerCut") disk.before(one, () => world.powerCut("nothing"))
    else if (fate !== "none") disk.fail(one, fate)
    await new Plot(world).play()
    return disk.calls
  })
