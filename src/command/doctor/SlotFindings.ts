import { quoteLiteral } from "../../postgres/Identifiers.ts"
import { pgErrorCodes } from "../../postgres/errors/PgErrorCodes.ts"
import { slotVerdict } from "../../operator/reports/StatusReport.ts"
import { slotProblem } from "../../replication/connection/Slot.ts"
import type { DoctorFacts, LockSession, OpenTransaction, SlotLook, Wanted } from "./Facts.ts"
import { advice, type Finding, fine, problem } from "./Finding.ts"
import { bytes, duration } from "../Figures.ts"
import { wasUsed } from "./PublicationFindings.ts"
import { findingsOf, valueOf } from "./Seen.ts"

/** A stream that keeps up is far below this. */
const lagBytes = 1024 ** 3

export const slotFindings = (facts: DoctorFacts): ReadonlyArray<Finding> => {
  const { database, wanted } = facts
  if (database === undefined || wanted.isReplica) return []
  const sessions = valueOf(database.lock)
  return findingsOf("slot", database.slot, (slot) => {
    if (slot.info === undefined) return missing(slot, wanted, wasUsed(facts), sessions ?? [])
    if (slot.info.confirmedFlushLsn === null && slot.info.activePid !== null)
      return [waits(wanted, slot.openTransactions)]
    const unfit = slotProblem(slot.info, wanted.slotName)
    if (unfit !== undefined) return [problem("slot", pgErrorCodes[unfit.kind], unfit.message)]
    const inUse = sessions === undefined ? undefined : usedByAnother(slot, wanted, sessions)
    return [...(inUse === undefined ? [] : [inUse]), state(slot, wanted)]
  })
}

const blocking = (transactions: ReadonlyArray<OpenTransaction>): string =>
  transactions.length === 0
    ? "none that this role can see"
    : transactions
        .slice(0, 5)
        .map(({ ageSeconds, pid, role }) => `backend ${pid} of ${role}, open for ${duration(ageSeconds)}`)
        .join("; ")

/** Transactions that end at once hold nothing up. */
const longSeconds = 5

const waits = ({ slotName }: Wanted, open: ReadonlyArray<OpenTransaction>): Finding =>
  problem(
    "slot",
    "BATON-SLOT-WAITS",
    `The slot ${slotName} is being made, which waits until transactions that were open before have ended: ${blocking(open)}. It heals when they commit or roll back.`,
    open[0] === undefined ? undefined : `SELECT pg_terminate_backend(${open[0].pid});`
  )

const missing = (
  { openTransactions }: SlotLook,
  wanted: Wanted,
  isUsed: boolean,
  sessions: ReadonlyArray<LockSession>
): ReadonlyArray<Finding> => {
  const { slotName, temporarySlot } = wanted
  const long = openTransactions.filter(({ ageSeconds }) => ageSeconds > longSeconds)
  const held = sessions.some(({ isHeld }) => isHeld)
  const hinders =
    long.length === 0
      ? []
      : [
          advice(
            "slot",
            "BATON-SLOT-WAITS",
            `Making the slot waits until transactions that are open now have ended: ${blocking(long)}.`,
            `SELECT pg_terminate_backend(${long[0]?.pid});`
          )
        ]
  if (temporarySlot)
    return [fine("slot", "The slot is temporary, and made by each instance that becomes active."), ...hinders]
  if (isUsed && !held)
    return [
      problem(
        "slot",
        "BATON-SLOT-MISSING",
        `The slot ${slotName} is gone, and storage holds shapes that were made with it. The next start makes a new one and compares them with the database. Find out who dropped it.`
      ),
      ...hinders
    ]
  return [
    fine(
      "slot",
      `There is no slot ${slotName} yet. ${held ? "The instance that holds the lock" : "A start"} makes it.`
    ),
    ...hinders
  ]
}

/** Somebody streams who does not hold the lock. */
const usedByAnother = (
  { info }: SlotLook,
  { slotName }: Wanted,
  sessions: ReadonlyArray<LockSession>
): Finding | undefined => {
  const pid = info?.activePid ?? null
  if (pid === null || sessions.some((session) => session.isHeld && session.pid === pid)) return undefined
  return problem(
    "slot",
    "BATON-SLOT-INUSE",
    `Backend ${pid} streams from the slot ${slotName}, and does not hold the lock: it is another program. Give each its own ELECTRIC_REPLICATION_STREAM_ID, or end it.`,
    `SELECT * FROM pg_stat_activity WHERE pid = ${pid};`
  )
}

const state = ({ figures, info }: SlotLook, { slotName }: Wanted): Finding => {
  const named = `The slot ${slotName}`
  const streaming =
    info?.activePid == null ? "nobody streams from it" : `backend ${info.activePid} streams from it`
  if (figures === undefined) return fine("slot", `${named} is there; ${streaming}.`)
  const { retainedWalBytes, safeWalBytes, unconfirmedWalBytes } = figures
  const kept = retainedWalBytes === null ? "" : ` Postgres keeps ${bytes(retainedWalBytes)} of WAL for it,`
  const lag = unconfirmedWalBytes === null ? "" : ` ${bytes(unconfirmedWalBytes)} of it not confirmed;`
  const left =
    safeWalBytes === null
      ? " there is no limit (max_slot_wal_keep_size)."
      : ` ${bytes(Math.max(0, safeWalBytes))} may still be written before it is lost.`
  const text = `${named} is there; ${streaming}.${kept}${lag}${left}`
  const verdict = slotVerdict(figures)
  if (verdict.state === "unreserved") return problem("slot", "BATON-SLOT-BUDGET", `${text} ${verdict.text}`)
  if (verdict.state === "growing") return advice("slot", "BATON-SLOT-BUDGET", `${text} ${verdict.text}`)
  if ((unconfirmedWalBytes ?? 0) > lagBytes)
    return advice(
      "slot",
      "BATON-STREAM-WAITS",
      `${text} That is much: start an instance, or find out what holds the active one up. If the service is gone for good, drop the slot.`,
      `SELECT pg_drop_replication_slot(${quoteLiteral(slotName)});`
    )
  return fine("slot", text)
}
