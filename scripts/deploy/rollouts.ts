import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { freePort } from "../../src/dev/FreePort.ts"
import { patient } from "../../testing/Load.ts"
import { healthOf, startBalancer } from "../../testing/services/Balancer.ts"
import { type RecordingClient, startClient } from "../../testing/readers/RecordingClient.ts"
import type { Container } from "./container.ts"

export interface RolloutOptions {
  readonly start: (environment: Readonly<Record<string, string>>, port?: number) => Promise<Container>
  readonly makeVolume: (name: string) => string
  /** Variables of a bucket that is empty. */
  readonly bucket: Readonly<Record<string, string>>
  readonly databaseUrl: string
  readonly secret: string
  readonly log: (line: string) => void
  readonly check: (holds: boolean, what: string) => void
}

/** The rollouts of docs/upgrade.md, step by step. */
export const rollouts = async (options: RolloutOptions): Promise<void> => {
  const database = new pg.Client({ connectionString: options.databaseUrl })
  await database.connect()
  try {
    await database.query(
      "CREATE TABLE items (id int PRIMARY KEY, version int NOT NULL);" +
        "INSERT INTO items SELECT n, 0 FROM generate_series(1, 100) n"
    )
    const volume = options.makeVolume("shapes")
    await sharedStorage(options, database, "Shared storage", () => ({ ELECTRIC_STORAGE_DIR: volume }))
    await sharedStorage(options, database, "A bucket, and an empty volume for each", (i) => ({
      ...options.bucket,
      ELECTRIC_REPLICATION_STREAM_ID: "bucket",
      ELECTRIC_STORAGE_DIR: options.makeVolume(`bucket-${i}`)
    }))
    await separateStorage(options, database)
  } finally {
    await database.end()
  }
}

/** A rollout, its rollback, a crash, and a pause in which nothing runs. Clients follow all the way. */
const sharedStorage = async (
  options: RolloutOptions,
  database: pg.Client,
  title: string,
  environment: (i: number) => Readonly<Record<string, string>>
): Promise<void> => {
  const { check, log, secret, start } = options
  const ports = await Promise.all(Array.from({ length: 5 }, () => freePort()))
  const instance = (i: number) => start(environment(i), ports[i])

  log(title)
  await database.query("UPDATE items SET version = 0")
  const balancer = await startBalancer({ backends: ports })
  const old = await instance(0)
  await old.until("active")
  check(old.isHealthy(), "the health check of the image accepts 200")
  const clients = [{ table: "items" }, { table: "items", columns: "id,version" }].flatMap((shape) =>
    Array.from({ length: 10 }, () =>
      startClient({
        url: balancer.url,
        params: { ...shape, secret },
        versionColumn: "version",
        retryMillis: 20
      })
    )
  )
  const writer = startWriting(database)
  const everybodySees = () => untilAllSee(clients, writer)
  try {
    await everybodySees()
    const next = await instance(1)
    await next.until("waiting")
    check(next.isHealthy(), "the health check of the image accepts 202")
    const asked = performance.now()
    const refused = await fetch(
      `http://127.0.0.1:${next.port}/v1/shape?table=items&columns=id&offset=-1&secret=${secret}`
    )
    check(
      refused.status === 503 && refused.headers.get("retry-after") === "5",
      `a shape that does not exist yet: held for ${millisSince(asked)} ms at the waiting instance, then 503 with Retry-After: 5`
    )
    await everybodySees()

    const deploy = await handOver(old, next)
    check(
      deploy.code === 0,
      `SIGTERM: the next instance is active after ${deploy.millis} ms, the old one ends with 0`
    )
    await everybodySees()

    const again = await instance(2)
    await again.until("waiting")
    const rollback = await handOver(next, again)
    check(rollback.code === 0, `the way back is the same: active after ${rollback.millis} ms`)
    await everybodySees()

    const spare = await instance(3)
    await spare.until("waiting")
    const crashed = performance.now()
    again.signal("SIGKILL")
    await spare.until("active")
    check(true, `SIGKILL: the waiting instance is active after ${millisSince(crashed)} ms`)
    await everybodySees()

    spare.signal("SIGTERM")
    check((await spare.ended) === 0, "an instance without a successor ends with 0")
    const last = await instance(4)
    await last.until("active")
    await everybodySees()
    check(true, "started again, clients go on where they were")
    last.signal("SIGTERM")
    await last.ended
  } finally {
    await writer.stop()
    for (const client of clients) client.stop()
    await balancer.close()
  }
  const seen = clients.reduce((total, { ledger }) => total + ledger.operations, 0)
  log(`${writer.written()} changes, seen ${seen} times by ${clients.length} clients`)
  check(
    clients.every(({ ledger }) => ledger.problems.length === 0),
    "no client missed a change or saw one twice"
  )
  check(
    clients.every((client) => client.conflicts() === 0),
    "no client had to fetch its shape again"
  )
  check(
    clients.every(({ errors }) => errors.length === 0),
    "no client saw an error"
  )
}

