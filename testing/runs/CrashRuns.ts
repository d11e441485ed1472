import { setTimeout as sleep } from "node:timers/promises"
import { foundDifferences } from "../services/VerifyShapes.ts"
import { freePort } from "../../src/dev/FreePort.ts"
import { differenceOfRows, type TextRow } from "../postgres/Rows.ts"
import { startService } from "../services/Service.ts"
import { damageFile } from "./Damage.ts"
import { LogFollower } from "../readers/LogFollower.ts"
import type { Random } from "../Random.ts"
import { connectForText, selectText } from "../postgres/RowText.ts"
import { createTables, startWriteLoad } from "./WriteLoad.ts"
import { eventually } from "../Eventually.ts"
import { patient } from "../Load.ts"
import { eagerCompaction, filesOfCompaction } from "./EagerCompaction.ts"

export interface CrashOptions {
  readonly databaseUrl: string
  readonly streamId: string
  readonly storageDir: string
  readonly runs: number
  readonly random: Random
  /** Files are damaged between two runs now and then. */
  readonly damages: boolean
  /** Logs are compacted all the time: readers may be told less than everything. Otherwise every operation is looked for. */
  readonly compacts: boolean
  /** After so many runs the writers pause and every follower is compared with its table. */
  readonly compareEvery: number
  readonly say: (text: string) => void
}

export interface CrashReport {
  readonly kills: number
  readonly transactions: number
  readonly operations: number
  readonly shapesCreated: number
  readonly shapesDeleted: number
  readonly filesDamaged: number
  /** Bases and folded logs that were seen in storage after a kill. */
  readonly filesCompacted: number
  /** Followers that had to start over although their shape was whole and nobody had deleted or damaged it. */
  readonly problems: ReadonlyArray<string>
}

/** Small everything, so that a second of work rotates chunks and segments, moves log files and writes checkpoints. */
const smallSettings = (compacts: boolean) => ({
  ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "20000",
  ELECTRIC_ENABLE_INTEGRATION_TESTING: "true",
  ELECTRIC_CLEANUP_INTERVAL_MS: "100ms",
  BATON_JOURNAL_SEGMENT_BYTES: "200000",
  ...eagerCompaction(compacts)
})

/** No more than a loaded machine can move to log files out of segments that are this small. */
const transactionsPerSecond = 60

/** Time for reading storage and becoming active, on a machine with other work. */
const startMillis = 120_000

interface Followed {
  readonly table: string
  readonly columns: string
  readonly params: Readonly<Record<string, string>>
  readonly follower: LogFollower
  /** A 409 is to be expected once for each. */
  deletions: number
  allowed: number
}

const smallTables = ["alpha", "beta", "gamma"]
const largeTable = "large"
const columnChoices = ["id,v,a,b", "id,v", "id,v,a", "id,v,b"]

interface DeletedShape {
  readonly handle: string
  readonly params: Readonly<Record<string, string>>
}

/**
 * Kills the service again and again, at random moments under writes, each time on the same storage and slot, while
 * followers keep reading. See `problems` of the report for what must not happen.
 */
