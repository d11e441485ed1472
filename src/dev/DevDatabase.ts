import { Data, Effect, type Scope } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, statSync } from "node:fs"
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { demoData } from "./DemoData.ts"
import { withDirectoryLock } from "./DirectoryLock.ts"
import { startCluster } from "./EmbeddedPostgres.ts"
import { type Release, startGuard } from "./Guard.ts"
import { canTraverse, isOurs, majorVersionOf, postgresBinaries, postgresUser } from "./PostgresBinaries.ts"
import { childrenOf, isAlive, isPostmasterOf, signal } from "./Processes.ts"

/** The embedded database cannot be had. The message says why and what to do. */
class DevDatabaseError extends Data.TaggedError("DevDatabaseError")<{ readonly message: string }> {}

export interface DevDatabase {
  /** Of a role that owns the database and may replicate, without a password: any local process may connect. */
  readonly url: string
  readonly port: number
  /** Holds `data/` and `postgres.log`. Deleting it, while nothing runs, gives a fresh database. */
  readonly directory: string
  readonly logFile: string
  /** What happened: made anew, started again, or found running for another process. */
  readonly origin: "created" | "started" | "shared"
}

interface DevDatabaseOptions {
  /** The database lives below this directory, in `postgres/`. */
  readonly directory: string
  readonly preferredPort?: number
}

const role = "baton"
const database = "baton"
const defaultPort = 54_321
const lockMillis = 90_000

/**
 * A Postgres 18 of our own with a little demo data, kept between starts. It listens on 127.0.0.1 only, and runs as another
 * user when we are root.
 *
 * Several processes may ask for the same directory, as two instances of the service do during a handover: they share one
 * Postgres, and the last scope to close stops it. A process that is killed stops it as well, unless others use it; should
 * one be left over all the same, the next start takes it over.
 */
export const devDatabase = (
  options: DevDatabaseOptions
): Effect.Effect<DevDatabase, DevDatabaseError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => join(options),
      catch: (error) => new DevDatabaseError({ message: explain(error) })
    }),
    // It never rejects, see `Joined`.
    (joined) => Effect.promise(() => joined.leave())
  ).pipe(
    Effect.tap(({ moved }) =>
      moved === undefined
        ? Effect.void
        : Effect.logWarning(
            `Postgres cannot run as root, and the user it runs as may not enter ${path.resolve(options.directory)}: ` +
              `the development database is kept in ${moved} instead. Set BATON_DEV_DIR for another place.`
          )
    ),
    Effect.map(({ found }) => found)
  )

const explain = (error: unknown): string =>
  `The embedded development database cannot be used: ${error instanceof Error ? error.message : String(error)}`

interface Joined {
  readonly found: DevDatabase
  /** Where the database is, when that is not where it was asked for. */
  readonly moved: string | undefined
  /** Never rejects: another process stops Postgres then. */
  readonly leave: () => Promise<void>
}

const join = async (options: DevDatabaseOptions): Promise<Joined> => {
  const { directory, moved } = home(options.directory)
  const data = path.join(directory, "data")
  const users = path.join(directory, "users")
  const lock = path.join(directory, "lock")
  mkdirSync(users, { recursive: true })
  const own = `${process.pid}-${randomBytes(4).toString("hex")}`

  return withDirectoryLock(lock, lockMillis, async () => {
    const password = await superuserPassword(path.join(directory, "superuser-password"))
    const existed = existsSync(path.join(data, "PG_VERSION"))
    if (existed) await checkData(data)
    // Known as a user before the first look: the guard of a process that was just killed then leaves Postgres running.
    await writeFile(path.join(users, own), "")
    let server: Server
    let release: Release
    try {
      server = await ready(directory, data, password, options.preferredPort ?? defaultPort)
      release = startGuard({ pid: server.pid, users: { directory: users, own } })
    } catch (error) {
      await rm(path.join(users, own), { force: true })
      throw error
    }
    return {
      found: {
        url: `postgresql://${role}@127.0.0.1:${server.port}/${database}`,
        port: server.port,
        directory,
        logFile: path.join(directory, "postgres.log"),
        origin: server.shared ? "shared" : existed ? "started" : "created"
      },
      moved,
      leave: () =>
        withDirectoryLock(lock, lockMillis, async () => {
          await rm(path.join(users, own), { force: true })
          release()
          if (!(await anyoneIn(users))) await stopPostmaster(server.pid)
        }).catch(() => {
          // The process that holds the lock for so long is the one that has to stop Postgres then.
        })
    }
  })
}

