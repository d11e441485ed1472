import { setTimeout as sleep } from "node:timers/promises"
import { eventually } from "../Eventually.ts"
import { startCluster } from "../../src/dev/EmbeddedPostgres.ts"
import { caughtUp, promote, queryIn } from "../postgres/Copies.ts"
import { connectForText } from "../postgres/RowText.ts"
import type { Random } from "../Random.ts"
import { alterations, truncations } from "./Alterations.ts"
import { databaseName, dropSlot, type World } from "./World.ts"
import { type ContinuityWriter, continuityTables } from "./Writer.ts"

interface Scene {
  readonly world: World
  readonly writer: ContinuityWriter
  readonly random: Random
}

/** Something that happens to the database or to the service while others write. */
type Happening = (scene: Scene) => Promise<void>

/**
 * Pauses the writer until everything is acknowledged. An instance that is killed may have told of a change that no storage has, and
 * where the position is lost besides, what such a client has nobody can tell.
 */
const untilAtRest = async ({ world: { select, slotName }, writer }: Scene): Promise<void> => {
  await writer.pause()
  const [now] = await select("SELECT pg_current_wal_lsn() AS lsn")
  await eventually(
    "all changes to be acknowledged",
    async () => {
      const [slot] = await select(
        `SELECT confirmed_flush_lsn >= '${now?.["lsn"]}' AS done FROM pg_replication_slots WHERE slot_name = '${slotName}'`
      )
      return slot?.["done"] === "t"
    },
    30_000
  )
}

/** Ends all instances, lets it happen while others write, and starts one. */
const whileStopped =
  (work: Happening): Happening =>
  async (scene) => {
    const { random, world, writer } = scene
    const signal = random.pick(["SIGTERM", "SIGKILL"] as const)
    if (signal === "SIGKILL") await untilAtRest(scene)
    for (const { service } of world.instances.running()) await service?.stop(signal)
    writer.resume()
    await writer.more(random.int(1, 20))
    await work(scene)
    await writer.more(random.int(1, 20))
    await world.instances.start()
  }

const dropped: Happening = ({ world }) => dropSlot(world)

const advanced: Happening = async ({ world: { query, slotName } }) => {
  await eventually(
    "the slot to be free",
    async () => {
      await query("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", [slotName])
      return true
    },
    30_000
  )
}