export const crashRuns = async (options: CrashOptions): Promise<CrashReport> => {
  const { random, say } = options
  const problems: Array<string> = []
  const session = await connectForText(options.databaseUrl)
  await createTables(session, smallTables, 50)
  await createTables(session, [largeTable], 5000)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const load = startWriteLoad({
    url: options.databaseUrl,
    tables: [...smallTables, largeTable],
    writers: 3,
    random: random.fork(),
    sizes: [1, 1, 1, 2, 5, 60],
    perSecond: transactionsPerSecond
  })
  let followed: Array<Followed> = []
  const deletedShapes: Array<DeletedShape> = []
  let created = 0
  let deleted = 0
  let damaged = 0
  const compacted = new Set<string>()
  let logs = ""
  let variants = 0

  const follow = (table: string, columns: string, replica: string, where?: string): void => {
    const params = { table, columns, replica, ...(where === undefined ? {} : { where }) }
    const follower = new LogFollower({
      url,
      params,
      versionColumn: "v",
      mayBeFolded: options.compacts,
      requestTimeoutMillis: patient(25_000)
    }).start()
    followed.push({ table, columns, params, follower, deletions: 0, allowed: 0 })
    created++
  }

  for (const table of smallTables) follow(table, "id,v,a,b", "default")
  follow("alpha", "id,v,a", "full")
  follow(largeTable, "id,v,a,b", "full")
  const permanent = followed.length

  /** What may happen while an instance lives. */
  const disturb = async (): Promise<void> => {
    const action = random.pick(["nothing", "create", "create", "large", "delete", "late"])
    if (action === "create" || action === "large") {
      // Every row satisfies the clause, and every clause makes another shape.
      const variant = ++variants
      const table = action === "large" ? largeTable : random.pick(smallTables)
      follow(table, random.pick(columnChoices), random.pick(["default", "full"]), `id > -${variant}`)
    } else if (action === "late") {
      follow(random.pick(smallTables), "id,v,a,b", "default")
    } else if (action === "delete") {
      const { follower, params } = random.pick(followed)
      const { handle } = follower
      if (handle === undefined) return
      for (const entry of followed) if (entry.follower.handle === handle) entry.deletions++
      try {
        const response = await fetch(`${url}/v1/shape?${new URLSearchParams({ handle })}`, {
          method: "DELETE",
          signal: AbortSignal.timeout(patient(5000))
        })
        await response.arrayBuffer()
        if (response.status !== 202) return
        deletedShapes.push({ handle, params })
        deleted++
      } catch {
        // Killed in the middle: the shape may be there or not.
      }
    }
  }

  /** Looks at what the followers have gone through since the last time. */
  const judge = (run: number): void => {
    for (const entry of followed) {
      const { follower, table } = entry
      const name = `run ${run}, ${table} (${follower.handle})`
      const said = [...follower.problems.splice(0), ...follower.ledger.problems.splice(0)]
      for (const problem of said) problems.push(`${name}: ${problem}`)
      for (const { status, body } of follower.failures.splice(0)) {
        if (status !== 503) problems.push(`${name}: answered with ${status} ${body}`)
      }
      for (const { handle, snapshotSeen } of follower.conflicts.splice(0)) {
        if (!snapshotSeen || handle === undefined) continue
        if (entry.allowed < entry.deletions) entry.allowed++
        else if (!options.damages || !isNamed(logs, handle)) {
          problems.push(`${name}: had to start over, its shape was ${handle}`)
        }
      }
    }
  }

  const compare = async (run: number): Promise<void> => {
    await load.pause()
    for (const { columns, follower, table } of followed) {
      const expected = await selectText(session, `SELECT ${columns} FROM ${table}`)
      const differs = await untilEqual(follower, expected)
      if (differs !== undefined) {
        const last = follower.failures.at(-1)
        problems.push(
          `run ${run}: a follower of ${table} (${columns}, at ${follower.offset} of ${follower.handle}, ` +
            `${follower.cutConnections} cut connections, last failure ${JSON.stringify(last)}) differs: ${differs}`
        )
      }
    }
    if (options.damages) await readAfresh(run)
    load.resume()
    const found = await foundDifferences(url)
    if (found !== undefined) problems.push(`run ${run}: ${found}`)
  }

  /** Followers do not read again what they have; newcomers read everything, damaged files as well. */
  const readAfresh = async (run: number): Promise<void> => {
    for (const { columns, params, table } of followed) {
      const expected = await selectText(session, `SELECT ${columns} FROM ${table}`)
      const newcomer = new LogFollower({
        url,
        params,
        versionColumn: "v",
        mayBeFolded: options.compacts
      }).start()
      const differs = await untilEqual(newcomer, expected)
      await newcomer.stop()
      const said = [
        ...newcomer.problems,
        ...newcomer.ledger.problems,
        ...(differs === undefined ? [] : [differs])
      ]
      for (const problem of said)
        problems.push(`run ${run}: a newcomer to ${table} (${newcomer.handle}): ${problem}`)
    }
  }

  /** Nothing is written meanwhile: on a busy machine logs of so small files grow faster than they are folded. */
  const compactedAtLast = async (): Promise<void> => {
    await load.pause()
    await eventually(
      "a log that was compacted",
      () => compacted.size > 0 || filesOfCompaction(options.storageDir).length > 0,
      60_000
    )
    load.resume()
  }

  let kills = 0
  try {
    for (let run = 1; run <= options.runs && problems.length === 0; run++) {
      const service = await startService({
        port,
        storageDir: options.storageDir,
        until: false,
        env: {
          DATABASE_URL: options.databaseUrl,
          ELECTRIC_REPLICATION_STREAM_ID: options.streamId,
          ...smallSettings(options.compacts)
        }
      })
      try {
        const isLast = run === options.runs
        if (isLast || !random.chance(0.1)) {
          await service.until("active", startMillis)
          await deletedStayAway(url, deletedShapes.splice(0), problems)
          const moments = random.int(0, 3)
          for (let i = 0; i < moments; i++) {
            const disturbing = disturb()
            await sleep(random.int(0, 300))
            if (random.chance(0.5)) await disturbing
          }
          await sleep(random.chance(0.3) ? random.int(0, 20) : random.int(0, 700))
        } else await sleep(random.int(0, 900))
        if (isLast || run % options.compareEvery === 0) {
          await service.until("active", startMillis)
          await compare(run)
          if (isLast && options.compacts) await compactedAtLast()
          logs += service.logs()
          judge(run)
          for (const { follower } of followed.slice(permanent)) await follower.stop()
          followed = followed.slice(0, permanent)
        }
      } catch (error) {
        problems.push(`run ${run}: ${String(error)}`)
      }
      await service.stop("SIGKILL")
      kills++
      for (const file of filesOfCompaction(options.storageDir)) compacted.add(file)
      logs += service.logs()
      judge(run)
      if (options.damages && random.chance(0.4)) {
        const damage = damageFile(options.storageDir, random, damageKinds)
        if (damage !== undefined) {
          damaged++
          say(`run ${run}: ${damage.file} ${damage.what}`)
        }
      }
      if (run % 10 === 0) {
        say(
          `${run} kills, ${load.committed()} transactions, ${created} followers, ${deleted} deletions, ${damaged} damaged files`
        )
      }
      if (problems.length > 0) say(service.logs())
    }
  } finally {
    await load.stop()
    for (const { follower } of followed) await follower.stop()
    await session.end()
  }
  return {
    kills,
    transactions: load.committed(),
    operations: followed.reduce((sum, { follower }) => sum + follower.ledger.operationsInAll, 0),
    shapesCreated: created,
    shapesDeleted: deleted,
    filesDamaged: damaged,
    filesCompacted: compacted.size,
    problems
  }
}

