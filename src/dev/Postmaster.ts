import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { readFile } from "node:fs/promises"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { type ClusterPlace, environment, tail } from "./ClusterPlace.ts"
import { asUser } from "./PostgresBinaries.ts"
import { childrenOf, exitCode, signal } from "./Processes.ts"

/** The first process of a running cluster, which starts all others. */
export interface Postmaster {
  readonly pid: number
  readonly child: ChildProcess
  /** Resolves when the process has ended, whatever the reason, with how it did. */
  readonly exited: Promise<string>
  /** The same, once this module has taken notice. */
  ended: Promise<unknown>
}

/** Starts the postmaster and returns once it accepts connections. */
export const launch = async (
  { account, binaries, data, logFile }: ClusterPlace,
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
    const status = await postmasterStatus(data, child.pid)
    // A standby takes no more than reading connections.
    if (status === "ready" || status === "standby") {
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

/** Ends all sessions and waits for the end; harder after 10 s, and hardest after 20 s. */
export const shutDown = async (postmaster: Postmaster, mode: "fast" | "immediate"): Promise<void> => {
  const { pid } = postmaster
  signal(pid, "SIGCONT")
  signal(pid, mode === "fast" ? "SIGINT" : "SIGQUIT")
  const immediate = setTimeout(() => signal(pid, "SIGQUIT"), 10_000)
  const last = setTimeout(() => killAll(pid), 20_000)
  await ended(postmaster)
  clearTimeout(immediate)
  clearTimeout(last)
}

/** kill -9 of every process of the cluster; completes when the postmaster is gone. */
export const powerOff = async (postmaster: Postmaster): Promise<void> => {
  killAll(postmaster.pid)
  await ended(postmaster)
}

export const signalAll = (postmaster: Postmaster, name: "SIGSTOP" | "SIGCONT"): void => {
  for (const pid of processes(postmaster.pid)) signal(pid, name)
}

const ended = async (postmaster: Postmaster): Promise<void> => {
  postmaster.child.ref() // so that this process stays alive while it waits
  await postmaster.ended
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
