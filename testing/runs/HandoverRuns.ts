import { tmpdir } from "node:os"
import { foundDifferences } from "../services/VerifyShapes.ts"
import * as path from "node:path"
import { makeDirectories } from "../../src/storage/disk/Files.ts"
import { storagePaths } from "../../src/storage/disk/StorageDir.ts"
import { writeLevelRecord } from "../../src/storage/levels/LevelFile.ts"
import { ownLevels } from "../../src/storage/levels/Levels.ts"
import { eventually } from "../Eventually.ts"
import { differenceOfRows } from "../postgres/Rows.ts"
import { startBalancer } from "../services/Balancer.ts"
import { type Instances, makeInstances } from "../services/Instances.ts"
import { type RecordingClient, startClient } from "../readers/RecordingClient.ts"
import { LogFollower } from "../readers/LogFollower.ts"
import { isOfInstanceBehind, isOfStartingInstance, type RefusedAnswer } from "../readers/RefusedAnswer.ts"
import { connectForText, selectText } from "../postgres/RowText.ts"
import { type EventOptions, happen, type HandoverKind } from "./HandoverEvents.ts"
import { eagerCompaction, filesOfCompaction } from "./EagerCompaction.ts"
import { createTables } from "./WriteLoad.ts"
import { startWriteLoadThread } from "./WriteLoadThread.ts"

/** Something that no run of the usual kinds lets happen. */
export interface Happening {
  readonly kind: string
  /** See `happen`; `usual` lets a usual kind happen meanwhile. */
  readonly happen: (
    instances: Instances,
    usual: (kind: HandoverKind) => Promise<number | undefined>
  ) => Promise<number | undefined>
}

export interface HandoverOptions extends EventOptions {
  readonly databaseUrl: string
  /** See `InstancesOptions`. */
  readonly seenAt?: (place: number) => string
  /** See `InstancesOptions`: instances of several releases. */
  readonly entryOf?: (started: number) => string | undefined
  /** See `InstancesOptions`. */
  readonly envOf?: (place: number, port: number) => Readonly<Record<string, string>>
  readonly kinds: ReadonlyArray<HandoverKind | Happening>
  readonly clients: number
  /** Readers of the bare protocol beside them, each of a shape of its own as long as there are so many. Default: none. */
  readonly followers?: number
  readonly shapes: number
  readonly perSecond: number
  /** As of `CrashOptions`. Default: not. */
  readonly compacts?: boolean
  /** `BATON_WAL_SENDER_TIMEOUT`: freezes and partitions last longer than this. */
  readonly boundMillis: number
  /** `BATON_JOURNAL_SEGMENT_BYTES`: with small segments the journal is moved to log files all the time. */
  readonly segmentBytes: number
  /** The last event begins before so much time has passed. Default: no limit. */
  readonly limitMillis?: number
  /** After so many events the writers pause and every client is compared with its table. */
  readonly compareEvery: number
  /** Rows in each table at the beginning. Default: 50, and 3 in those that are made meanwhile. */
  readonly rows?: number
  /**
   * A third of the clients keeps to waiting instances as long as there are any, and readers begin anew there: after each event, and
   * when everything is compared.
   */
  readonly readsAtWaiting?: boolean
  /** An instance may hear of changes so late that it refuses a client that knows them: see `isOfInstanceBehind`. */
  readonly mayBeBehind?: boolean
  /** See `BalancerOptions`: for instances whose start takes long. */
  readonly startingLast?: boolean
  readonly say: (text: string) => void
}

export interface HandoverReport {
  /** Signal (or fault) to the first `active` of another instance, and the longest silence at any client meanwhile. */
  readonly events: ReadonlyArray<{
    readonly kind: string
    /** What the active instance ran before, and what it ran afterwards: see `entryOf`. */
    readonly from: string | undefined
    readonly to: string | undefined
    readonly takeoverMillis: number | undefined
    /** The part of it after the successor was given the lock, as it says itself. */
    readonly afterLockMillis: number | undefined
    readonly silenceMillis: number
    /** The longest silence at those that lost no connection and were never refused. */
    readonly undisturbedMillis: number | undefined
  }>
  readonly transactions: number
  readonly operationsSeen: number
  /** Bases and folded logs that were seen in storage after an event. */
  readonly filesCompacted: number
  readonly cutConnections: number
  /**
   * Requests that came to an instance that was still reading its storage, or was behind, and were made again as their clients do by
   * themselves.
   */
  readonly askedAgain: number
  readonly problems: ReadonlyArray<string>
}

