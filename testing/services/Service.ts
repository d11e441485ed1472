import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { freePort } from "../../src/dev/FreePort.ts"
import { startGuard } from "../../src/dev/Guard.ts"
import type { TestDatabase } from "../postgres/Database.ts"
import { bundledCommand } from "./CommandOfTests.ts"
import { eventually } from "../Eventually.ts"
import { patient } from "../Load.ts"

export interface ServiceOptions {
  /** Sets `DATABASE_URL` and the stream id. */
  readonly database?: TestDatabase
  /** Over the settings that every test service gets; `undefined` unsets one. Nothing else is inherited but PATH. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Storage; by default a temporary directory of its own, removed when the service is stopped for good. */
  readonly storageDir?: string
  readonly port?: number
  /** Wait until `/v1/health` says this; default active. `false`: do not wait at all. */
  readonly until?: "active" | "waiting" | "starting" | false
  readonly deadlineMillis?: number
  /** What is run; by default the command of this checkout, bundled. */
  readonly entry?: string
  readonly cwd?: string
  /** After the script's name. */
  readonly arguments?: ReadonlyArray<string>
}

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The real service as a process of its own. `await using` ends it, with its storage if that is temporary. */
export interface TestService extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly storageDir: string
  /** Everything that it has written so far, standard output and error together. */
  readonly logs: () => string
  readonly health: () => Promise<{ readonly status: number; readonly body: string } | undefined>
  readonly until: (
    status: "active" | "waiting" | "starting" | "stopping",
    deadlineMillis?: number
  ) => Promise<void>
  readonly untilLogged: (pattern: RegExp, deadlineMillis?: number) => Promise<RegExpMatchArray>
  readonly signal: (name: NodeJS.Signals) => void
  /** Sends a signal and waits for the end. */
  readonly stop: (name?: NodeJS.Signals, deadlineMillis?: number) => Promise<Ending>
  /** Resolves when the process has ended, for whatever reason. */
  readonly ended: Promise<Ending>
  /** Stops it if it runs, and removes temporary storage. */
  readonly dispose: () => Promise<void>
}

const root = path.resolve(import.meta.dirname, "../..")

/** Starts the service; fails with its log when it ends or does not become healthy in time. */
export const startService = async (options: ServiceOptions = {}): Promise<TestService> => {
  const port = options.port ?? (await freePort())
  const temporary = options.storageDir === undefined
  const storageDir = options.storageDir ?? mkdtempSync(path.join(os.tmpdir(), "baton-storage-"))
  const { database } = options
  const env: Record<string, string | undefined> = {
    PATH: process.env["PATH"],
    ELECTRIC_PORT: String(port),
    ELECTRIC_STORAGE_DIR: storageDir,
    ELECTRIC_INSECURE: "true",
    BATON_LOG_FORMAT: "text",
    ...(database === undefined
      ? {}
      : { DATABASE_URL: database.url, ELECTRIC_REPLICATION_STREAM_ID: database.streamId }),
    ...options.env
  }
  const child = spawn(
    process.execPath,
    [options.entry ?? (await bundledCommand()), ...(options.arguments ?? [])],
    {
      cwd: options.cwd ?? root,
      env,
      stdio: ["ignore", "pipe", "pipe"]
    }
  )
  let text = ""
  let endedWith: Ending | undefined
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding("utf8").on("data", (data: string) => (text += data))
  }
  const pid = await started(child)
  const release = startGuard({ pid })
  const ended = new Promise<Ending>((resolve) =>
    child.once("close", (code, signal) => {
      endedWith = { code, signal }
      release()
      resolve(endedWith)
    })
  )
  const url = `http://127.0.0.1:${port}`

  const explain = (what: string) => `${what}. Its log:\n${text.slice(-8000)}`

  /** Waits, but not for a process that is gone, and shows what it said when the wait was in vain. */
  const poll = async <A>(
    what: string,
    condition: () => A | undefined | Promise<A | undefined>,
    deadlineMillis: number
  ): Promise<A> => {
    let found: A | undefined
    await eventually(
      what,
      async () => {
        found = await condition()
        return found !== undefined || endedWith !== undefined
      },
      deadlineMillis
    ).catch((error: unknown) => {
      throw new Error(explain(error instanceof Error ? error.message : String(error)))
    })
    if (found === undefined)
      throw new Error(explain(`The service ended (${JSON.stringify(endedWith)}) before ${what}`))
    return found
  }

  const health = async () => {
    try {
      const response = await fetch(`${url}/v1/health`, { signal: AbortSignal.timeout(patient(2_000)) })
      return { status: response.status, body: await response.text() }
    } catch {
      return undefined
    }
  }

  const stop = async (name: NodeJS.Signals = "SIGTERM", deadlineMillis = 40_000) => {
    child.kill(name)
    await eventually(`the end after ${name}`, () => endedWith, deadlineMillis).catch((error: unknown) => {
      throw new Error(explain(error instanceof Error ? error.message : String(error)))
    })
    return ended
  }

  const dispose = async () => {
    if (endedWith === undefined) {
      child.kill("SIGCONT")
      child.kill("SIGKILL")
      await ended
    }
    if (temporary) rmSync(storageDir, { recursive: true, force: true })
  }

  const service: TestService = {
    url,
    port,
    pid,
    storageDir,
    logs: () => text,
    health,
    until: async (status, deadlineMillis = 20_000) => {
      await poll(
        `health "${status}"`,
        async () => ((await health())?.body === `{"status":"${status}"}` ? true : undefined),
        deadlineMillis
      )
    },
    untilLogged: (pattern, deadlineMillis = 20_000) =>
      poll(`a log line like ${pattern}`, () => pattern.exec(text) ?? undefined, deadlineMillis),
    signal: (name) => {
      child.kill(name)
    },
    stop,
    ended,
    dispose,
    [Symbol.asyncDispose]: dispose
  }
  const until = options.until ?? "active"
  if (until !== false) {
    try {
      await service.until(until, options.deadlineMillis)
    } catch (error) {
      await dispose()
      throw error
    }
  }
  return service
}

const started = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("spawn", () => {
      if (child.pid === undefined) reject(new Error("The service has no process id."))
      else resolve(child.pid)
    })
  })
