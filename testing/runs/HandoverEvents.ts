import { readdir } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"
import type { Cluster } from "../../src/dev/EmbeddedPostgres.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { readLevelRecord, requestFinalise } from "../../src/storage/levels/LevelFile.ts"
import { ownLevels } from "../../src/storage/levels/Levels.ts"
import { eventually } from "../Eventually.ts"
import type { Random } from "../Random.ts"
import type { Instances, Place } from "../services/Instances.ts"

export const handoverKinds = [
  "upgrade",
  "killActive",
  "killWaiting",
  "killTakeover",
  "killDraining",
  "freeze",
  "cutDatabase",
  "blackHole",
  "restartPostgres",
  "killAll",
  /** Every older instance is replaced, and storage is finalised: from then on all that are started are of this state. */
  "finalise"
] as const
export type HandoverKind = (typeof handoverKinds)[number]

/** What a handover happens to. */
export interface EventOptions {
  /** Restarted by `restartPostgres`; the other kinds do not need to own it. */
  readonly cluster: Pick<Cluster, "restart"> | undefined
  readonly streamId: string
  readonly storageDir: string
  readonly instances: number
  readonly random: Random
}

/** Waits until storage has the newest level, and nothing is left of what only the releases before it read. */
const untilFinalised = async ({ storageDir, streamId }: EventOptions): Promise<void> => {
  const paths = storagePaths(storageDir, streamId)
  await requestFinalise(paths)
  await eventually(
    "storage to be finalised",
    async () => (await readLevelRecord(paths))?.level === ownLevels.newest,
    60_000
  )
  await eventually(
    "the indexes of the level before to be gone",
    async () => {
      const files = await readdir(paths.shapes, { recursive: true })
      const indexes = files.filter((name) => name.endsWith(".idx"))
      if (indexes.length > 0) throw new Error(indexes.join(" "))
      return true
    },
    120_000
  )
}

/** Until a process that was told to end, or killed, is gone. */
export const ended = async (place: Place): Promise<void> => {
  await place.service?.ended
  place.service = undefined
}

/** Lets it happen, waits until the set of instances is whole again; how long a successor took to be active. */
export const happen = async (
  kind: HandoverKind,
  options: EventOptions,
  instances: Instances
): Promise<number | undefined> => {
  const active = await instances.active()
  const others = () => instances.running().filter((place) => place !== active)
  const successor = async (since: number): Promise<number> => {
    await instances.active(60_000, active)
    return performance.now() - since
  }
  const refill = async () => {
    while (instances.running().length < options.instances) {
      await instances.untilReady(await instances.start())
    }
  }
  const began = performance.now()
  switch (kind) {
    case "upgrade": {
      const next = await instances.start()
      await instances.untilReady(next)
      const old = await instances.active()
      const signalled = performance.now()
      old.service?.signal("SIGTERM")
      await instances.active(60_000, old)
      const millis = performance.now() - signalled
      await ended(old)
      return millis
    }
    case "killActive": {
      active.service?.signal("SIGKILL")
      const millis = await successor(began)
      await ended(active)
      await refill()
      return millis
    }
    case "killWaiting": {
      const victim = options.random.pick(others())
      victim.service?.signal("SIGKILL")
      await ended(victim)
      await refill()
      return undefined
    }
    case "killTakeover": {
      // A successor is killed about when it is given the lock, whatever it is doing then.
      active.service?.signal("SIGTERM")
      await sleep(options.random.int(0, 150))
      const victim = options.random.pick(others())
      victim.service?.signal("SIGKILL")
      await ended(victim)
      await instances.start()
      const millis = await successor(began)
      await ended(active)
      await refill()
      return millis
    }
    case "killDraining": {
      active.service?.signal("SIGTERM")
      const millis = await successor(began)
      active.service?.signal("SIGKILL")
      await ended(active)
      await refill()
      return millis
    }
    case "freeze": {
      active.frozen = true
      active.service?.signal("SIGSTOP")
      const millis = await successor(began)
      await sleep(options.random.int(0, 1000))
      active.service?.signal("SIGCONT")
      active.frozen = false
      await instances.untilHealth(active, "waiting", 60_000)
      return millis
    }
    case "cutDatabase": {
      active.wire.block()
      const millis = await successor(began)
      active.wire.restore()
      await instances.untilHealth(active, "waiting", 60_000)
      return millis
    }
    case "blackHole": {
      active.wire.blackHole()
      const millis = await successor(began)
      await sleep(options.random.int(0, 500))
      active.wire.restore()
      await instances.untilHealth(active, "waiting", 60_000)
      return millis
    }
    case "restartPostgres": {
      await options.cluster?.restart()
      const restarted = performance.now()
      await instances.active()
      return performance.now() - restarted
    }
    case "finalise": {
      for (const older of instances.running().filter(({ entry }) => entry !== undefined)) {
        await instances.untilReady(await instances.start())
        older.service?.signal("SIGTERM")
        await ended(older)
      }
      await instances.active(60_000)
      await untilFinalised(options)
      return undefined
    }
    case "killAll": {
      const victims = instances.running()
      for (const { service } of victims) service?.signal("SIGKILL")
      for (const victim of victims) await ended(victim)
      await instances.untilHealth(await instances.start(), "active")
      const millis = performance.now() - began
      await refill()
      return millis
    }
  }
}
