import { type FaultCode, faultCodes } from "../../telemetry/faults/FaultTable.ts"
import { duration } from "../Figures.ts"
import type { DoctorFacts } from "./Facts.ts"
import { advice, checkOf, type Finding, fine, problem } from "./Finding.ts"

/** What was said before that is no news any more. */
const recentSeconds = 3600

const known = (code: string): FaultCode | undefined => faultCodes.find((one) => one === code)

/**
 * What an instance that runs on this machine has reported: what lasts, and what is over but was a fault within the last hour. That
 * cannot be seen from outside any more.
 */
export const serviceFindings = ({ nowMillis, service }: DoctorFacts): ReadonlyArray<Finding> => {
  if (service === undefined) return []
  const { faults, url } = service
  const told = new Set<string>()
  const findings: Array<Finding> = []
  for (const { advice: way, code: name, message, severity, since } of faults.active) {
    if (told.has(name)) continue
    told.add(name)
    const code = known(name)
    const check = code === undefined ? "service" : checkOf(code, "service")
    const text = `The instance at ${url} says since ${since}: ${message}`
    findings.push((severity === "critical" ? problem : advice)(check, code, text, way))
  }
  for (const { at, code: name, message, severity } of faults.recent) {
    const seconds = (nowMillis - Date.parse(at)) / 1000
    if (told.has(name) || seconds > recentSeconds) continue
    told.add(name)
    const code = known(name)
    const check = code === undefined ? "service" : checkOf(code, "service")
    const text = `The instance at ${url} said ${duration(Math.max(0, seconds))} ago: ${message}`
    const found = advice(check, code, text)
    // What is only to be known is nothing to be mended.
    findings.push(severity === "info" ? { ...found, level: "ok" } : found)
  }
  return findings.length === 0
    ? [fine("service", `The instance at ${url} has reported nothing within the last hour.`)]
    : findings
}
