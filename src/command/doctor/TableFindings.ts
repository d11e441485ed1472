import { quoteTable } from "../../postgres/Identifiers.ts"
import { doNotForce, letSelect, letUse, ownTable, seeAllRows } from "../../postgres/RoleSql.ts"
import { publicationCodes } from "../../postgres/publication/PublicationCodes.ts"
import { PublicationError } from "../../postgres/publication/PublicationError.ts"
import { planTable } from "../../postgres/publication/PublicationPlan.ts"
import type { PublicationState, TableState } from "../../postgres/publication/PublicationState.ts"
import type { FaultCode } from "../../telemetry/faults/FaultTable.ts"
import type { DoctorFacts, TableRights, TablesFacts, Wanted } from "./Facts.ts"
import { type Check, checkOf, type Finding, fine } from "./Finding.ts"
import { findingsOf, valueOf } from "./Seen.ts"

/** What stands in the way of shapes of one table. */
interface Obstacle {
  readonly table: string
  /** The same as SQL has it. */
  readonly quoted: string
  readonly isPublished: boolean
  readonly code: FaultCode
  readonly text: string
  readonly fix?: string
}

/**
 * Tables whose shapes would be refused. Of a published table that is a problem, because shapes of it may be there; of any other
 * one it is advice, and several of one kind are told together.
 */
export const tableFindings = ({ database, wanted }: DoctorFacts): ReadonlyArray<Finding> => {
  if (database === undefined) return []
  const role = valueOf(database.server)?.role ?? "…"
  const publication = valueOf(database.publication)
  return findingsOf("tables", database.tables, (tables) => {
    const states = new Map(tables.states.map((state) => [state.oid, state]))
    const obstacles = tables.rights.flatMap((rights) =>
      obstaclesOf(rights, states.get(rights.oid), publication, wanted, { owner: role, reader: tables.reader })
    )
    return [summary(tables, publication), ...told(obstacles)]
  })
}

export const isPublished = (state: TableState, publication: PublicationState): boolean =>
  state.isMember || state.isMemberBySchema || state.isMemberByAncestor || publication.allTables

/** The plan for a table once a start has let a publication of ours carry generated columns. */
export const planAtStart = (
  publication: PublicationState,
  state: TableState,
  wanted: Wanted
): ReturnType<typeof planTable> => {
  const isRepaired = publication.isOurs && !wanted.manual
  const identities = state.identities.map((identity) => ({
    ...identity,
    refusals: identity.refusals.filter(
      ({ by, kind }) => !isRepaired || kind !== "storedColumn" || by !== wanted.publicationName
    )
  }))
  return planTable(publication, { ...state, identities }, wanted, false)
}

const summary = (
  { areMore, rights, states }: TablesFacts,
  publication: PublicationState | undefined
): Finding => {
  const published =
    publication === undefined ? 0 : states.filter((state) => isPublished(state, publication)).length
  return fine(
    "tables",
    `${published} of ${areMore ? "more than " : ""}${rights.length} tables are published.${areMore ? " The others were not looked at." : ""}`
  )
}

const obstaclesOf = (
  rights: TableRights,
  state: TableState | undefined,
  publication: PublicationState | undefined,
  wanted: Wanted,
  { owner, reader }: { readonly owner: string; readonly reader: string }
): ReadonlyArray<Obstacle> => {
  const published = state !== undefined && publication !== undefined && isPublished(state, publication)
  const table = `${rights.schema}.${rights.name}`
  const about = (code: FaultCode, text: string, fix?: string): Obstacle => ({
    table,
    quoted: quoteTable(rights),
    isPublished: published,
    code,
    text,
    ...(fix === undefined ? {} : { fix })
  })
  const found: Array<Obstacle> = []
  if (!rights.mayUseSchema)
    found.push(about("BATON-TABLE-PRIVILEGE", "may not be read", letUse(rights.schema, reader)))
  if (!rights.mayRead)
    found.push(about("BATON-TABLE-PRIVILEGE", "may not be read", letSelect(rights, reader)))
  if (rights.isFiltered)
    found.push(
      about(
        "BATON-TABLE-PRIVILEGE",
        rights.isOwner
          ? "has row level security that hides rows from its owner too: shapes hold all rows or none"
          : "has row level security that hides rows from the role: shapes hold all rows or none",
        rights.isOwner ? doNotForce(rights) : seeAllRows(reader)
      )
    )
  const plan =
    state === undefined || publication === undefined ? undefined : planAtStart(publication, state, wanted)
  if (plan instanceof PublicationError)
    found.push(about(publicationCodes[plan.reason], plan.message, statementOf(plan.advice)))
  else if (!rights.isOwner && !wanted.manual && isToBeAltered(plan))
    found.push(
      about(
        "BATON-TABLE-OWNER",
        "is not the role's, so that it cannot be added to the publication or given REPLICA IDENTITY FULL",
        ownTable(rights, owner)
      )
    )
  return found
}

/** Of a sentence of advice the first thing to run. */
const statementOf = (advice: string | undefined): string | undefined =>
  advice?.replace(/^Run /, "").replace(/ Or .*$/, "")

/** Where there is no publication yet, every table has to be added to it. */
const isToBeAltered = (plan: Exclude<ReturnType<typeof planTable>, PublicationError> | undefined): boolean =>
  plan === undefined || plan.add || plan.setIdentity.length > 0

const mostNames = 5

const told = (obstacles: ReadonlyArray<Obstacle>): ReadonlyArray<Finding> => {
  // Tables with the same words are told together; a published one is a problem of its own.
  const groups = Map.groupBy(obstacles, ({ code, isPublished: published, quoted, table, text }) =>
    JSON.stringify([
      code,
      published && text.includes(table) ? table : published,
      text.replaceAll(table, "").replaceAll(quoted, "")
    ])
  )
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const { code, isPublished: published } = first
    const check: Check = checkOf(code, "tables")
    const names = [...new Set(group.map(({ table }) => table))]
    const fixes = [...new Set(group.flatMap(({ fix }) => (fix === undefined ? [] : [fix])))].slice(
      0,
      mostNames
    )
    const finding = {
      check,
      level: published ? ("problem" as const) : ("advice" as const),
      code,
      text: sentence(first, names, published),
      ...(fixes.length === 0 ? {} : { fix: fixes.join("\n") })
    }
    return [finding]
  })
}

const listed = (names: ReadonlyArray<string>): string =>
  names.length <= mostNames
    ? names.join(", ")
    : `${names.slice(0, mostNames).join(", ")} and ${names.length - mostNames} more`

const sentence = ({ table, text }: Obstacle, names: ReadonlyArray<string>, published: boolean): string => {
  const so = published ? "Shapes of it are refused or stale" : "Shapes of it would be refused"
  if (!text.includes(table)) {
    const plural = names.length > 1
    return `${listed(names)}${plural ? ": each" : ""} ${text}. ${plural ? so.replace("it", "them") : so}.`
  }
  const more = names.length > 1 ? ` The same holds for ${listed(names.slice(1))}.` : ""
  return `${text.replace(/[.;]$/, "")}. ${so}.${more}`
}
