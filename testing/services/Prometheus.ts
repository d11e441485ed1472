import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { freePort } from "../../src/dev/FreePort.ts"
import { startGuard } from "../../src/dev/Guard.ts"
import { eventually } from "../Eventually.ts"
import { example, installed, replaced } from "./Proxy.ts"

export const prometheusPath = installed("prometheus")
export const promtoolPath = installed("promtool")

/** A result of the instant query API. */
interface Result {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

interface Rule {
  readonly name: string
  readonly health: string
  readonly lastError?: string
  readonly state: "inactive" | "pending" | "firing"
}

/** An alert whose expression holds: `pending` until it has held for as long as its rule says. */
export interface RaisedAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly state: "pending" | "firing"
  readonly activeAt: string
}

export interface Prometheus extends AsyncDisposable {
  /** Fails with the message of Prometheus. */
  readonly query: (expression: string) => Promise<ReadonlyArray<Result>>
  readonly rules: () => Promise<ReadonlyArray<Rule>>
  readonly alerts: () => Promise<ReadonlyArray<RaisedAlert>>
}

/** What it writes for a moment need not get to a disk. */
const memory = "/dev/shm"

/** Runs `promtool`; fails with what it says. */
export const promtool = (parameters: ReadonlyArray<string>, input = ""): string => {
  const { status, stderr, stdout } = spawnSync(promtoolPath ?? "promtool", parameters, {
    input,
    encoding: "utf8",
    env: existsSync(memory) ? { ...process.env, TMPDIR: memory } : process.env
  })
  if (status !== 0) throw new Error(`promtool ${parameters.join(" ")}: ${stdout}${stderr}`)
  return stdout
}

/**
 * Prometheus with the configuration and the rules of `docs/deploy/monitoring`, which scrapes these ports, and evaluates its
 * rules, at this interval.
 */
export const startPrometheus = async (
  ports: ReadonlyArray<number>,
  interval = "500ms"
): Promise<Prometheus> => {
  const port = await freePort()
  const home = mkdtempSync(path.join(tmpdir(), "baton-prometheus-"))
  const targets = JSON.stringify(ports.map((one) => `127.0.0.1:${one}`))
  let configuration = replaced(
    example("monitoring/prometheus.yaml"),
    'targets: ["baton-1:9090", "baton-2:9090"]',
    `targets: ${targets}`
  )
  configuration = replaced(configuration, "_interval: 15s", `_interval: ${interval}`)
  writeFileSync(path.join(home, "prometheus.yaml"), configuration)
  writeFileSync(path.join(home, "alerts.yaml"), example("monitoring/alerts.yaml"))
  const child = spawn(
    prometheusPath ?? "prometheus",
    [
      `--config.file=${path.join(home, "prometheus.yaml")}`,
      `--storage.tsdb.path=${path.join(home, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`
    ],
    { stdio: ["ignore", "pipe", "pipe"] }
  )
  let log = ""
  for (const output of [child.stdout, child.stderr])
    output.setEncoding("utf8").on("data", (piece: string) => (log = (log + piece).slice(-8000)))
  let isOver = false
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  void ended.then(() => (isOver = true))
  const release = child.pid === undefined ? () => {} : startGuard({ pid: child.pid })
  const ask = async <A>(target: string): Promise<A> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${target}`)
    const body = (await answer.json()) as {
      readonly status: string
      readonly error?: string
      readonly data: A
    }
    if (body.status !== "success") throw new Error(`${target}: ${body.error}`)
    return body.data
  }
  const dispose = async () => {
    if (!isOver) child.kill("SIGTERM")
    await ended
    release()
    rmSync(home, { recursive: true, force: true })
  }
  await eventually("Prometheus", async () => {
    if (isOver) throw new Error(log)
    return (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok
  }).catch(async (error: unknown) => {
    await dispose()
    throw new Error(`Prometheus does not start:\n${log}`, { cause: error })
  })
  return {
    query: async (expression) =>
      (await ask<{ readonly result: ReadonlyArray<Result> }>(`query?query=${encodeURIComponent(expression)}`))
        .result,
    rules: async () =>
      (
        await ask<{ readonly groups: ReadonlyArray<{ readonly rules: ReadonlyArray<Rule> }> }>("rules")
      ).groups.flatMap(({ rules }) => rules),
    alerts: async () => (await ask<{ readonly alerts: ReadonlyArray<RaisedAlert> }>("alerts")).alerts,
    [Symbol.asyncDispose]: dispose
  }
}
