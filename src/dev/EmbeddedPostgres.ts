import { type ChildProcess, spawn } from "node:child_process"
import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs"
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { freePort } from "./FreePort.ts"
import { startGuard } from "./Guard.ts"
import {
  asUser,
  type MajorVersion,
  postgresBinaries,
  postgresUser,
  traversableTmp,
  type PostgresUser
} from "./PostgresBinaries.ts"
import { childrenOf, exitCode, signal } from "./Processes.ts"

interface ClusterOptions {
  /** Default 18. */
  readonly version?: MajorVersion
  /** Holds `data/` and `postgres.log`; created when missing. Unset: a temporary one that goes with the cluster. */
  readonly directory?: string
  /** Tried first; another free port is taken when it is in use. */
  readonly preferredPort?: number
  /** Server settings, over those that every cluster gets. */
  readonly settings?: Readonly<Record<string, string>>
  /** Of the superuser `postgres`. Only looked at when the cluster is created. */
  readonly password?: string
  /** Lines for the top of `pg_hba.conf`, before the one that asks everybody for a password. Likewise. */
  readonly accessRules?: ReadonlyArray<string>
  /** False: the caller sees to it that Postgres ends some time after this process. */
  readonly guarded?: boolean
}

/** A running Postgres of our own, listening on 127.0.0.1 only. */
export interface Cluster {
  readonly version: MajorVersion
  readonly directory: string
  readonly logFile: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** Process id of the postmaster, `undefined` while stopped. */
  readonly pid: () => number | undefined
  readonly url: (database: string) => string
  /** Starts again on the same port, with `settings` over the earlier ones. Must be stopped or killed. */
  readonly start: (settings?: Readonly<Record<string, string>>) => Promise<void>
  /**
   * `fast`: ends all sessions and writes a checkpoint; becomes `immediate` after 10 s, because a fast shutdown waits for
   * replication clients to have read everything. `immediate`: as after a crash, but orderly for the operating system.
   */
  readonly stop: (mode?: "fast" | "immediate") => Promise<void>
  readonly restart: (settings?: Readonly<Record<string, string>>) => Promise<void>
  /** kill -9 of every process of the cluster, as if the machine had lost power. */
  readonly kill: () => Promise<void>
  /** SIGSTOP of every process: connections stay open and nothing answers, as behind a network partition. */
  readonly freeze: () => void
  readonly thaw: () => void
  /** Stops, and deletes the directory if it is a temporary one. Safe to call twice. */
  readonly destroy: () => Promise<void>
}

const host = "127.0.0.1"
const user = "postgres"

/** What every cluster of ours needs: no network beyond this machine, no sockets in shared directories, logical WAL. */
const baseSettings: Readonly<Record<string, string>> = {
  listen_addresses: host,
  unix_socket_directories: "",
  wal_level: "logical",
  max_replication_slots: "64",
  max_wal_senders: "64",
  timezone: "UTC",
  log_timezone: "UTC"
}

/**
 * Creates a cluster (or takes the one that `directory` already holds) and starts it.
 *
 * The cluster dies with this process, however that ends (`Guard.ts`). It runs in a session of its own, so that Ctrl-C in a
 * terminal reaches only the service, which then stops its database last.
 */
export const startCluster = async (options: ClusterOptions = {}): Promise<Cluster> => {
  const version = options.version ?? 18
  const password = options.password ?? "password"
  const account = postgresUser()
  const binaries = await postgresBinaries(version, account)
  const temporary = options.directory === undefined
  const directory =
    options.directory ?? (await mkdtemp(path.join(traversableTmp(account), "baton-postgres-")))
  const data = path.join(directory, "data")
  const logFile = path.join(directory, "postgres.log")
  try {
    mkdirSync(directory, { recursive: true })
    if (account !== undefined) chmodSync(directory, 0o755)
    if (!existsSync(path.join(data, "PG_VERSION"))) {
      await initialise(binaries, account, directory, data, logFile, password, options.accessRules ?? [])
    }
  } catch (error) {
    if (temporary) await rm(directory, { recursive: true, force: true })
    throw error
  }

  let settings = { ...baseSettings, ...options.settings }
  let port = 0
  let postmaster: Postmaster | undefined

  const start = async (changed: Readonly<Record<string, string>> = {}) => {
    if (postmaster !== undefined) throw new Error("This cluster runs already.")
    settings = { ...settings, ...changed }
    // After a kill, processes of the previous life may hold the shared memory for a moment longer.
    const deadline = Date.now() + 20_000
    for (;;) {
      const candidate = port !== 0 ? port : await freePort(options.preferredPort)
      try {
        postmaster = await launch(binaries, account, data, logFile, {
          ...settings,
          port: String(candidate)
        })
        port = candidate
        break
      } catch (error) {
        const passing = /shared memory block|lock file|could not bind|Address already in use/.test(
          String(error)
        )
        if (!passing || Date.now() > deadline) throw error
        await sleep(100)
      }
    }
    const started = postmaster
    const release =
      options.guarded === false
        ? undefined
        : startGuard({ pid: started.pid, ...(temporary ? { temporaryDirectory: directory } : {}) })
    started.ended = started.exited.then(() => {
      release?.()
      if (postmaster === started) postmaster = undefined
    })
  }

  const ended = async (running: Postmaster) => {
    running.child.ref() // so that this process stays alive while it waits
    await running.ended
  }

  const stop = async (mode: "fast" | "immediate" = "fast") => {
    const running = postmaster
    if (running === undefined) return
    signal(running.pid, "SIGCONT")
    signal(running.pid, mode === "fast" ? "SIGINT" : "SIGQUIT")
    const immediate = setTimeout(() => signal(running.pid, "SIGQUIT"), 10_000)
    const last = setTimeout(() => killAll(running.pid), 20_000)
    await ended(running)
    clearTimeout(immediate)
    clearTimeout(last)
  }

  const cluster: Cluster = {
    version,
    directory,
    logFile,
    host,
    get port() {
      return port
    },
    user,
    password,
    pid: () => postmaster?.pid,
    url: (database) => `postgresql://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`,
    start,
    stop,
    restart: async (changed) => {
      await stop()
      await start(changed)
    },
    kill: async () => {
      const running = postmaster
      if (running === undefined) return
      killAll(running.pid)
      await ended(running)
    },
    freeze: () => {
      if (postmaster !== undefined) for (const pid of processes(postmaster.pid)) signal(pid, "SIGSTOP")
    },
    thaw: () => {
      if (postmaster !== undefined) for (const pid of processes(postmaster.pid)) signal(pid, "SIGCONT")
    },
    destroy: async () => {
      if (postmaster !== undefined) for (const pid of processes(postmaster.pid)) signal(pid, "SIGCONT")
      await stop(temporary ? "immediate" : "fast")
      if (temporary) await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    }
  }
  try {
    await start()
  } catch (error) {
    await cluster.destroy()
    throw error
  }
  return cluster
}

