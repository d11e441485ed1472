import { applicationName } from "../../replication/connection/HolderProtocol.ts"
import { letSeeOthers } from "../../postgres/RoleSql.ts"
import type { DoctorFacts, LockSession } from "./Facts.ts"
import { advice, type Finding, fine, problem } from "./Finding.ts"
import { findingsOf, valueOf } from "./Seen.ts"
import { duration } from "../Figures.ts"

/** A healthy holder that does not stream runs a statement every two seconds. */
const silentSeconds = 30

/** Who holds the lock, and who waits for it. */
export const lockFindings = ({ database, wanted }: DoctorFacts): ReadonlyArray<Finding> => {
  if (database === undefined || wanted.isReplica) return []
  const role = valueOf(database.server)?.role ?? "…"
  const streams = valueOf(database.slot)?.info?.activePid ?? null
  return findingsOf("lock", database.lock, (sessions) => {
    const holder = sessions.find(({ isHeld }) => isHeld)
    const waiting = sessions.filter(({ isHeld }) => !isHeld)
    const queue =
      waiting.length === 0
        ? "Nobody waits for it."
        : `${waiting.map(named).join("; ")} ${waiting.length === 1 ? "waits" : "wait"} for it.`
    if (holder === undefined)
      return [
        fine(
          "lock",
          waiting.length === 0
            ? "Nobody holds the lock: no instance is active."
            : `Nobody holds the lock. ${queue}`
        )
      ]
    return [fine("lock", `The lock is held by ${named(holder)}. ${queue}`), ...doubts(holder, streams, role)]
  })
}

const named = ({ address, applicationName: program, instanceId, pid, since }: LockSession): string => {
  const who = instanceId === undefined ? `backend ${pid}` : `instance ${instanceId} (backend ${pid})`
  const what = program === null || program === "" || program === applicationName ? "" : `, program ${program}`
  const from = address === null ? "" : `, from ${address}`
  return `${who}${what}${from}${since === null ? "" : `, connected since ${since}`}`
}

const doubts = (holder: LockSession, streamingPid: number | null, role: string): ReadonlyArray<Finding> => {
  if (streamingPid === holder.pid) return []
  if (holder.state === null || holder.state === "disabled")
    return [
      advice(
        "lock",
        "BATON-LOCK-INVISIBLE",
        "This role may not see whether the holder is alive, so it would not be ended should it be dead. Use one role for all instances, or let it see.",
        letSeeOthers(role)
      )
    ]
  const silence = holder.silentSeconds ?? 0
  if (!holder.state.startsWith("idle") || silence < silentSeconds) return []
  return [
    problem(
      "lock",
      "BATON-LOCK-BROKEN",
      `The holder does not stream, and has done nothing for ${duration(silence)}: it may be dead, or stopped by a debugger. An instance that waits ends it after a while.`,
      `SELECT pg_terminate_backend(${holder.pid});`
    )
  ]
}
