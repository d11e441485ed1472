import type { InstanceReport } from "../../operator/reports/InstancesReport.ts"
import type { StatusReport } from "../../operator/reports/StatusReport.ts"
import { bytes, duration, harmless } from "../Figures.ts"
import type { Paint } from "../Terminal.ts"
import { textTable } from "./TextTable.ts"

const lag = ({ followerLagBytes, unconfirmedWalBytes }: InstanceReport): string => {
  if (unconfirmedWalBytes !== null) return `${bytes(unconfirmedWalBytes)} not confirmed`
  return followerLagBytes === null ? "" : `${bytes(followerLagBytes)} of the journal not read`
}

const instanceRows = (status: StatusReport) =>
  status.instances.map((instance) => [
    `${instance.isSelf ? "*" : " "} ${instance.state}`,
    instance.instanceId ?? `backend ${instance.backendPid}`,
    instance.release ?? "",
    instance.address ?? "",
    lag(instance)
  ])

const colourOfSlot = {
  ok: "green",
  growing: "yellow",
  unreserved: "red",
  lost: "red",
  missing: "red"
} as const

const slotLine = ({ databaseAnswers, slot }: StatusReport, paint: Paint): string => {
  if (slot === null)
    return databaseAnswers === false
      ? paint("red", "the database does not answer")
      : "the database was not asked"
  const { retainedWalBytes, safeWalBytes, unconfirmedWalBytes, verdict } = slot
  const figures = [
    ...(retainedWalBytes === null ? [] : [`${bytes(retainedWalBytes)} of WAL kept`]),
    ...(unconfirmedWalBytes === null ? [] : [`${bytes(unconfirmedWalBytes)} not confirmed`]),
    ...(safeWalBytes === null ? [] : [`${bytes(safeWalBytes)} left before it is lost`])
  ]
  return `${paint(colourOfSlot[verdict.state], verdict.state)}, ${[...figures, slot.name].join(", ")}. ${verdict.text}`
}

const ratesLine = ({ rates }: StatusReport): string => {
  if (rates === null) return "not known yet"
  const { changesPerSecond, cpuCores, receiveLagMillis, requestsPerSecond, transactionsPerSecond } = rates
  const behind = receiveLagMillis === null ? "" : `, ${Math.round(receiveLagMillis)} ms from commit to here`
  return `${transactionsPerSecond} transactions, ${changesPerSecond} changes, ${requestsPerSecond} requests a second${behind}, ${cpuCores} cores`
}

const barWidth = 20

/** How far long work has come, as far as that is known. */
const progressLine = ({ done, name, total, unit }: StatusReport["progress"][number]): string => {
  const counted = unit === "bytes" ? bytes(done) : `${done} ${unit}`
  if (total === null || total <= 0) return `${name}: ${counted}`
  const share = Math.min(1, done / total)
  const full = Math.round(share * barWidth)
  return `[${"#".repeat(full)}${".".repeat(barWidth - full)}] ${Math.floor(share * 100)} %  ${name}: ${counted}`
}

const shapesLine = ({ heldRequests, loading, shapes, slowReaders }: StatusReport): string =>
  [
    `${shapes}`,
    ...(loading.shapes === 0
      ? []
      : [`${loading.shapes} of them loading for ${duration(loading.oldestSeconds)}`]),
    `${heldRequests} requests wait for changes`,
    ...(slowReaders.length === 0 ? [] : [`${slowReaders.length} clients take nothing`])
  ].join(", ")

const storageLine = ({ storage }: StatusReport): string => {
  const { journalBytes, level, place, unshippedBytes } = storage
  const journal = journalBytes === null ? "" : `, journal ${bytes(journalBytes)}`
  const shipped = unshippedBytes === null ? "" : `, ${bytes(unshippedBytes)} not in the bucket yet`
  return `${place}${journal}${shipped}, level ${level}`
}

const workersLine = ({ workers }: StatusReport): ReadonlyArray<string> =>
  workers.configured === 0
    ? []
    : [`workers    ${workers.ready} of ${workers.configured} ready, begun anew ${workers.restarts} times`]

/** All instances on one screen. `width`: of the terminal, in characters. */
export const printStatus = (status: StatusReport, paint: Paint, width: number): string => {
  const { failure, faults, instances, progress, takeovers } = status
  const [takeover] = takeovers
  return [
    ...textTable(["  state", "instance", "release", "address", "lag"], instanceRows(status), width).map(
      (line, i) => (i === 0 ? paint("grey", line) : line)
    ),
    paint("grey", `* has answered, up ${duration(status.uptimeSeconds)}, epoch ${status.epoch}`),
    ...(instances.some(({ holdsLock, state }) => holdsLock || state === "active")
      ? []
      : [paint("yellow", "No instance is active: shapes are served as they are, and none can be made.")]),
    ...(failure === null ? [] : [paint("red", harmless(failure))]),
    "",
    `database   ${harmless(status.database)}`,
    `slot       ${slotLine(status, paint)}`,
    `shapes     ${shapesLine(status)}`,
    `rates      ${ratesLine(status)}`,
    `storage    ${harmless(storageLine(status))}`,
    ...workersLine(status),
    ...(takeover === undefined ? [] : [`takeover   in ${Math.round(takeover.millis)} ms at ${takeover.at}`]),
    ...progress.map((work) => `work       ${harmless(progressLine(work))}`),
    "",
    ...(faults.length === 0
      ? [paint("green", "No fault lasts.")]
      : faults.flatMap((fault) => faultLines(fault, paint))),
    ""
  ].join("\n")
}

const faultLines = (
  { advice, code, message, severity, since }: StatusReport["faults"][number],
  paint: Paint
): ReadonlyArray<string> => [
  `${paint(severity === "critical" ? "red" : "yellow", code)} since ${since}: ${harmless(message)}`,
  `  ${paint("bold", `→ ${harmless(advice)}`)}`
]