/** A place for the database that the user which Postgres runs as can reach. */
const home = (wanted: string): { readonly directory: string; readonly moved: string | undefined } => {
  const user = postgresUser()
  const near = path.join(path.resolve(wanted), "postgres")
  makeDirectory(near)
  if (canTraverse(near, user)) return { directory: realpathSync(near), moved: undefined }
  const name = createHash("sha256").update(near).digest("hex").slice(0, 12)
  const far = path.join("/var/tmp", `baton-dev-${process.getuid?.() ?? 0}-${name}`)
  makeDirectory(far)
  if (!isOurs(far))
    throw new Error(`${far} was made by another user. Set BATON_DEV_DIR to another directory.`)
  const directory = path.join(far, "postgres")
  makeDirectory(directory)
  return { directory: realpathSync(directory), moved: directory }
}

/** Makes a directory that everybody may enter, whatever the umask; existing ones stay as they are. */
const makeDirectory = (directory: string): void => {
  const first = mkdirSync(directory, { recursive: true })
  if (first === undefined) return
  for (let made = directory; made.startsWith(first); made = path.dirname(made)) chmodSync(made, 0o755)
}

/** Made once and kept beside the data, readable by nobody else. Only this module connects with it. */
const superuserPassword = async (file: string): Promise<string> => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    const password = randomBytes(24).toString("base64url")
    await writeFile(file, password, { mode: 0o600 })
    return password
  }
}

/** Refuses data that this Postgres cannot use, with words that say what to do. */
const checkData = async (data: string): Promise<void> => {
  const version = readFileSync(path.join(data, "PG_VERSION"), "utf8").trim()
  const user = postgresUser()
  const ours = majorVersionOf(await postgresBinaries(18, user), user)
  if (version !== ours) {
    throw new Error(
      `${data} was made by Postgres ${version}, and this is Postgres ${ours}. Move it away, and a new one is made.`
    )
  }
  const owner = statSync(data).uid
  const needed = user?.uid ?? process.getuid?.()
  if (needed !== undefined && owner !== needed) {
    throw new Error(
      `${data} belongs to user ${owner}, but Postgres would run as user ${needed}. Start as the user who made it, move ` +
        "it away, or set BATON_DEV_DIR to another directory."
    )
  }
}

interface Server {
  readonly pid: number
  readonly port: number
  /** It ran already. */
  readonly shared: boolean
}

/** A server with role, database and data in it. */
const ready = async (
  directory: string,
  data: string,
  password: string,
  preferredPort: number
): Promise<Server> => {
  for (let attempt = 1; ; attempt++) {
    const running = await answering(data, password)
    const server = running ?? (await start(directory, data, password, preferredPort))
    try {
      await prepare(server.port, password)
      return server
    } catch (error) {
      if (running === undefined) await stopPostmaster(server.pid)
      // One that was running may have been about to end: the guard of its last user looked before we came.
      if (running === undefined || attempt === 3) throw error
      await sleep(200)
    }
  }
}

/**
 * The server that runs on this data already, if one does. One that does not answer is stopped, and the trace of one that
 * is no more is removed: after a reboot its process id may belong to anything, which Postgres itself cannot tell.
 */
