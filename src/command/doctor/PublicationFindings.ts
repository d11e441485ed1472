import { publicationProblem } from "../../postgres/publication/PublicationPlan.ts"
import type { PublicationState } from "../../postgres/publication/PublicationState.ts"
import {
  carryGeneratedColumns,
  createPublicationSql,
  letCreate,
  ownPublication
} from "../../postgres/RoleSql.ts"
import type { DatabaseLook, DoctorFacts, Wanted } from "./Facts.ts"
import { advice, type Finding, fine, problem } from "./Finding.ts"
import { findingsOf, valueOf } from "./Seen.ts"

/** The publication itself; its tables have a check of their own. */
export const publicationFindings = (facts: DoctorFacts): ReadonlyArray<Finding> => {
  const { database, wanted } = facts
  if (database === undefined) return []
  return findingsOf("publication", database.publication, (publication) =>
    publication === undefined
      ? [missing(database, wanted, wasUsed(facts))]
      : [...unusable(publication, wanted), ...leftOut(publication, wanted), ...shown(publication, wanted)]
  )
}

/** An instance has been active with this storage before. */
export const wasUsed = ({ bucket, storage }: DoctorFacts): boolean =>
  valueOf(storage)?.wasUsed === true || valueOf(bucket)?.wasUsed === true

const missing = (
  database: DatabaseLook,
  { isReplica, manual, publicationName }: Wanted,
  isUsed: boolean
): Finding => {
  const server = valueOf(database.server)
  const create = createPublicationSql(publicationName, (server?.versionNum ?? 0) >= 180000)
  const named = `The publication "${publicationName}"`
  if (isReplica) return fine("publication", `${named} is not there; the active instance makes it.`)
  if (valueOf(database.role)?.mayCreate === false)
    return problem(
      "publication",
      "BATON-DB-SETUP",
      `${named} is not there, and the role may not make it: a start fails. Let it, or run ${create}`,
      letCreate(server?.database ?? "…", server?.role ?? "…")
    )
  if (isUsed)
    return problem(
      "publication",
      "BATON-PUBLICATION-MISSING",
      `${named} is gone. It is made anew with a new slot, and shapes are compared with the database.${manual ? " Tables are published by hand: add them again." : ""}`,
      create
    )
  return manual
    ? advice(
        "publication",
        "BATON-TABLE-UNPUBLISHED",
        `${named} is not there. A start makes it, without tables: ELECTRIC_MANUAL_TABLE_PUBLISHING is set, so add them by hand.`,
        create
      )
    : fine("publication", `${named} is not there yet. A start makes it.`)
}

const mayAlter = ({ isOurs }: PublicationState, { manual }: Wanted): boolean => isOurs && !manual

const unusable = (publication: PublicationState, wanted: Wanted): ReadonlyArray<Finding> => {
  const found = publicationProblem(publication, wanted)
  if (found === undefined) return []
  return [
    mayAlter(publication, wanted)
      ? advice("publication", "BATON-PUBLICATION-ALTERED", `${found.message} A start does it.`)
      : problem("publication", "BATON-PUBLICATION-ALTERED", found.message)
  ]
}

const leftOut = (publication: PublicationState, wanted: Wanted): ReadonlyArray<Finding> => {
  if (publication.generatedColumns !== "none") return []
  const { publicationName } = wanted
  const text = `The publication "${publicationName}" leaves generated columns out, and shapes with such columns are refused.`
  return [
    mayAlter(publication, wanted)
      ? advice("publication", "BATON-PUBLICATION-ALTERED", `${text} A start changes that.`)
      : advice("publication", "BATON-TABLE-FILTERED", text, carryGeneratedColumns(publicationName))
  ]
}

const shown = (
  publication: PublicationState,
  { manual, publicationName }: Wanted
): ReadonlyArray<Finding> => {
  const named = `The publication "${publicationName}" is there`
  if (manual) return [fine("publication", `${named}, and its tables are published by hand.`)]
  if (publication.isOurs) return [fine("publication", `${named}, and is the role's.`)]
  return [
    advice(
      "publication",
      "BATON-TABLE-UNPUBLISHED",
      `${named}, and is not the role's: tables have to be added by hand.`,
      ownPublication(publicationName, publication.role)
    )
  ]
}