/** More WAL than a slot may hold back. */
const invalidated: Happening = async ({ world: { query, select, slotName } }) => {
  await query("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
  await query("SELECT pg_reload_conf()")
  await eventually(
    "the slot to be lost",
    async () => {
      await query("SELECT pg_logical_emit_message(false, 'fill', 'x'), pg_switch_wal()")
      await query("CHECKPOINT")
      const [slot] = await select(
        `SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${slotName}'`
      )
      return slot?.["wal_status"] === "lost"
    },
    60_000
  )
  await query("ALTER SYSTEM RESET max_slot_wal_keep_size")
  await query("SELECT pg_reload_conf()")
}

const publicationDropped: Happening = ({ world: { publicationName, query } }) =>
  query(`DROP PUBLICATION IF EXISTS ${publicationName}`)

/** Takes a table out and puts it back, some transactions later. */
const alteredFor =
  (tables: ReadonlyArray<string>): Happening =>
  async ({ random, world, writer }) => {
    const table = random.pick(tables)
    const alter = async (how: string) => {
      // The service may have brought it in order already.
      await world
        .query(`ALTER PUBLICATION ${world.publicationName} ${how} ${table}`)
        .catch((error: unknown) => {
          if (!/already member|not part of/.test(String(error))) throw error
        })
    }
    await alter("DROP TABLE")
    await writer.more(random.int(1, 10))
    await alter("ADD TABLE")
  }

const killed: Happening = async ({ world: { instances } }) => {
  const active = await instances.active(60_000)
  await active.service?.stop("SIGKILL")
  if (instances.running().length === 0) await instances.start()
}

const handedOver: Happening = async ({ random, world: { instances } }) => {
  const active = await instances.active(60_000)
  await instances.untilReady(await instances.start())
  await active.service?.stop(random.pick(["SIGTERM", "SIGKILL"]))
}

/** In whatever step of bringing shapes to the database. */
const killedInRepair: Happening = async (scene) => {
  const { random, world } = scene
  await whileStopped(dropped)(scene)
  await sleep(random.int(0, 400))
  for (const { service } of world.instances.running()) await service?.stop("SIGKILL")
  await dropSlot(world)
  await world.instances.start()
}

const databaseRestarted: Happening = ({ world }) => world.cluster.restart()

const databaseKilled: Happening = async ({ world }) => {
  await world.cluster.kill()
  await world.cluster.start()
}

const inSteps =
  (steps: (random: Random) => ReadonlyArray<string>): Happening =>
  async ({ random, world, writer }) => {
    for (const step of steps(random)) {
      await world.query(step)
      await writer.more(random.int(0, 10))
    }
  }

const innerTruncated: Happening = ({ world }) => world.query("TRUNCATE members")

/** The database as it was at the last backup. Where the service runs it meets a server that has never had what it has. */
const restored: Happening = async ({ world }) => world.turnTo(await world.backup.start())

const backedUp: Happening = ({ world }) => world.takeBackup()

/** A standby takes the place of its primary, which has done more or has not. */
const failedOver =
  (loses: boolean): Happening =>
  async ({ random, world, writer }) => {
    await world.takeBackup()
    const standby = await world.backup.startStandby(world.cluster)
    await writer.more(random.int(1, 20))
    if (!loses) await writer.pause()
    await caughtUp(world.cluster, standby)
    if (loses) {
      await queryIn(standby, "ALTER SYSTEM SET primary_conninfo = ''")
      await queryIn(standby, "SELECT pg_reload_conf()")
      await writer.more(random.int(1, 20))
    }
    await promote(standby)
    await world.turnTo(standby)
    writer.resume()
  }

/** The same tables with the same rows in another cluster, as after a dump. */
const movedToAnotherCluster: Happening = async ({ world, writer }) => {
  await writer.pause()
  const next = await startCluster()
  const admin = await connectForText(next.url("postgres"))
  await admin.query(`CREATE DATABASE ${databaseName}`)
  await admin.end()
  const client = await connectForText(next.url(databaseName))
  await client.query(continuityTables)
  for (const table of ["members", "items", "loose"]) {
    const [rows] = await world.select(`SELECT coalesce(json_agg(t), '[]') AS all FROM ${table} t`)
    await client.query(`DELETE FROM ${table}`)
    await client.query(
      `INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1::json)`,
      [rows?.["all"]]
    )
  }
  await client.end()
  await world.turnTo(next)
  writer.resume()
}

/** What handles live through, by name. */
export const continuityEvents = {
  slotDropped: dropped,
  slotDroppedWhileStopped: whileStopped(dropped),
  slotAdvancedWhileStopped: whileStopped(advanced),
  slotInvalidatedWhileStopped: whileStopped(invalidated),
  publicationDropped,
  publicationDroppedWhileStopped: whileStopped(publicationDropped),
  publicationAltered: alteredFor(["items", "members", "loose"]),
  publicationAlteredWhileStopped: whileStopped(alteredFor(["items", "members", "loose"])),
  killed,
  handedOver,
  killedInRepair,
  databaseRestarted,
  databaseKilled,
  innerTruncatedWhileStopped: whileStopped(innerTruncated),
  truncated: inSteps(truncations),
  truncatedWhileStopped: whileStopped(inSteps(truncations)),
  altered: inSteps(alterations),
  alteredWhileStopped: whileStopped(inSteps(alterations)),
  backedUp,
  restored,
  restoredWhileStopped: whileStopped(restored),
  failedOver: failedOver(false),
  failedOverWhileStopped: whileStopped(failedOver(false)),
  failedOverWithLosses: failedOver(true),
  movedToAnotherCluster,
  movedToAnotherClusterWhileStopped: whileStopped(movedToAnotherCluster)
} satisfies Readonly<Record<string, Happening>>

export type ContinuityEvent = keyof typeof continuityEvents
