import { type ChildProcess, spawnSync } from "node:child_process"
import { readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs"

/** Sends a signal; a process that is already gone is fine. */
export const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // ESRCH: it ended before us.
  }
}

/** Is there a process with this id? One that belongs to somebody else counts. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

/**
 * Is this process the Postgres server of that data directory? A process id alone may by now belong to anything. A
 * postmaster's working directory is its data; where that cannot be asked for, the name of the program has to do.
 */
export const isPostmasterOf = (pid: number, data: string): boolean => {
  if (!Number.isSafeInteger(pid) || pid <= 0 || !isAlive(pid)) return false
  if (process.platform !== "linux") {
    return spawnSync("ps", ["-p", String(pid), "-o", "comm="], { encoding: "utf8" }).stdout.includes(
      "postgres"
    )
  }
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(data)
  } catch {
    return false
  }
}

/**
 * Direct children of a process. Postgres backends are direct children of the postmaster, but each has a session of its
 * own, so that signals to the postmaster's process group do not reach them.
 */
export const childrenOf = (parent: number): ReadonlyArray<number> =>
  process.platform === "linux" ? childrenInProc(parent) : childrenInPs(parent)

const childrenInProc = (parent: number): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
        // "<pid> (<name>) <state> <parent> ...", and the name may itself hold spaces and parentheses.
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent
      } catch {
        return false
      }
    })

const childrenInPs = (parent: number): ReadonlyArray<number> =>
  spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
    .stdout.split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([pid, ppid]) => (pid !== undefined && ppid === parent ? [pid] : []))

/** Exit code of a child, 128 + n for signal n as a shell would say it; rejects when it could not be started. */
export const exitCode = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("exit", (code, name) => resolve(code ?? 128 + signalNumber(name)))
  })

const signalNumber = (name: NodeJS.Signals | null): number =>
  name === "SIGKILL" ? 9 : name === "SIGTERM" ? 15 : name === "SIGINT" ? 2 : name === "SIGQUIT" ? 3 : 0
