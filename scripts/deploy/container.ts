import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { patient } from "../../testing/Load.ts"
import { healthOf, type Health } from "../../testing/services/Balancer.ts"
import type { Image } from "./Dockerfile.ts"

/** A user without any rights, as containers have one; `undefined` when we have few ourselves. */
export const plainUser = (): { readonly uid: number; readonly gid: number } | undefined =>
  process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined

export interface ContainerOptions {
  readonly image: Image
  readonly port: number
  readonly environment: Readonly<Record<string, string>>
  /** Directories that hold the `node` to use. */
  readonly path: string
}

/** The process that an engine would start from the image: its entry point, as its user, with this environment only. */
export interface Container {
  readonly port: number
  readonly logs: () => string
  /** Waits for an answer of `/v1/health`. Fails with the log when the process ends first. */
  readonly until: (health: Health, deadlineMillis?: number) => Promise<void>
  /** Runs the health check of the image, as the engine does. */
  readonly isHealthy: () => boolean
  readonly signal: (name: NodeJS.Signals) => void
  /** Exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>
  /** For the end of a check that has failed: whatever it takes. */
  readonly kill: () => void
}

export const startContainer = (options: ContainerOptions): Container => {
  const { image, port } = options
  const settings = {
    cwd: image.directory,
    env: {
      PATH: options.path,
      ELECTRIC_PORT: String(port),
      BATON_LOG_FORMAT: "text",
      ...options.environment
    },
    ...plainUser()
  }
  const [command = "", ...args] = image.entrypoint
  const child: ChildProcess = spawn(command, args, { ...settings, stdio: ["ignore", "pipe", "pipe"] })
  let text = ""
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (data: string) => (text += data))
  let over = false
  const ended = once(child, "close").then(([code, signal]) => {
    over = true
    return (code ?? signal) as number | string
  })
  const until = async (health: Health, deadlineMillis = 20_000) => {
    const deadline = performance.now() + patient(deadlineMillis)
    let seen: Health = "down"
    while ((seen = await healthOf(port, patient(1000))) !== health) {
      if (over || performance.now() > deadline)
        throw new Error(`Port ${port} is ${over ? "gone" : seen}, not ${health}. Its log:\n${text}`)
      await sleep(5)
    }
  }
  return {
    port,
    logs: () => text,
    until,
    isHealthy: () => {
      const [check = "", ...words] = image.healthcheck
      return spawnSync(check, words, settings).status === 0
    },
    signal: (name) => child.kill(name),
    ended,
    kill: () => child.kill("SIGKILL")
  }
}
