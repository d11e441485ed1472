import { spawn } from "node:child_process"
import { createReadStream, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { readFile, unlink } from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { freePort } from "../../../src/dev/FreePort.ts"
import { onEnd, tracked } from "./Cleanup.ts"
import { eventually, nowMillis } from "./Clock.ts"
import { HttpConnection } from "./HttpConnection.ts"

/** `BATON_BENCH_ROOT`: measures another checkout, to compare two versions with the same benchmark. */
const root = process.env["BATON_BENCH_ROOT"] ?? path.resolve(import.meta.dirname, "../../..")

/** `BATON_BENCH_ENTRY`: what is started, e.g. `dist/main.js` after `npm run bundle`, as the image starts it. */
const entry = path.join(root, process.env["BATON_BENCH_ENTRY"] ?? "src/main.ts")

/** `BATON_BENCH_NODE_ARGS`: arguments for the service's Node, e.g. `--cpu-prof --cpu-prof-dir=profiles`. */
const moreArguments = (process.env["BATON_BENCH_NODE_ARGS"] ?? "").split(" ").filter((arg) => arg !== "")

/** `BATON_BENCH_ENVIRONMENT`: more variables for the service, as JSON, to compare two settings with the same benchmark. */
const moreEnvironment = JSON.parse(process.env["BATON_BENCH_ENVIRONMENT"] ?? "{}") as Readonly<
  Record<string, string>
>

export interface ServiceOptions {
  readonly databaseUrl: string
  /** Kept between starts; see `storageDirectory`. */
  readonly storage: string
  readonly environment?: Readonly<Record<string, string>>
  /** For the program `node` itself, before the script. */
  readonly nodeArguments?: ReadonlyArray<string>
  readonly port?: number
  /** Which health to wait for. Default `active`. */
  readonly until?: Health | "listening"
}

export type Health = "starting" | "waiting" | "active" | "stopping"

/** The service as a process of its own, started as `npm start` does. */
export interface Service {
  readonly pid: number
  readonly port: number
  readonly logFile: string
  /** From the start of the process to the state that was waited for. */
  readonly startMillis: number
  readonly health: () => Promise<Health | undefined>
  readonly awaitHealth: (wanted: Health, deadlineMillis?: number) => Promise<number>
  readonly signal: (name: NodeJS.Signals) => void
  /** SIGTERM, and the end of the process. */
  readonly stop: () => Promise<void>
  readonly kill: () => Promise<void>
  readonly exited: () => boolean
  /** Forces a full garbage collection and gives the memory after it. The service must have been started with `probed`. */
  readonly collectGarbage: () => Promise<NodeJS.MemoryUsage>
  /** Lines of the log that are warnings or errors. */
  readonly complaints: () => Promise<ReadonlyArray<string>>
}

/** Arguments that let `collectGarbage` work; they change nothing else. */
export const probed: ReadonlyArray<string> = [
  "--expose-gc",
  "--import",
  path.join(import.meta.dirname, "probe.ts")
]

/** Asks a process that was started with `probed`, and with this file as `BENCH_PROBE_FILE`. */
export const collectGarbage = async (pid: number, answer: string): Promise<NodeJS.MemoryUsage> => {
  await unlink(answer).catch(() => {})
  process.kill(pid, "SIGUSR2")
  const text = await eventually("the garbage collection", 60_000, 5, () =>
    readFile(answer, "utf8").catch(() => undefined)
  )
  return JSON.parse(text) as NodeJS.MemoryUsage
}

export const storageDirectory = (): string => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "baton-bench-storage-"))
  onEnd(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  return directory
}

let logs: string | undefined
let logsAreKept = false

/** After a failure: what the service said may explain it. */
export const keepLogs = (): string | undefined => {
  logsAreKept = true
  return logs
}