/** SIGTERM to the old instance: it says 503 until it ends, and the next one takes over. */
const handOver = async (
  old: Container,
  next: Container
): Promise<{ readonly millis: number; readonly code: number | string }> => {
  const asked = performance.now()
  old.signal("SIGTERM")
  await next.until("active")
  const millis = millisSince(asked)
  const said = await healthOf(old.port)
  if (said !== "stopping" && said !== "down") throw new Error(`A draining instance says ${said}`)
  return { millis, code: await old.ended }
}

/** Storage of their own: both are active at once, on slots of their own, and leave no temporary slot behind. */
const separateStorage = async (options: RolloutOptions, database: pg.Client): Promise<void> => {
  const { check, log, makeVolume, start } = options
  const slots = async () =>
    (
      await database.query<{ slot_name: string }>("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
    ).rows.map((row) => row.slot_name)
  const together = async (name: string, settings: (i: number) => Readonly<Record<string, string>>) => {
    const pair = [0, 1].map((i) =>
      start({ ELECTRIC_STORAGE_DIR: makeVolume(`${name}-${i}`), ...settings(i) })
    )
    const instances = await Promise.all(pair)
    for (const instance of instances) await instance.until("active")
    const during = await slots()
    for (const instance of instances) {
      instance.signal("SIGTERM")
      await instance.ended
    }
    return during
  }

  log("Separate storage")
  const before = await slots()
  const blueGreen = await together("stream", (i) => ({
    ELECTRIC_REPLICATION_STREAM_ID: i === 0 ? "deploy-blue" : "deploy-green"
  }))
  check(
    blueGreen.includes("electric_slot_deploy_blue") && blueGreen.includes("electric_slot_deploy_green"),
    "two stream ids are active side by side, on slots of their own"
  )
  await database.query(
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE '%deploy%';" +
      "DROP PUBLICATION electric_publication_deploy_blue, electric_publication_deploy_green"
  )
  check((await slots()).length === before.length, "what is retired is dropped by hand")

  const during = await together("temporary", () => ({
    CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN: "true",
    ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME: "true"
  }))
  check(during.length === before.length + 2, "temporary slots with random names are active side by side")
  await eventually("the temporary slots to go", async () => (await slots()).length === before.length)
  check(true, "and are gone with their instances")
}

interface Writer {
  /** Committed so far. */
  readonly written: () => number
  readonly versions: () => ReadonlyMap<number, number>
  readonly stop: () => Promise<void>
}

/** Adds one to the version of one row after the other, some hundred times a second. */
const startWriting = (database: pg.Client): Writer => {
  const versions = new Map<number, number>()
  let written = 0
  const stopping = new AbortController()
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      const id = 1 + (written % 100)
      await database.query("UPDATE items SET version = version + 1 WHERE id = $1", [id])
      versions.set(id, (versions.get(id) ?? 0) + 1)
      written++
      await sleep(2)
    }
  })()
  return {
    written: () => written,
    versions: () => versions,
    stop: async () => {
      stopping.abort()
      await loop
    }
  }
}

/** Waits until every client has what is written by now. */
const untilAllSee = async (clients: ReadonlyArray<RecordingClient>, writer: Writer): Promise<void> => {
  const wanted = Array.from(writer.versions())
  await eventually("every client to have every change", () =>
    clients.every(({ ledger }) =>
      wanted.every(([id, version]) => Number(ledger.rows.get(keyOf(id))?.["version"]) >= version)
    )
  )
}

const keyOf = (id: number): string => `"public"."items"/"${id}"`

const eventually = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
  const deadline = performance.now() + patient(20_000)
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what}`)
    await sleep(10)
  }
}

const millisSince = (then: number): number => Math.round(performance.now() - then)
