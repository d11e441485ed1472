import type { DoctorFacts, StandbyFacts } from "./Facts.ts"
import { advice, type Finding, fine, problem } from "./Finding.ts"
import { findingsOf, valueOf } from "./Seen.ts"

/** Standbys keep logical slots from this version on. */
const failoverVersionNum = 170_000

/** Whether the service would go on at a promoted standby without comparing shapes; see `docs/upgrade.md`, "Failover drill". */
export const standbyFindings = ({ database, wanted }: DoctorFacts): ReadonlyArray<Finding> => {
  const server = valueOf(database?.server)
  if (database === undefined || server === undefined || wanted.isReplica || wanted.temporarySlot) return []
  return findingsOf("failover", database.standbys, (facts) => {
    if (server.versionNum < failoverVersionNum)
      return facts.isStandby || facts.standbys.length > 0
        ? [
            fine(
              "failover",
              `Postgres ${server.version} does not copy slots to standbys: after a failover shapes are compared with the database, under their handles.`
            )
          ]
        : []
    if (facts.isStandby) return atStandby(facts, wanted.slotName)
    const slot = valueOf(database.slot)?.info
    return atPrimary(facts, slot?.isFailover === false && wanted.failoverSlot ? wanted.slotName : undefined)
  })
}

/** `unkept`: the slot of the service, if it is not one that standbys are given. */
const atPrimary = (
  { activeSlots, awaitedSlots, standbys }: StandbyFacts,
  unkept: string | undefined
): ReadonlyArray<Finding> => {
  const absent = awaitedSlots.filter((name) => name !== "*" && !activeSlots.includes(name))
  const findings: Array<Finding> = []
  if (absent.length > 0)
    findings.push(
      problem(
        "failover",
        "BATON-STREAM-SILENT",
        `synchronized_standby_slots waits for standbys that are not there: ${absent.join(", ")}. Until they are, Postgres sends no changes to a slot that is kept for a failover.`,
        `ALTER SYSTEM SET synchronized_standby_slots = '${awaitedSlots.filter((name) => !absent.includes(name)).join(", ")}'; SELECT pg_reload_conf();`
      )
    )
  if (standbys.length === 0)
    return absent.length > 0 ? findings : [fine("failover", "No standby follows this server.")]
  const slots = standbys.flatMap(({ slot }) => slot ?? [])
  if (slots.length > 0 && awaitedSlots.length === 0)
    findings.push(
      advice(
        "failover",
        undefined,
        "synchronized_standby_slots is empty: clients may see what a standby does not have yet. After a failover shapes are compared with the database then.",
        `ALTER SYSTEM SET synchronized_standby_slots = '${slots.join(", ")}'; SELECT pg_reload_conf();`
      )
    )
  for (const { hasFeedback, name, slot } of standbys) {
    if (slot === null)
      findings.push(
        advice(
          "failover",
          undefined,
          `The standby ${name} has no slot of its own here (primary_slot_name), so it copies none.`
        )
      )
    else if (!hasFeedback)
      findings.push(
        advice(
          "failover",
          undefined,
          `The standby ${name} gives no feedback: a slot that it keeps may be invalidated. Set hot_standby_feedback = on there.`
        )
      )
  }
  if (unkept !== undefined)
    findings.push(
      advice(
        "failover",
        "BATON-SLOT-FAILOVER",
        `The slot ${unkept} is not one that standbys are given. The next instance that becomes active makes it one, where the role may.`
      )
    )
  return findings.length > 0
    ? findings
    : [
        fine(
          "failover",
          `${standbys.length === 1 ? "A standby follows" : `${standbys.length} standbys follow`}, and can keep the slot.`
        )
      ]
}

const missing = (name: string, value: string, why: string): Finding =>
  advice(
    "failover",
    undefined,
    `${name} is not set at this standby: ${why}.`,
    `ALTER SYSTEM SET ${name} = ${value}; SELECT pg_reload_conf();`
  )

const atStandby = (facts: StandbyFacts, slotName: string): ReadonlyArray<Finding> => {
  const { conninfo, copied, copiesSlots, givesFeedback, isReceiving, slotAtPrimary } = facts
  const findings: Array<Finding> = []
  if (!isReceiving)
    findings.push(
      problem("failover", undefined, "This standby receives nothing from its primary at the moment.")
    )
  if (!copiesSlots) findings.push(missing("sync_replication_slots", "on", "it copies no slots"))
  if (!givesFeedback)
    findings.push(missing("hot_standby_feedback", "on", "slots that it keeps may be invalidated"))
  if (slotAtPrimary === "")
    findings.push(missing("primary_slot_name", "'of_standby'", "copying slots takes one at the primary"))
  if (conninfo !== null && !/\bdbname\s*=/.test(conninfo))
    findings.push(
      advice(
        "failover",
        undefined,
        "primary_conninfo names no database (dbname=…): copying slots takes one to connect to."
      )
    )
  if (copied === undefined)
    findings.push(
      advice(
        "failover",
        "BATON-SLOT-FAILOVER",
        `This standby does not have the slot ${slotName}. After a promotion shapes would be compared with the database.`
      )
    )
  else if (copied.invalidationReason !== null)
    findings.push(
      problem(
        "failover",
        "BATON-SLOT-LOST",
        `The copy of the slot ${slotName} is invalid here: ${copied.invalidationReason}.`
      )
    )
  else if (copied.isTemporary)
    findings.push(
      advice(
        "failover",
        undefined,
        `The slot ${slotName} is being copied, and would be lost with a promotion now. Wait, and look again.`
      )
    )
  else
    findings.push(
      fine(
        "failover",
        `This standby keeps the slot ${slotName}${copied.isSynced ? "" : ", which was made here"}.`
      )
    )
  return findings
}
