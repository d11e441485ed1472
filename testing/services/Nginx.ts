import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { freePort } from "../../src/dev/FreePort.ts"
import { startGuard } from "../../src/dev/Guard.ts"
import { eventually } from "../Eventually.ts"

export const nginxPath = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].find((file) =>
  existsSync(file)
)

export interface Nginx {
  readonly url: string
  readonly dispose: () => Promise<void>
}

const replaced = (text: string, from: string, to: string): string => {
  if (!text.includes(from)) throw new Error(`The configuration has no line ${from}`)
  return text.replace(from, to)
}

/** The configuration of `docs/deploy`, with nothing changed but where things are. */
export const startNginx = async (binary: string, servicePort: number): Promise<Nginx> => {
  const port = await freePort()
  const home = mkdtempSync(path.join(tmpdir(), "baton-nginx-"))
  let text = readFileSync(path.resolve(import.meta.dirname, "../../docs/deploy/nginx.conf"), "utf8")
  text = replaced(text, "server baton:3000;", `server 127.0.0.1:${servicePort};`)
  text = replaced(text, "listen 80;", `listen 127.0.0.1:${port} backlog=4096;`)
  text = replaced(text, "/var/cache/nginx/baton", path.join(home, "cache"))
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${path.join(home, name)};`)
    .join("\n")
  text = replaced(text, "http {", `http {\naccess_log off;\n${temporary}`)
  const user = process.getuid?.() === 0 ? "user root;\n" : ""
  const main = `daemon off;\npid ${path.join(home, "pid")};\nerror_log stderr warn;\n${user}`
  const file = path.join(home, "nginx.conf")
  writeFileSync(file, main + text)
  const child = spawn(binary, ["-p", home, "-c", file, "-e", "stderr"], {
    stdio: ["ignore", "ignore", "pipe"]
  })
  let log = ""
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (log += piece))
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  let isOver = false
  void ended.then(() => (isOver = true))
  const release = child.pid === undefined ? () => {} : startGuard({ pid: child.pid })
  const url = `http://127.0.0.1:${port}`
  const dispose = async () => {
    if (!isOver) child.kill("SIGTERM")
    await ended
    release()
    rmSync(home, { recursive: true, force: true })
  }
  await eventually("nginx", async () => {
    if (isOver) throw new Error(log)
    return (await fetch(`${url}/v1/health`)).ok
  }).catch(async (error: unknown) => {
    await dispose()
    throw new Error(`nginx does not start:\n${log}`, { cause: error })
  })
  return { url, dispose }
}
