import type { TableName } from "../Identifiers.ts"
import {
  doNotForce,
  letCreate,
  letExecute,
  letSelect,
  letUse,
  ownPublication,
  ownTable,
  seeAllRows
} from "../RoleSql.ts"

interface Lacking {
  /** What Postgres says, with SQLSTATE 42501. */
  readonly said: string
  /** Who lacks it. */
  readonly role: string
  /** What the statement was about, where that is known: Postgres names no schema. */
  readonly table?: TableName | undefined
  readonly database?: string | undefined
}

/** What follows the last words of a message of Postgres, without quotes. */
const named = (said: string, words: RegExp): string | undefined => words.exec(said)?.[1]?.replaceAll('"', "")

/**
 * The SQL that gives a role the privilege that it lacks, as a sentence for operators. Postgres has one SQLSTATE for all of
 * them, and its words may be in another language: then everything that may be meant is named.
 */
export const privilegeAdvice = ({ database, role, said, table }: Lacking): string => {
  const tableOr = (name: string | undefined): TableName => table ?? { schema: "public", name: name ?? "…" }
  const rowSecurity = named(said, /row-level security policy for table (.+)$/)
  if (rowSecurity !== undefined) {
    const it = tableOr(rowSecurity)
    return (
      "The table has row level security, and shapes hold all rows or none: changes are not filtered by policies. Run " +
      `${seeAllRows(role)} Or make the role the owner, ${ownTable(it, role)} which sees all rows unless policies are ` +
      `forced on it (${doNotForce(it)})`
    )
  }
  const publication = named(said, /must be owner of publication (.+)$/)
  if (publication !== undefined) return `Run ${ownPublication(publication, role)}`
  const owned = named(said, /must be owner of (?:table|relation) (.+)$/)
  if (owned !== undefined) {
    return (
      `Run ${ownTable(tableOr(owned), role)} Or set ELECTRIC_MANUAL_TABLE_PUBLISHING=true and publish tables yourself: ` +
      'the page "The database role" has the SQL'
    )
  }
  const schema = named(said, /permission denied for schema (.+)$/)
  if (schema !== undefined) return `Run ${letUse(schema, role)}`
  const createIn = named(said, /permission denied for database (.+)$/)
  if (createIn !== undefined) return `Run ${letCreate(database ?? createIn, role)}`
  const called = named(said, /permission denied for function (.+)$/)
  if (called !== undefined) {
    return (
      "A condition uses it, and its clients get a 400. If conditions may use it, run " +
      `${letExecute(called, role)} and name the types of its parameters where several have that name`
    )
  }
  const read = named(said, /permission denied for (?:table|relation|view|column) (.+)$/)
  if (read !== undefined || table !== undefined) {
    const it = tableOr(read)
    return `Run ${letSelect(it, role)}${read === undefined ? ` And ${letUse(it.schema, role)}` : ""}`
  }
  return `Grant it to the role "${role}": the page "The database role" has the SQL`
}
