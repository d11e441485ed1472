import { quoteTable } from "../Identifiers.ts"
import { addTable, carryEverything, carryGeneratedColumns, identityFull, ownPublication } from "../RoleSql.ts"
import { publicationError, type PublicationError, shown } from "./PublicationError.ts"
import type { IdentityState, PublicationState, TableState } from "./PublicationState.ts"
import { refusingLeaf, whyWritesAreRefused } from "./RefusedWrites.ts"

/** What has to be done before changes of a table arrive whole. Nothing, when both are empty. */
export interface PublicationPlan {
  readonly add: boolean
  readonly setIdentity: ReadonlyArray<IdentityState>
}

export interface PublicationMode {
  readonly publicationName: string
  /** `ELECTRIC_MANUAL_TABLE_PUBLISHING`: nothing is ever altered. */
  readonly manual: boolean
}

export const publicationProblem = (
  publication: PublicationState | undefined,
  { publicationName }: PublicationMode
): PublicationError | undefined => {
  if (publication === undefined) {
    return publicationError("publication", `Publication "${publicationName}" not found in the database`)
  }
  return publication.missingOperations.length > 0
    ? publicationError(
        "publication",
        `Publication "${publicationName}" does not publish all required operations: INSERT, UPDATE, DELETE, TRUNCATE. ` +
          `Run ${carryEverything(publicationName)}`
      )
    : undefined
}

/** What is decided upon. */
interface Facts {
  readonly publication: PublicationState
  readonly table: TableState
  readonly mode: PublicationMode
  readonly needsGeneratedColumns: boolean
  /** Table and publication as an error names them. */
  readonly named: string
  readonly inPublication: string
}

const mayAlter = ({ mode, publication }: Facts): boolean => publication.isOurs && !mode.manual

/** On our own we name every table: an ancestor may leave the publication while this table stays. */
const mustAdd = (facts: Facts): boolean => {
  const { publication, table } = facts
  const isNamed = table.isMember || table.isMemberBySchema || publication.allTables
  return !isNamed && (mayAlter(facts) || !table.isMemberByAncestor)
}

const notFull = ({ table }: Facts): ReadonlyArray<IdentityState> =>
  table.identities.filter((identity) => !identity.isFull)

/**
 * What can stand in the way of a table's changes, each with the condition under which it does. The first that does is what an
 * operator hears of.
 */
const obstacles: ReadonlyArray<(facts: Facts) => PublicationError | undefined> = [
  ({ inPublication, mode, named, needsGeneratedColumns, publication }) =>
    needsGeneratedColumns && publication.generatedColumns !== "stored"
      ? publicationError(
          "generatedColumns",
          `${named} has generated columns in this shape but ${inPublication} does not publish generated columns. ` +
            (publication.generatedColumns === "none"
              ? `Run ${carryGeneratedColumns(mode.publicationName)} Or leave those columns out`
              : "This needs Postgres 18; leave those columns out")
        )
      : undefined,
  ({ inPublication, named, table }) =>
    table.isFiltered
      ? publicationError(
          "filtered",
          `${named} is in ${inPublication} with a row filter or a column list, so that its changes are not all seen. Add it without them`
        )
      : undefined,
  ({ inPublication, named, publication, table }) =>
    table.isMemberByAncestor && publication.viaRoot
      ? publicationError(
          "publishedAsRoot",
          `${named} is a partition, and ${inPublication} publishes its changes as those of the partitioned table. ` +
            "Set publish_via_partition_root = false, or use the partitioned table instead"
        )
      : undefined,
  ({ inPublication, named, publication, table }) =>
    table.isPartitioned && publication.viaRoot
      ? publicationError(
          "publishedAsRoot",
          `${named} is partitioned, and ${inPublication} publishes changes of its partitions as its own, but not that a ` +
            "partition was truncated. Set publish_via_partition_root = false"
        )
      : undefined,
  ({ named, table }) =>
    table.foreignPartition === null
      ? undefined
      : publicationError(
          "foreignPartition",
          `${named} has the partition ${table.foreignPartition}, which is a foreign table: Postgres does not replicate changes ` +
            "of those. Use the other partitions, or detach it"
        ),
  ({ named, table }) => {
    const unlogged = table.identities.find(({ isUnlogged }) => isUnlogged)
    if (unlogged === undefined) return undefined
    const subject =
      unlogged.oid === table.oid
        ? `${named} is UNLOGGED`
        : `${named} has the UNLOGGED partition "${shown(unlogged)}"`
    return publicationError(
      "unlogged",
      `${subject}, and Postgres does not replicate changes of unlogged tables. Make it an ordinary one: ` +
        `ALTER TABLE ${quoteTable(unlogged)} SET LOGGED;`
    )
  },
  ({ mode, table }) => {
    const refusing = refusingLeaf(table.identities)
    return refusing === undefined
      ? undefined
      : whyWritesAreRefused(refusing.leaf, refusing.refusal, mode.publicationName)
  },
  (facts) => {
    if (mayAlter(facts) || !mustAdd(facts)) return undefined
    const { inPublication, mode, named, publication, table } = facts
    const why = mode.manual
      ? "the ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it"
      : "Electric lacks privileges to add it"
    const orElse = mode.manual
      ? ""
      : ` Or let the role do it: ${ownPublication(mode.publicationName, publication.role)}`
    return publicationError(
      "notPublished",
      `${named} is missing from ${inPublication} and ${why}`,
      `Run ${addTable(mode.publicationName, table)}${orElse}`
    )
  },
  (facts) => {
    const [first] = notFull(facts)
    return first === undefined || mayAlter(facts)
      ? undefined
      : publicationError(
          "identityNotFull",
          `Database table "${shown(first)}" does not have its replica identity set to FULL`,
          `Run ${identityFull(first)}`
        )
  }
]

/** Decides for one table: fine, to be changed by us, or an error for an operator. */
export const planTable = (
  publication: PublicationState,
  table: TableState,
  mode: PublicationMode,
  needsGeneratedColumns: boolean
): PublicationPlan | PublicationError => {
  const facts: Facts = {
    publication,
    table,
    mode,
    needsGeneratedColumns,
    named: `Database table "${shown(table)}"`,
    inPublication: `the publication "${mode.publicationName}"`
  }
  for (const obstacle of obstacles) {
    const error = obstacle(facts)
    if (error !== undefined) return error
  }
  return { add: mustAdd(facts), setIdentity: notFull(facts) }
}