const tables = ["north", "south", "east", "west"]
const columnChoices = ["id,v,a,b", "id,v,a", "id,v,b", "id,v"]

interface WantedShape {
  readonly table: string
  readonly columns: string
  readonly replica: string
}

const paramsOf = ({ columns, replica, table }: WantedShape) => ({ columns, replica, table })

interface ReadShape extends WantedShape {
  readonly follower: LogFollower
}

interface FollowedShape extends WantedShape {
  readonly client: RecordingClient
  /** The handle that it was first seen with. */
  handle?: string | undefined
}

/** One of each. */
const shapesOf = (shapes: ReadonlyArray<WantedShape>): ReadonlyArray<WantedShape> => [
  ...new Map(shapes.map((shape) => [JSON.stringify(paramsOf(shape)), paramsOf(shape)])).values()
]

const longestSilence = (shapes: ReadonlyArray<FollowedShape>): number =>
  Math.max(...shapes.map(({ client }) => client.longestSilenceMillis()))

const lastOf = (log: string, pattern: RegExp): string | undefined => [...log.matchAll(pattern)].at(-1)?.[1]

/** Clients give up an answer whose head has not come after five minutes. */
const longestPollMillis = 240_000

/**
 * Who knows more than an instance does is held for half of it, and then refused: by the first release for good. What the active
 * one had shown and not written when it was frozen comes only after the bound.
 */
const longPollMillis = (boundMillis: number): number =>
  Math.min(longestPollMillis, Math.max(20_000, 10 * boundMillis))

/** What an instance says of its latest takeover. */
const takeoverAfterLock = (log: string): number | undefined => {
  const found = lastOf(log, /; active (\d+) ms after the lock/g)
  return found === undefined ? undefined : Number(found)
}

/** As if a release before this one had been there: where none ever was, storage is finalised at once. */
const wasOlder = async (storageDir: string, streamId: string): Promise<void> => {
  const paths = storagePaths(storageDir, streamId)
  await makeDirectories(paths.disk, paths.root)
  const sinceMillis = Date.now()
  await writeLevelRecord(paths, {
    level: ownLevels.oldest,
    raisedBy: null,
    raisedAtMillis: null,
    sinceMillis,
    lastSeen: {},
    holds: null
  })
}

/**
 * Instances that share storage behind a balancer, writers, and official clients; one thing after the other happens to
 * the instances. No client may notice: see `problems` of the report. The one refusal that is no problem is that of an
 * instance that reads its storage for longer than requests are held, as on a busy machine: clients come back by themselves. With a
 * bucket (`mayBeBehind`) there is another one.
 */
