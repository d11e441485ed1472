import type { Injection } from "./Injection.ts"
import { setTimeout as sleep } from "node:timers/promises"
import { faultTable, type FaultCode } from "../../src/telemetry/faults/FaultTable.ts"
import { Effect } from "effect"
import { doctor } from "../../src/command/doctor/Doctor.ts"
import type { Examination } from "../../src/command/doctor/Examination.ts"
import { patient } from "../Load.ts"
import type { WatchedService } from "./FaultScene.ts"

/** An operator has to know within this time. */
export const namedWithinMillis = 30_000

export interface Observed {
  readonly millis: number
  readonly code: FaultCode
  /** The first line of the log with the code. */
  readonly line: string | undefined
  /** How many lines have it. */
  readonly lines: number
  /** `counted`, `active`, or that the process had ended, whose exit code says it. */
  readonly metric: "counted" | "active" | "ended" | undefined
  /** What `baton doctor` says of it, with the variables of the service. */
  readonly doctor: string | undefined
}

const metricOf = async ({ metricsPort }: WatchedService, code: FaultCode): Promise<Observed["metric"]> => {
  try {
    const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`, {
      signal: AbortSignal.timeout(5000)
    })
    const page = await answer.text()
    const value = (name: string) =>
      Number(new RegExp(`^${name}\\{code="${code}"\\} (\\d+)$`, "m").exec(page)?.[1] ?? 0)
    if (value("baton_fault_active") === 1) return "active"
    return value("baton_faults_total") > 0 ? "counted" : undefined
  } catch {
    return undefined
  }
}

const doctorOf = async ({ environment }: WatchedService, code: FaultCode): Promise<Observed["doctor"]> => {
  let text = ""
  await Effect.runPromise(
    doctor({
      environment,
      json: true,
      write: false,
      paint: (_, plain) => plain,
      say: (more) => (text += more)
    })
  )
  const { findings } = JSON.parse(text) as Examination
  return findings.find((finding) => finding.code === code)?.text
}

/** Waits until the log and the metrics name a fault, and asks `baton doctor` then, as long as an operator may have to wait. */
export const observeFault = async (
  watched: WatchedService,
  { code: first, orCode }: Pick<Injection, "code" | "orCode">
): Promise<Observed> => {
  const began = performance.now()
  const linesOf = (code: FaultCode) =>
    watched.service.logs().match(new RegExp(`^\\S+ (?:info|warning|error) \\[${code}\\].*$`, "gm")) ?? []
  let ended = false
  void watched.service.ended.then(() => (ended = true))
  for (;;) {
    const code = orCode !== undefined && linesOf(first).length === 0 ? orCode : first
    const lines = linesOf(code)
    const metric = lines.length === 0 ? undefined : ended ? "ended" : await metricOf(watched, code)
    const millis = Math.round(performance.now() - began)
    if (metric !== undefined || millis > Math.min(patient(namedWithinMillis), 3 * namedWithinMillis))
      return {
        millis,
        code,
        line: lines[0],
        lines: lines.length,
        metric,
        doctor: lines.length === 0 ? undefined : await doctorOf(watched, code)
      }
    await sleep(100)
  }
}

/** What is wrong with what was seen; undefined when nothing is. */
export const problemWith = ({ code, doctor: said, line, lines, metric }: Observed): string | undefined => {
  if (line === undefined) return "no line of the log has the code"
  if (metric === undefined) return "no metric has the code"
  if (said === undefined) return "doctor does not say it"
  if (lines > 20) return `${lines} lines have the code: it floods the log`
  const level = / (info|warning|error) \[/.exec(line)?.[1]
  const wanted = { info: "info", warning: "warning", critical: "error" }[faultTable[code].severity]
  return level === wanted ? undefined : `its level is ${level}, not ${wanted}`
}
