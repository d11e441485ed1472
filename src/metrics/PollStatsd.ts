import { cpus, freemem, loadavg, totalmem } from "node:os"
import { Effect, type Scope } from "effect"
import { duties } from "../health/Duties.ts"
import { startDuty } from "../shared/Duty.ts"
import type { StatsdSender, StatsdTags } from "../telemetry/statsd/StatsdSender.ts"
import { dottedName } from "./ElectricFamilies.ts"
import { metricValues } from "./MetricsFamilies.ts"
import type { MetricsSnapshot } from "./MetricsSnapshot.ts"
import type { MetricValues } from "./MetricsText.ts"

/** Sends gauges as they are, and by how much counters have grown. What Electric counts one by one is sent as it happens. */
export class StatsdPoll {
  private readonly send: StatsdSender
  private readonly counted = new Map<string, number>()

  constructor(send: StatsdSender) {
    this.send = send
  }

  poll(values: ReadonlyArray<MetricValues>): void {
    for (const { name, samples, type } of values)
      for (const sample of samples) {
        if (!("value" in sample)) continue
        const tags = sample.labels ?? {}
        if (type === "gauge") this.send.gauge(dottedName(name), sample.value, tags)
        else if (!isSentAsItHappens(name)) this.grown(name, sample.value, tags)
      }
  }

  private grown(name: string, value: number, tags: StatsdTags): void {
    const key = `${name} ${JSON.stringify(tags)}`
    const before = this.counted.get(key) ?? 0
    this.counted.set(key, value)
    const by = value < before ? value : value - before
    if (by > 0) this.send.count(dottedName(name), by, tags)
  }
}

const isSentAsItHappens = (name: string): boolean =>
  name === "electric_plug_serve_shape_requests_count" ||
  name === "electric_postgres_replication_transaction_received_count"

/** Of this machine and process, under Electric's names. */
const pollSystem = (send: StatsdSender): void => {
  const cores = cpus().length
  send.gauge("system.cpu.core_count", cores)
  const [one = 0, five = 0, fifteen = 0] = loadavg()
  send.gauge("system.load_percent.avg1", (100 * one) / cores)
  send.gauge("system.load_percent.avg5", (100 * five) / cores)
  send.gauge("system.load_percent.avg15", (100 * fifteen) / cores)
  const available = (100 * freemem()) / totalmem()
  send.gauge("system.memory_percent.available_memory", available)
  send.gauge("system.memory_percent.free_memory", available)
  send.gauge("system.memory_percent.used_memory", 100 - available)
  send.gauge("vm.memory.total", process.memoryUsage.rss())
  send.gauge("vm.uptime.total", process.uptime() * 1000)
}

/** Sends all figures of the page, again and again, for as long as the scope. */
export const pollStatsd = (
  send: StatsdSender,
  everyMillis: number,
  snapshot: Effect.Effect<MetricsSnapshot>
): Effect.Effect<void, never, Scope.Scope> => {
  const poll = new StatsdPoll(send)
  const once = Effect.map(snapshot, (taken) => {
    poll.poll(metricValues(taken))
    pollSystem(send)
  })
  return startDuty(duties.statsd, Effect.forever(Effect.andThen(once, Effect.sleep(everyMillis))))
}
