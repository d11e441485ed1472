import { PublicationError } from "../../postgres/publication/PublicationError.ts"
import { publicationProblem } from "../../postgres/publication/PublicationPlan.ts"
import { slotProblem } from "../../replication/connection/Slot.ts"
import type { DatabaseLook, DoctorFacts, Wanted } from "./Facts.ts"
import { wasUsed } from "./PublicationFindings.ts"
import { valueOf } from "./Seen.ts"
import { isPublished, planAtStart } from "./TableFindings.ts"

/** What a start would do to the database, and what it would never do, in whole sentences; none where that cannot be known. */
export const startPlan = (facts: DoctorFacts): ReadonlyArray<string> => {
  const { database, wanted } = facts
  if (database === undefined) return []
  if (wanted.isReplica) return ["Nothing: a replica takes no lock, and makes neither slot nor publication."]
  return [
    ...lockPlan(database),
    ...publicationPlan(database, wanted),
    ...slotPlan(database, wanted, wasUsed(facts)),
    ...tablePlan(database, wanted)
  ]
}

const lockPlan = ({ lock }: DatabaseLook): ReadonlyArray<string> => {
  const sessions = valueOf(lock) ?? []
  const before = sessions.filter(({ isHeld }) => !isHeld).length
  if (!sessions.some(({ isHeld }) => isHeld)) return ["Take the advisory lock, and become active."]
  return [
    `Wait for the lock${before === 0 ? "" : `, behind ${before} other${before === 1 ? "" : "s"}`}, and serve shapes meanwhile. Nothing of the following is done before that.`
  ]
}

const publicationPlan = ({ publication, role }: DatabaseLook, wanted: Wanted): ReadonlyArray<string> => {
  if (publication._tag !== "Seen") return []
  const { publicationName } = wanted
  const found = publication.value
  if (found === undefined)
    return valueOf(role)?.mayCreate === false
      ? []
      : [`Create the publication "${publicationName}", without tables.`]
  const isRepaired =
    found.isOurs &&
    !wanted.manual &&
    (found.generatedColumns === "none" || publicationProblem(found, wanted) !== undefined)
  return isRepaired
    ? [`Let the publication "${publicationName}" carry all operations and generated columns.`]
    : []
}

const slotPlan = (
  { slot }: DatabaseLook,
  { slotName, temporarySlot }: Wanted,
  isUsed: boolean
): ReadonlyArray<string> => {
  if (slot._tag !== "Seen") return []
  if (temporarySlot) return ["Create a temporary replication slot, which goes with the process."]
  const { info } = slot.value
  const compared = isUsed ? " Compare all shapes with the database." : ""
  if (info === undefined) return [`Create the replication slot ${slotName}.${compared}`]
  if (slotProblem(info, slotName)?.recovery === "recreateSlot")
    return [`Drop the replication slot ${slotName}, and make it anew.${compared}`]
  return []
}

const tablePlan = ({ publication, tables }: DatabaseLook, wanted: Wanted): ReadonlyArray<string> => {
  const found = valueOf(publication)
  if (wanted.manual || found?.isOurs === false)
    return ["Never change the publication or a table: they are published by hand."]
  const later =
    "Later, with the first shape of a table: add it to the publication, and set its REPLICA IDENTITY FULL; take it out again when no shape needs it."
  if (found === undefined) return [later]
  const altered = (valueOf(tables)?.states ?? []).filter((state) => {
    if (!isPublished(state, found)) return false
    const plan = planAtStart(found, state, wanted)
    return !(plan instanceof PublicationError) && plan.setIdentity.length > 0
  })
  const names = altered.map(({ name, schema }) => `${schema}.${name}`)
  return [
    ...(names.length === 0
      ? []
      : [
          `Set REPLICA IDENTITY FULL where shapes need it, of: ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", …" : ""}.`
        ]),
    later
  ]
}
