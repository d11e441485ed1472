import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { freePort } from "../../src/dev/FreePort.ts"
import { startGuard } from "../../src/dev/Guard.ts"
import { eventually } from "../Eventually.ts"

/** A program in front of services, with a configuration of `docs/deploy`. */
export interface Proxy {
  readonly url: string
  readonly dispose: () => Promise<void>
}

/** The first place where distributions put a program that this machine has. */
export const installed = (name: string): string | undefined =>
  ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
    .map((directory) => path.join(directory, name))
    .find((file) => existsSync(file))

/** A file of `docs/deploy`. */
export const example = (name: string): string =>
  readFileSync(path.resolve(import.meta.dirname, "../../docs/deploy", name), "utf8")

/** Fails when there is nothing to replace: then the configuration is not what a test takes it for. */
export const replaced = (text: string, from: string, to: string): string => {
  if (!text.includes(from)) throw new Error(`The configuration has no line ${from}`)
  return text.replaceAll(from, to)
}

/** Where a proxy finds things. */
interface Place {
  readonly port: number
  /** A directory of its own. */
  readonly home: string
}

interface ProxyOptions {
  readonly name: string
  readonly binary: string
  readonly configuration: (place: Place) => string
  readonly parameters: (file: string, home: string) => ReadonlyArray<string>
}

/** Starts the program, in the foreground; ready when it passes a request for health on. */
export const startProxy = async (options: ProxyOptions): Promise<Proxy> => {
  const port = await freePort()
  const home = mkdtempSync(path.join(tmpdir(), `baton-${options.name}-`))
  const file = path.join(home, "proxy.conf")
  writeFileSync(file, options.configuration({ port, home }))
  const child = spawn(options.binary, options.parameters(file, home), { stdio: ["ignore", "pipe", "pipe"] })
  let log = ""
  for (const output of [child.stdout, child.stderr])
    output.setEncoding("utf8").on("data", (piece: string) => (log = (log + piece).slice(-8000)))
  let isOver = false
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  void ended.then(() => (isOver = true))
  const release = child.pid === undefined ? () => {} : startGuard({ pid: child.pid })
  const url = `http://127.0.0.1:${port}`
  const dispose = async () => {
    if (!isOver) child.kill("SIGTERM")
    await ended
    release()
    rmSync(home, { recursive: true, force: true })
  }
  await eventually(options.name, async () => {
    if (isOver) throw new Error(log)
    return (await fetch(`${url}/v1/health`)).ok
  }).catch(async (error: unknown) => {
    await dispose()
    throw new Error(`${options.name} does not start:\n${log}`, { cause: error })
  })
  return { url, dispose }
}