const logDirectory = (): string => {
  if (logs !== undefined) return logs
  const made = mkdtempSync(path.join(os.tmpdir(), "baton-bench-logs-"))
  logs = made
  onEnd(() => {
    logs = undefined
    if (!logsAreKept) rmSync(made, { recursive: true, force: true })
  })
  return made
}

export const healthAt = async (connection: HttpConnection): Promise<Health | undefined> => {
  const reply = await connection.request("/v1/health")
  const { status } = JSON.parse(reply.body.toString()) as { readonly status: Health }
  return status
}

export const startService = async (options: ServiceOptions): Promise<Service> => {
  const port = options.port ?? (await freePort())
  const logFile = path.join(logDirectory(), `service-${port}-${Date.now()}.log`)
  const log = openSync(logFile, "w")
  const began = nowMillis()
  const child = tracked(
    spawn(process.execPath, [...moreArguments, ...(options.nodeArguments ?? []), entry], {
      cwd: root,
      stdio: ["ignore", log, log],
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        TMPDIR: process.env["TMPDIR"],
        NODE_COMPILE_CACHE: path.join(root, "node_modules/.cache/baton"),
        DATABASE_URL: options.databaseUrl,
        ELECTRIC_INSECURE: "true",
        BATON_LOG_FORMAT: "text",
        ELECTRIC_PORT: String(port),
        ELECTRIC_STORAGE_DIR: options.storage,
        // The load generators keep their connections, so that connecting is not what is measured.
        ELECTRIC_TWEAKS_CONN_MAX_REQUESTS: "0",
        BENCH_PROBE_FILE: `${logFile}.probe`,
        ...moreEnvironment,
        ...options.environment
      }
    })
  )
  closeSync(log)
  const { pid } = child
  if (pid === undefined) throw new Error("The service could not be started.")
  let exited = false
  const exit = new Promise<void>((resolve) =>
    child.once("exit", () => {
      exited = true
      resolve()
    })
  )
  const tail = () => readFileSync(logFile, "utf8").split("\n").slice(-25).join("\n")

  let connection: HttpConnection | undefined
  const health = async (): Promise<Health | undefined> => {
    if (exited) throw new Error(`The service ended by itself. Its last words:\n${tail()}`)
    try {
      connection ??= await HttpConnection.open(port)
      return await healthAt(connection)
    } catch {
      connection?.close()
      connection = undefined
      return undefined
    }
  }
  const awaitHealth = async (wanted: Health, deadlineMillis = 120_000) => {
    await eventually(`the service to be ${wanted}, see ${logFile}`, deadlineMillis, 2, async () =>
      (await health()) === wanted ? true : undefined
    )
    return nowMillis()
  }
  const end = async (name: NodeJS.Signals) => {
    connection?.close()
    connection = undefined
    if (exited) return
    child.kill("SIGCONT")
    child.kill(name)
    const last = setTimeout(() => child.kill("SIGKILL"), 40_000)
    await exit
    clearTimeout(last)
  }
  const ended = onEnd(() => end("SIGKILL"))

  const until = options.until ?? "active"
  const ready =
    until === "listening"
      ? await eventually("the port to be open", 60_000, 1, async () =>
          (await health()) === undefined ? undefined : nowMillis()
        )
      : await awaitHealth(until)

  return {
    pid,
    port,
    logFile,
    startMillis: ready - began,
    health,
    awaitHealth,
    signal: (name) => void child.kill(name),
    stop: async () => {
      await end("SIGTERM")
      await ended()
    },
    kill: async () => {
      await end("SIGKILL")
      await ended()
    },
    exited: () => exited,
    collectGarbage: () => collectGarbage(pid, `${logFile}.probe`),
    complaints: async () => {
      const found: Array<string> = []
      for await (const line of createInterface({ input: createReadStream(logFile) })) {
        if (/ (warning|error) /.test(line) && !line.includes("ELECTRIC_INSECURE")) found.push(line)
      }
      return found
    }
  }
}