interface Postmaster {
  readonly pid: number
  readonly child: ChildProcess
  /** Resolves when the process has ended, whatever the reason, with how it did. */
  readonly exited: Promise<string>
  /** The same, once this module has taken notice. */
  ended: Promise<unknown>
}

const initialise = async (
  binaries: string,
  account: PostgresUser | undefined,
  directory: string,
  data: string,
  logFile: string,
  password: string,
  accessRules: ReadonlyArray<string>
): Promise<void> => {
  // Made under another name, so that an interrupted first start leaves nothing that looks like a cluster.
  const unfinished = `${data}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  mkdirSync(unfinished, { mode: 0o700 })
  const passwordFile = path.join(directory, `.password-${process.pid}`)
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  const log = openSync(logFile, "a", 0o644)
  try {
    if (account !== undefined)
      for (const file of [unfinished, passwordFile]) chownSync(file, account.uid, account.gid)
    const child = spawn(
      path.join(binaries, "bin", "initdb"),
      [
        `--pgdata=${unfinished}`,
        `--username=${user}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync"
      ],
      { cwd: "/", env: environment(), stdio: ["ignore", log, log], ...asUser(account) }
    )
    const code = await exitCode(child)
    if (code !== 0) {
      throw new Error(`initdb failed with exit code ${code}. Its last words:\n${await tail(logFile)}`)
    }
    const accessFile = path.join(unfinished, "pg_hba.conf")
    await writeFile(accessFile, [...accessRules, await readFile(accessFile, "utf8")].join("\n"))
    await rename(unfinished, data)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    throw error
  } finally {
    closeSync(log)
    await rm(passwordFile, { force: true })
  }
}

/** Starts the postmaster and returns once it accepts connections. */
const launch = async (
  binaries: string,
  account: PostgresUser | undefined,
  data: string,
  logFile: string,
  settings: Readonly<Record<string, string>>
): Promise<Postmaster> => {
  // The log goes to a file, not to a pipe: Postgres must never wait for us to read.
  const log = openSync(logFile, "a", 0o644)
  const child = spawn(
    path.join(binaries, "bin", "postgres"),
    ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    { cwd: "/", env: environment(), stdio: ["ignore", log, log], detached: true, ...asUser(account) }
  )
  closeSync(log)
  const exited = exitCode(child).then(
    (code) => `exit code ${code}`,
    (error: unknown) => String(error)
  )
  const deadline = Date.now() + 60_000
  while (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    if ((await postmasterStatus(data, child.pid)) === "ready") {
      child.unref()
      return { pid: child.pid, child, exited, ended: exited }
    }
    if (Date.now() > deadline) {
      killAll(child.pid)
      await exited
      throw new Error(`Postgres did not become ready within 60 s. Its log:\n${await tail(logFile)}`)
    }
    await sleep(10)
  }
  throw new Error(`Postgres did not start (${await exited}). Its log:\n${await tail(logFile)}`)
}

/** Eighth line of `postmaster.pid`, which `pg_ctl` waits for as well. */
const postmasterStatus = async (data: string, pid: number): Promise<string | undefined> => {
  const lines = await readFile(path.join(data, "postmaster.pid"), "utf8").then(
    (text) => text.split("\n"),
    () => []
  )
  return Number(lines[0]) === pid ? lines[7]?.trim() : undefined
}

/** The postmaster first, so that it starts no more children while they are signalled. */
const processes = (postmaster: number): ReadonlyArray<number> => [postmaster, ...childrenOf(postmaster)]

const killAll = (postmaster: number): void => {
  // Stopped before it is asked for its children: one that is born in between would be missed.
  signal(postmaster, "SIGSTOP")
  for (const pid of processes(postmaster)) signal(pid, "SIGKILL")
}

/** A plain environment: PG* variables or a language of the caller must not change what the cluster is like. */
const environment = (): NodeJS.ProcessEnv => ({ PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" })

const tail = async (file: string): Promise<string> =>
  (await readFile(file, "utf8").catch(() => "")).split("\n").slice(-20).join("\n")
