import { rm } from "node:fs/promises"
import { prepareCluster, superuser as user } from "./ClusterPlace.ts"
import { ClusterProcess } from "./ClusterProcess.ts"
import type { MajorVersion } from "./PostgresBinaries.ts"
import { powerOff, shutDown, signalAll } from "./Postmaster.ts"

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
  const place = await prepareCluster(version, options.directory, {
    password,
    accessRules: options.accessRules ?? []
  })
  const running = new ClusterProcess(place, {
    preferredPort: options.preferredPort,
    settings: { ...baseSettings, ...options.settings },
    isGuarded: options.guarded !== false
  })
  const stop = async (mode: "fast" | "immediate" = "fast") => {
    if (running.postmaster !== undefined) await shutDown(running.postmaster, mode)
  }
  const thaw = () => {
    if (running.postmaster !== undefined) signalAll(running.postmaster, "SIGCONT")
  }
  const cluster: Cluster = {
    version,
    directory: place.directory,
    logFile: place.logFile,
    host,
    get port() {
      return running.port
    },
    user,
    password,
    pid: () => running.postmaster?.pid,
    url: (database) =>
      `postgresql://${user}:${encodeURIComponent(password)}@${host}:${running.port}/${database}`,
    start: (settings) => running.start(settings),
    stop,
    restart: async (settings) => {
      await stop()
      await running.start(settings)
    },
    kill: async () => {
      if (running.postmaster !== undefined) await powerOff(running.postmaster)
    },
    freeze: () => {
      if (running.postmaster !== undefined) signalAll(running.postmaster, "SIGSTOP")
    },
    thaw,
    destroy: async () => {
      thaw()
      await stop(place.isTemporary ? "immediate" : "fast")
      if (place.isTemporary) await rm(place.directory, { recursive: true, force: true, maxRetries: 5 })
    }
  }
  try {
    await running.start()
  } catch (error) {
    await cluster.destroy()
    throw error
  }
  return cluster
}
