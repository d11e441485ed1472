import { readdir } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Cluster } from "../../src/dev/EmbeddedPostgres.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { readLevelRecord, requestFinalise } from "../../src/storage/levels/LevelFile.ts"
import { ownLevels } from "../../src/storage/levels/Levels.ts"
import { eventually } from "../Eventually.ts"
import { differenceOfRows } from "../postgres/Rows.ts"
import { startBalancer } from "../services/Balancer.ts"
import { type Instances, makeInstances, type Place } from "../services/Instances.ts"
import type { Random } from "../Random.ts"
import { type RecordingClient, startClient } from "../readers/RecordingClient.ts"
import { LogFollower } from "../readers/LogFollower.ts"
import { isOfStartingInstance, type RefusedAnswer } from "../readers/RefusedAnswer.ts"
import { connectForText, selectText } from "../postgres/RowText.ts"
import { createTables } from "./WriteLoad.ts"
import { startWriteLoadThread } from "./WriteLoadThread.ts"

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

export interface HandoverOptions {
  /** Restarted by `restartPostgres`; the other kinds do not need to own it. */
  readonly cluster: Pick<Cluster, "restart"> | undefined
  readonly databaseUrl: string
  readonly streamId: string
  readonly storageDir: string
  /** See `InstancesOptions`. */
  readonly seenAt?: (place: number) => string
  /** See `InstancesOptions`: instances of several releases. */
  readonly entryOf?: (started: number) => string | undefined
  readonly kinds: ReadonlyArray<HandoverKind>
  readonly instances: number
  readonly clients: number
  /** Readers of the bare protocol beside them, each of a shape of its own as long as there are so many. Default: none. */
  readonly followers?: number
  readonly shapes: number
  readonly perSecond: number
  /** `BATON_WAL_SENDER_TIMEOUT`: freezes and partitions last longer than this. */
  readonly boundMillis: number
  /** `BATON_JOURNAL_SEGMENT_BYTES`: with small segments the journal is moved to log files all the time. */
  readonly segmentBytes: number
  /** The last event begins before so much time has passed. Default: no limit. */
  readonly limitMillis?: number
  /** After so many events the writers pause and every client is compared with its table. */
  readonly compareEvery: number
  readonly random: Random
  readonly say: (text: string) => void
}

export interface HandoverReport {
  /** Signal (or fault) to the first `active` of another instance, and the longest silence at any client meanwhile. */
  readonly events: ReadonlyArray<{
    readonly kind: HandoverKind
    /** What the active instance ran before, and what it ran afterwards: see `entryOf`. */
    readonly from: string | undefined
    readonly to: string | undefined
    readonly takeoverMillis: number | undefined
    readonly silenceMillis: number
  }>
  readonly transactions: number
  readonly operationsSeen: number
  readonly cutConnections: number
  /** Requests that came to an instance that was still reading its storage, and were made again as their clients do by themselves. */
  readonly askedAgain: number
  readonly problems: ReadonlyArray<string>
}

const tables = ["north", "south", "east", "west"]
const columnChoices = ["id,v,a,b", "id,v,a", "id,v,b", "id,v"]

const isProblem = (refused: RefusedAnswer): boolean => !isOfStartingInstance(refused)

interface FollowedShape {
  readonly table: string
  readonly columns: string
  readonly client: RecordingClient
  /** The handle that it was first seen with. */
  handle?: string | undefined
}

/**
 * Instances that share storage behind a balancer, writers, and official clients; one thing after the other happens to
 * the instances. No client may notice: see `problems` of the report. The one refusal that is no problem is that of an
 * instance that reads its storage for longer than requests are held, as on a busy machine: clients come back by themselves.
 */
