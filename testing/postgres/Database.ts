import { Effect, Scope } from "effect"
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { afterAll, beforeAll, inject } from "vitest"
import type { TestCluster } from "./PostgresForTests.ts"
import { patient } from "../Load.ts"

/** One database for one test or one test file, with everything named after it so that nothing collides. */
export interface TestDatabase {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly url: string
  /** A valid `ELECTRIC_REPLICATION_STREAM_ID`; slots are named for the whole cluster, so each database needs its own. */
  readonly streamId: string
  readonly slotName: string
  readonly publicationName: string
  /** Runs SQL (several statements when there are no parameters) on one shared session; rows as `pg` parses them. */
  readonly query: <Row extends object = Record<string, unknown>>(
    sql: string,
    params?: ReadonlyArray<unknown>
  ) => Promise<ReadonlyArray<Row>>
  /** The same, with every value as the text that Postgres sends, or null. */
  readonly queryText: (
    sql: string,
    params?: ReadonlyArray<unknown>
  ) => Promise<ReadonlyArray<Readonly<Record<string, string | null>>>>
  /** A session of its own, for transactions that stay open; ended with the database if not before. */
  readonly connect: () => Promise<pg.Client>
  /** Ends every session, drops the slots, then the database. Safe to call twice. */
  readonly drop: () => Promise<void>
}

const asText = { getTypeParser: () => (value: unknown) => value }

/** Connects; losing the connection later is no uncaught exception, the next query reports it. */
const connectTo = async (cluster: TestCluster, database: string): Promise<pg.Client> => {
  const { host, port, user, password } = cluster
  const client = new pg.Client({ host, port, user, password, database, application_name: "test" })
  client.on("error", () => {})
  await client.connect()
  return client
}

const withAdmin = async <A>(cluster: TestCluster, work: (client: pg.Client) => Promise<A>): Promise<A> => {
  const client = await connectTo(cluster, "postgres")
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/**
 * Creates an empty database in the shared cluster, or in one made with `startCluster`, under a name that nobody has if none is
 * given. The caller must `drop` it.
 */
export const createDatabase = async (
  cluster: TestCluster = inject("pg"),
  name = `t_${randomBytes(6).toString("hex")}`
): Promise<TestDatabase> => {
  await withAdmin(cluster, (admin) => admin.query(`CREATE DATABASE ${name}`))
  return databaseIn(cluster, name)
}

/** A database that there is already. */
export const databaseIn = (cluster: TestCluster, name: string): TestDatabase => {
  const { host, port, user, password } = cluster
  const clients = new Set<pg.Client>()
  let shared: Promise<pg.Client> | undefined
  let dropped: Promise<void> | undefined

  const connect = async () => {
    const client = await connectTo(cluster, name)
    clients.add(client)
    // An error is the first sign of a lost connection; `end` may come much later.
    client.once("error", () => clients.delete(client))
    client.once("end", () => clients.delete(client))
    return client
  }
  /** Reconnects after the session was lost, as tests that restart or freeze Postgres expect. */
  const session = async () => {
    const current = await shared
    if (current !== undefined && clients.has(current)) return current
    shared = connect()
    shared.catch(() => (shared = undefined))
    return shared
  }

  return {
    name,
    host,
    port,
    user,
    password,
    url: `postgresql://${user}:${encodeURIComponent(password)}@${host}:${port}/${name}`,
    streamId: name,
    slotName: `electric_slot_${name}`,
    publicationName: `electric_publication_${name}`,
    query: async <Row extends object>(sql: string, params?: ReadonlyArray<unknown>) => {
      const client = await session()
      const result = await client.query<Row>(sql, params === undefined ? undefined : [...params])
      return result.rows
    },
    queryText: async (sql, params) => {
      const client = await session()
      const result = await client.query<Record<string, string | null>>({
        text: sql,
        types: asText,
        ...(params === undefined ? {} : { values: [...params] })
      })
      return result.rows
    },
    connect,
    drop: () =>
      (dropped ??= (async () => {
        for (const client of clients) await client.end().catch(() => {})
        await withAdmin(cluster, (admin) => dropDatabase(admin, name))
      })())
  }
}

/**
 * `DROP DATABASE ... WITH (FORCE)` takes inactive slots with it but refuses while a walsender streams, and a service
 * that lost its connection comes back at once: so connections are forbidden first, then ended, until the slots are idle.
 */
const dropDatabase = async (admin: pg.Client, name: string): Promise<void> => {
  await admin.query(`ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false`)
  const began = performance.now()
  for (;;) {
    try {
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
        [name]
      )
      await admin.query(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active",
        [name]
      )
      await admin.query(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1",
        [name]
      )
      await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
      return
    } catch (error) {
      if (performance.now() - began > patient(15_000)) throw error
      await sleep(50)
    }
  }
}

/** A database that lives as long as the scope. */
export const scopedDatabase = (cluster?: TestCluster): Effect.Effect<TestDatabase, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => createDatabase(cluster)),
    (database) => Effect.promise(() => database.drop())
  )

/** Call at the top of a test file or `describe`: one database for all its tests, dropped after them. */
export const databaseForFile = (
  setUp?: (database: TestDatabase) => Promise<unknown>
): (() => TestDatabase) => {
  let database: TestDatabase | undefined
  beforeAll(async () => {
    database = await createDatabase()
    await setUp?.(database)
  })
  afterAll(() => database?.drop())
  return () => {
    if (database === undefined) throw new Error("The database exists only while the tests of its file run.")
    return database
  }
}