/**
 * Says the log that this shape was lost? All of them are when the end of the journal is, which has something for each, or
 * the checkpoint, which alone says where their files belong.
 */
const isNamed = (logs: string, handle: string): boolean =>
  logs.includes(handle) || /Dropped all \d+ shapes|All shapes are dropped/.test(logs)

/** Gives up when the follower has not come forward for a while; one that began late has a long way to go. */
const untilEqual = async (
  follower: LogFollower,
  expected: ReadonlyArray<TextRow>
): Promise<string | undefined> => {
  let since = performance.now()
  let offset = ""
  for (;;) {
    const moved = follower.offset !== offset
    offset = follower.offset
    if (moved) since = performance.now()
    if (follower.upToDate) {
      const differs = differenceOfRows(expected, [...follower.ledger.rows.values()])
      if (differs === undefined || performance.now() - since > patient(standstillMillis)) return differs
    } else if (performance.now() - since > patient(standstillMillis)) return "it never came to the end"
    await sleep(moved ? 20 : 100)
  }
}

/** Longer than a request may be held, so that one that is forgotten shows. */
const standstillMillis = 25_000

const damageKinds = [
  /\/journal\//,
  /\/indexes\//,
  /\/shapes\/[^/]+\/s\d+$/,
  /\/shapes\/[^/]+\/l\d+$/,
  /\.idx$/,
  /\.sqlite$/
]

/** A shape whose deletion was confirmed never comes back. */
const deletedStayAway = async (
  url: string,
  shapes: ReadonlyArray<DeletedShape>,
  problems: Array<string>
): Promise<void> => {
  for (const { handle, params } of shapes) {
    const query = new URLSearchParams({ ...params, handle, offset: "0_0" })
    const response = await fetch(`${url}/v1/shape?${query}`)
    await response.arrayBuffer()
    if (response.status !== 409)
      problems.push(`the deleted shape ${handle} is answered with ${response.status}`)
  }
}