export const handoverRuns = async (options: HandoverOptions): Promise<HandoverReport> => {
  const { random, say } = options
  const problems: Array<string> = []
  const events: Array<HandoverReport["events"][number]> = []
  let askedAgain = 0
  const releases = { isFinalised: false }
  let session = await connectForText(options.databaseUrl)
  await createTables(session, tables, 50)
  const instances = await makeInstances({
    databaseUrl: options.databaseUrl,
    streamId: options.streamId,
    storageDir: options.storageDir,
    ...(options.seenAt === undefined ? {} : { seenAt: options.seenAt }),
    entryOf: (started) => (releases.isFinalised ? undefined : options.entryOf?.(started)),
    places: options.instances + 1,
    env: {
      BATON_WAL_SENDER_TIMEOUT: `${options.boundMillis}ms`,
      BATON_JOURNAL_SEGMENT_BYTES: String(options.segmentBytes),
      BATON_SHUTDOWN_GRACE: "3s",
      // Hundreds of starts: compiling the same code each time would take longer than everything else.
      NODE_COMPILE_CACHE: path.join(tmpdir(), "baton-compile-cache")
    }
  })
  const balancer = await startBalancer({ backends: instances.ports })
  const first = await instances.start()
  await instances.untilHealth(first, "active")
  for (let i = 1; i < options.instances; i++) await instances.untilHealth(await instances.start(), "waiting")

  const load = startWriteLoadThread({
    url: options.databaseUrl,
    tables,
    writers: 4,
    perSecond: options.perSecond,
    random: random.fork()
  })
  /** The shape is made at the active instance: a waiting one would send its clients away until there is one. */
  const follow = async (table: string, columns: string, replica: string): Promise<FollowedShape> => {
    const params = { table, columns, replica }
    await eventually(
      `the shape of ${table}`,
      async () => {
        const { port } = await instances.active()
        const response = await fetch(
          `http://127.0.0.1:${port}/v1/shape?${new URLSearchParams({ ...params, offset: "-1" })}`
        )
        const body = await response.text()
        // On a busy machine it may just have lost its connection. Clients try again.
        if (response.status === 503) throw new Error(body)
        if (!response.ok) problems.push(`The shape of ${table} could not be made: ${response.status} ${body}`)
        return true
      },
      60_000
    )
    return { table, columns, client: startClient({ url: balancer.url, params, versionColumn: "v" }) }
  }
  const shapeOf = (i: number) => {
    const shape = i % options.shapes
    return {
      table: tables[shape % tables.length] ?? "",
      columns: columnChoices[Math.floor(shape / tables.length) % columnChoices.length] ?? "",
      replica: shape < tables.length * columnChoices.length ? "default" : "full"
    }
  }
  const followed: Array<FollowedShape> = []
  for (let i = 0; i < options.clients; i++) {
    const { columns, replica, table } = shapeOf(i)
    followed.push(await follow(table, columns, replica))
  }
  const raw = Array.from({ length: options.followers ?? 0 }, (_, i) => ({
    ...shapeOf(i),
    follower: new LogFollower({ url: balancer.url, params: { ...shapeOf(i) }, versionColumn: "v" }).start()
  }))

  const judge = (shape: FollowedShape): void => {
    const { client, columns, table } = shape
    const name = `${table} (${columns}, ${client.shape.handle} at ${client.shape.lastOffset})`
    shape.handle ??= client.shape.handle
    if (shape.handle !== client.shape.handle) problems.push(`${name}: its handle was ${shape.handle}`)
    for (const problem of client.ledger.problems.splice(0)) problems.push(`${name}: ${problem}`)
    for (const { body, status, url } of client.failures.filter(isProblem))
      problems.push(`${name}: ${status} ${body} for ${url}`)
    for (const error of client.errors) problems.push(`${name}: ${String(error)}`)
  }

  const untilEqual = async (shape: FollowedShape): Promise<void> => {
    const expected = await selectText(session, `SELECT ${shape.columns} FROM ${shape.table}`)
    await eventually(
      `a client of ${shape.table} to have its rows`,
      () => {
        const differs = differenceOfRows(expected, shape.client.rows())
        if (differs !== undefined) throw new Error(differs)
        return true
      },
      40_000
    ).catch((error: unknown) => {
      problems.push(
        `${String(error)}\n  ${shape.client.shape.handle} at ${shape.client.shape.lastOffset}, silent for ` +
          `${Math.round(shape.client.silentMillis())} ms, ${shape.client.cutConnections()} cut connections`
      )
    })
  }

  const compare = async (): Promise<void> => {
    await load.pause()
    await session.query("SELECT 1").catch(async () => {
      session = await connectForText(options.databaseUrl)
    })
    for (const shape of followed) await untilEqual(shape)
    for (const { columns, follower, table } of raw) {
      const expected = await selectText(session, `SELECT ${columns} FROM ${table}`)
      await eventually(
        `a reader of ${table} to have its rows`,
        () => {
          const differs = differenceOfRows(expected, [...follower.ledger.rows.values()])
          if (differs !== undefined) throw new Error(differs)
          return true
        },
        40_000
      ).catch((error: unknown) => problems.push(String(error)))
      for (const problem of [...follower.problems, ...follower.ledger.problems])
        problems.push(`${table} (${columns}): ${problem}`)
      if (follower.conflicts.length > 0)
        problems.push(`${table} (${columns}): ${follower.conflicts.length} x 409`)
      for (const { body, status } of follower.failures.filter(isProblem))
        problems.push(`${table} (${columns}): ${status} ${body}`)
    }
    const digests = new Map<string, string>()
    for (const shape of followed) {
      judge(shape)
      const { digest, operations } = shape.client.ledger
      const handle = shape.client.shape.handle ?? ""
      const known = digests.get(handle)
      const mine = `${operations} operations, digest ${digest}`
      if (known !== undefined && known !== mine)
        problems.push(`clients of ${handle} were told: ${known}; ${mine}`)
      digests.set(handle, mine)
    }
    load.resume()
  }

  try {
    for (const { client } of followed) await client.shape.rows
    say(`${followed.length} clients of ${options.shapes} shapes are up to date`)
    const began = performance.now()
    let isOver = false
    for (let i = 0; i < options.kinds.length && !isOver; i++) {
      const kind = options.kinds[i] as HandoverKind
      // A shape that is made a moment before: its creation has been answered, so it must stay.
      const table = `moment_${i}`
      await session.query("SELECT 1").catch(async () => (session = await connectForText(options.databaseUrl)))
      await createTables(session, [table], 3)
      const fresh = await follow(table, "id,v,a,b", "default")
      await fresh.client.shape.rows
      for (const { client } of followed) client.resetSilence()
      const { entry: from } = await instances.active()
      if (kind === "finalise") releases.isFinalised = true
      const takeoverMillis = await happen(kind, options, instances)
      const { entry: to } = await instances.active()
      const silenceMillis = Math.max(...followed.map(({ client }) => client.longestSilenceMillis()))
      events.push({ kind, from, to, takeoverMillis, silenceMillis })
      say(
        `${i + 1}/${options.kinds.length} ${kind}: ${takeoverMillis === undefined ? "no takeover" : `active after ${Math.round(takeoverMillis)} ms`}, ` +
          `longest silence ${Math.round(silenceMillis)} ms, ${load.committed()} transactions`
      )
      await eventually("the database", async () => {
        await session
          .query("SELECT 1")
          .catch(async () => (session = await connectForText(options.databaseUrl)))
        return true
      })
      await session.query(
        `UPDATE ${table} SET v = v + 1; INSERT INTO ${table} VALUES (100, 0, 'after', NULL)`
      )
      await untilEqual(fresh)
      judge(fresh)
      fresh.client.stop()
      askedAgain += fresh.client.failures.filter(isOfStartingInstance).length
      isOver = i + 1 === options.kinds.length || performance.now() - began > (options.limitMillis ?? Infinity)
      if (isOver || (i + 1) % options.compareEvery === 0) await compare()
      if (problems.length > 0) break
    }
  } catch (error) {
    problems.push(String(error))
  } finally {
    await load.stop()
    if (problems.length > 0) say(instances.logs())
    for (const { client } of followed) client.stop()
    for (const { follower } of raw) await follower.stop()
    await balancer.close()
    await instances.close()
    await session.end().catch(() => {})
  }
  return {
    events,
    transactions: load.committed(),
    operationsSeen: [
      ...followed.map(({ client }) => client.ledger),
      ...raw.map(({ follower }) => follower.ledger)
    ].reduce((sum, { operations }) => sum + operations, 0),
    cutConnections: followed.reduce((sum, { client }) => sum + client.cutConnections(), 0),
    askedAgain:
      askedAgain +
      [...followed.map(({ client }) => client), ...raw.map(({ follower }) => follower)].reduce(
        (sum, { failures }) => sum + failures.filter(isOfStartingInstance).length,
        0
      ),
    problems
  }
}

/** Waits until storage has the newest level, and nothing is left of what only the releases before it read. */
const untilFinalised = async ({ storageDir, streamId }: HandoverOptions): Promise<void> => {
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

const ended = async (place: Place): Promise<void> => {
  await place.service?.ended
  place.service = undefined
}

/** Lets it happen, waits until the set of instances is whole again; how long a successor took to be active. */
const happen = async (
  kind: HandoverKind,
  options: HandoverOptions,
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