export const handoverRuns = async (options: HandoverOptions): Promise<HandoverReport> => {
  const { random, say } = options
  const isForgiven = (refused: RefusedAnswer): boolean =>
    isOfStartingInstance(refused) || (options.mayBeBehind === true && isOfInstanceBehind(refused))
  const isProblem = (refused: RefusedAnswer): boolean => !isForgiven(refused)
  const problems: Array<string> = []
  const watched = { versionColumn: "v", mayBeFolded: options.compacts ?? false }
  const compacted = new Set<string>()
  const events: Array<HandoverReport["events"][number]> = []
  let askedAgain = 0
  const releases = { isFinalised: false }
  let session = await connectForText(options.databaseUrl)
  await createTables(session, tables, options.rows ?? 50)
  if (options.entryOf !== undefined) await wasOlder(options.storageDir, options.streamId)
  const instances = await makeInstances({
    databaseUrl: options.databaseUrl,
    streamId: options.streamId,
    storageDir: options.storageDir,
    ...(options.seenAt === undefined ? {} : { seenAt: options.seenAt }),
    entryOf: (started) => (releases.isFinalised ? undefined : options.entryOf?.(started)),
    places: options.instances + 1,
    ...(options.envOf === undefined ? {} : { envOf: options.envOf }),
    env: {
      ...eagerCompaction(options.compacts ?? false),
      ...(options.compacts === true
        ? { ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000", ELECTRIC_CLEANUP_INTERVAL_MS: "200ms" }
        : {}),
      BATON_WAL_SENDER_TIMEOUT: `${options.boundMillis}ms`,
      ELECTRIC_LONG_POLL_TIMEOUT: String(longPollMillis(options.boundMillis)),
      BATON_JOURNAL_SEGMENT_BYTES: String(options.segmentBytes),
      BATON_SHUTDOWN_GRACE: "3s",
      // Hundreds of starts: compiling the same code each time would take longer than everything else.
      NODE_COMPILE_CACHE: path.join(tmpdir(), "baton-compile-cache")
    }
  })
  const behind = { backends: instances.ports, startingLast: options.startingLast ?? false }
  const balancer = await startBalancer(behind)
  const atWaiting =
    options.readsAtWaiting === true ? await startBalancer({ ...behind, prefers: "waiting" }) : balancer
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
  const follow = async (
    { columns, replica, table }: WantedShape,
    { url } = balancer
  ): Promise<FollowedShape> => {
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
    return { ...params, client: startClient({ url, params, ...watched }) }
  }
  const shapeOf = (i: number): WantedShape => {
    const shape = i % options.shapes
    return {
      table: tables[shape % tables.length] ?? "",
      columns: columnChoices[Math.floor(shape / tables.length) % columnChoices.length] ?? "",
      replica: shape < tables.length * columnChoices.length ? "default" : "full"
    }
  }
  const followed: Array<FollowedShape> = []
  for (let i = 0; i < options.clients; i++) {
    followed.push(await follow(shapeOf(i), i % 3 === 2 ? atWaiting : balancer))
  }
  const read = (shape: WantedShape, { url } = balancer): ReadShape => ({
    ...shape,
    follower: new LogFollower({ url, params: paramsOf(shape), ...watched }).start()
  })
  const raw = Array.from({ length: options.followers ?? 0 }, (_, i) => read(shapeOf(i)))

  const judge = (shape: FollowedShape): void => {
    const { client, columns, table } = shape
    const name = `${table} (${columns}, ${client.shape.handle} at ${client.shape.lastOffset})`
    shape.handle ??= client.shape.handle
    if (shape.handle !== client.shape.handle) problems.push(`${name}: its handle was ${shape.handle}`)
    for (const problem of client.ledger.problems.splice(0)) problems.push(`${name}: ${problem}`)
    for (const { body, server, status, url } of client.failures.filter(isProblem))
      problems.push(`${name}: ${status} ${body} of ${server} for ${url}`)
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

  const untilRead = async (shape: ReadShape): Promise<void> => {
    const { columns, follower, table } = shape
    const expected = await selectText(session, `SELECT ${columns} FROM ${table}`)
    await eventually(
      `a reader of ${table} to have its rows`,
      () => {
        const differs = differenceOfRows(expected, [...follower.ledger.rows.values()])
        if (differs !== undefined) throw new Error(differs)
        return true
      },
      40_000
    ).catch((error: unknown) => problems.push(`${String(error)}\n  ${follower.handle} at ${follower.offset}`))
    for (const problem of [...follower.problems, ...follower.ledger.problems])
      problems.push(`${table} (${columns}): ${problem}`)
    if (follower.conflicts.length > 0)
      problems.push(`${table} (${columns}): ${follower.conflicts.length} x 409`)
    for (const { body, server, status } of follower.failures.filter(isProblem))
      problems.push(`${table} (${columns}): ${status} ${body} of ${server}`)
  }

  /** On a machine that is very busy Postgres gives up on an instance in the middle of this: then the next one is asked. */
  const differencesAtActive = async (attempts = 5): Promise<string | undefined> => {
    const { entry, service } = await instances.active()
    // The first release has no such command.
    if (entry !== undefined || service === undefined) return undefined
    const found = await foundDifferences(service.url)
    const isAborted = found?.includes("gave up the lock meanwhile") === true
    return isAborted && attempts > 1 ? differencesAtActive(attempts - 1) : found
  }

  const compare = async (): Promise<void> => {
    await load.pause()
    await session.query("SELECT 1").catch(async () => {
      session = await connectForText(options.databaseUrl)
    })
    for (const shape of followed) await untilEqual(shape)
    for (const shape of raw) await untilRead(shape)
    // From the beginning, once more: all of it has to be there, and the same.
    const again =
      options.readsAtWaiting === true ? shapesOf(followed).map((shape) => read(shape, atWaiting)) : []
    for (const shape of again) await untilRead(shape)
    for (const { follower } of again) await follower.stop()
    for (const shape of followed) judge(shape)
    const digests = new Map<string, string>()
    for (const { handle = "", ledger } of [
      ...followed.map(({ client }) => ({ handle: client.shape.handle, ledger: client.ledger })),
      ...again.map(({ follower }) => follower)
    ]) {
      const { digest, operations } = ledger
      const known = digests.get(handle)
      const mine = `${operations} operations, digest ${digest}`
      // A folded log says less to those that have less of it.
      if (known !== undefined && known !== mine && options.compacts !== true)
        problems.push(`clients of ${handle} were told: ${known}; ${mine}`)
      digests.set(handle, mine)
    }
    load.resume()
    const found = await differencesAtActive()
    if (found !== undefined) problems.push(found)
  }

  try {
    for (const { client } of followed) await client.shape.rows
    say(`${followed.length} clients of ${options.shapes} shapes are up to date`)
    const began = performance.now()
    let isOver = false
    for (let i = 0; i < options.kinds.length && !isOver; i++) {
      const event = options.kinds[i] as HandoverKind | Happening
      const kind = typeof event === "string" ? event : event.kind
      // A shape that is made a moment before: its creation has been answered, so it must stay.
      const table = `moment_${i}`
      await session.query("SELECT 1").catch(async () => (session = await connectForText(options.databaseUrl)))
      await createTables(session, [table], options.rows === undefined ? 3 : random.pick([3, options.rows]))
      const wanted = { table, columns: "id,v,a,b", replica: "default" }
      const fresh = await follow(wanted)
      await fresh.client.shape.rows
      for (const { client } of followed) client.resetSilence()
      const disturbed = () => followed.map(({ client }) => client.cutConnections() + client.failures.length)
      const before = disturbed()
      const { entry: from } = await instances.active()
      if (kind === "finalise") releases.isFinalised = true
      const usual = (name: HandoverKind) => happen(name, options, instances)
      const takeoverMillis = await (typeof event === "string" ? usual(event) : event.happen(instances, usual))
      const { entry: to, service } = await instances.active()
      const silenceMillis = longestSilence(followed)
      const undisturbed = followed.filter((_, at) => disturbed()[at] === before[at])
      const undisturbedMillis = undisturbed.length === 0 ? undefined : longestSilence(undisturbed)
      const afterLockMillis =
        takeoverMillis === undefined ? undefined : takeoverAfterLock(service?.logs() ?? "")
      events.push({ kind, from, to, takeoverMillis, afterLockMillis, silenceMillis, undisturbedMillis })
      say(
        `${i + 1}/${options.kinds.length} ${kind}: ${takeoverMillis === undefined ? "no takeover" : `active after ${Math.round(takeoverMillis)} ms, ${afterLockMillis} of them with the lock`}, ` +
          `longest silence ${Math.round(silenceMillis)} ms (${Math.round(undisturbedMillis ?? Number.NaN)} where nothing was cut), ${load.committed()} transactions`
      )
      if (takeoverMillis !== undefined && takeoverMillis > 20_000) say(instances.logs())
      const steps = lastOf(service?.logs() ?? "", /takeover step by step: (.*)/g)
      if (steps !== undefined && afterLockMillis !== undefined) say(`  ${steps}`)
      await eventually("the database", async () => {
        await session
          .query("SELECT 1")
          .catch(async () => (session = await connectForText(options.databaseUrl)))
        return true
      })
      await session.query(`UPDATE ${table} SET v = v + 1; INSERT INTO ${table} VALUES (-1, 0, 'after', NULL)`)
      await untilEqual(fresh)
      if (options.readsAtWaiting === true) {
        const late = read(wanted, atWaiting)
        await untilRead(late)
        await late.follower.stop()
        askedAgain += late.follower.failures.filter(isForgiven).length
      }
      judge(fresh)
      fresh.client.stop()
      for (const file of filesOfCompaction(options.storageDir)) compacted.add(file)
      askedAgain += fresh.client.failures.filter(isForgiven).length
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
    if (atWaiting !== balancer) await atWaiting.close()
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
    filesCompacted: compacted.size,
    cutConnections: followed.reduce((sum, { client }) => sum + client.cutConnections(), 0),
    askedAgain:
      askedAgain +
      [...followed.map(({ client }) => client), ...raw.map(({ follower }) => follower)].reduce(
        (sum, { failures }) => sum + failures.filter(isForgiven).length,
        0
      ),
    problems
  }
}