const answering = async (data: string, password: string): Promise<Server | undefined> => {
  const pidFile = path.join(data, "postmaster.pid")
  const lines = await readFile(pidFile, "utf8").then(
    (text) => text.split("\n"),
    () => undefined
  )
  if (lines === undefined) return undefined
  const server = { pid: Number(lines[0]), port: Number(lines[3]), shared: true }
  if (!isPostmasterOf(server.pid, data)) {
    await rm(pidFile, { force: true })
    return undefined
  }
  const deadline = Date.now() + 15_000
  while (isAlive(server.pid)) {
    try {
      await withClient(server.port, password, "postgres", (client) => client.query("SELECT 1"))
      return server
    } catch {
      if (Date.now() > deadline) {
        await stopPostmaster(server.pid)
        return undefined
      }
      await sleep(200)
    }
  }
  return undefined
}

const start = async (
  directory: string,
  data: string,
  password: string,
  preferredPort: number
): Promise<Server> => {
  const cluster = await startCluster({
    directory,
    preferredPort,
    password,
    guarded: false,
    settings: { max_connections: "200" },
    accessRules: [`host all ${role} 127.0.0.1/32 trust`]
  })
  const pid = cluster.pid()
  if (pid === undefined)
    throw new Error(`Postgres ended right after its start on ${data}. See ${cluster.logFile}.`)
  return { pid, port: cluster.port, shared: false }
}

const withClient = async <A>(
  port: number,
  password: string,
  name: string,
  work: (client: pg.Client) => Promise<A>
): Promise<A> => {
  const client = new pg.Client({
    host: "127.0.0.1",
    port,
    user: "postgres",
    password,
    database: name,
    connectionTimeoutMillis: 5_000,
    query_timeout: 30_000
  })
  client.on("error", () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Role, database and demo data. The database appears under its name only when it is complete. */
const prepare = async (port: number, password: string): Promise<void> => {
  const unfinished = `${database}_unfinished`
  const missing = await withClient(port, password, "postgres", async (client) => {
    const roles = await client.query("SELECT 1 FROM pg_roles WHERE rolname = $1", [role])
    if (roles.rowCount === 0) await client.query(`CREATE ROLE ${role} LOGIN REPLICATION CREATEDB`)
    const databases = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [database])
    if (databases.rowCount !== 0) return false
    await client.query(`DROP DATABASE IF EXISTS ${unfinished} WITH (FORCE)`)
    await client.query(`CREATE DATABASE ${unfinished} OWNER ${role}`)
    return true
  })
  if (!missing) return
  await withClient(port, password, unfinished, async (client) => {
    // Lets the service speed up the creation of a slot on a database where nothing happens.
    const { rows } = await client.query("SELECT to_regproc('pg_log_standby_snapshot') AS present")
    if (rows[0]?.["present"] !== null)
      await client.query(`GRANT EXECUTE ON FUNCTION pg_log_standby_snapshot() TO ${role}`)
    await client.query(`SET ROLE ${role}; ${demoData}`)
  })
  await withClient(port, password, "postgres", (client) =>
    client.query(`ALTER DATABASE ${unfinished} RENAME TO ${database}`)
  )
}

/** Does another process use Postgres? Files of processes that are gone are cleared away. */
const anyoneIn = async (users: string): Promise<boolean> => {
  let found = false
  for (const name of await readdir(users)) {
    if (isAlive(Number(name.split("-")[0]))) found = true
    else await rm(path.join(users, name), { force: true })
  }
  return found
}

/** A fast shutdown, and harder ones if that takes too long: it waits for replication clients, which may be frozen. */
const stopPostmaster = async (pid: number): Promise<void> => {
  const steps = [
    ["SIGINT", 8_000],
    ["SIGQUIT", 4_000],
    ["SIGKILL", 2_000]
  ] as const
  for (const [name, patienceMillis] of steps) {
    const deadline = Date.now() + patienceMillis
    if (name === "SIGKILL") for (const child of childrenOf(pid)) signal(child, name)
    signal(pid, "SIGCONT")
    signal(pid, name)
    while (isAlive(pid) && Date.now() < deadline) await sleep(20)
    if (!isAlive(pid)) return
  }
}
