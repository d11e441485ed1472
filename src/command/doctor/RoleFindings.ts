import { letReplicate, letSelect } from "../../postgres/RoleSql.ts"
import { quoteIdentifier } from "../../postgres/Identifiers.ts"
import type { DoctorFacts, RoleFacts, Wanted } from "./Facts.ts"
import { advice, type Finding, fine, problem } from "./Finding.ts"
import { findingsOf, valueOf } from "./Seen.ts"

/** What the role may do in the whole database. Tables, publication and slot have checks of their own. */
export const roleFindings = ({ connections, database, wanted }: DoctorFacts): ReadonlyArray<Finding> => {
  if (database === undefined) return []
  const name = valueOf(database.server)?.role ?? "…"
  // At providers a role of theirs stands for the attribute: what counts is whether the connection came about.
  const replicates = wanted.isReplica || connections.replication?._tag === "Seen"
  return findingsOf("role", database.role, (role) => {
    const found = [...replicationFindings(role, name, replicates), ...deniedFindings(role, name, wanted)]
    return found.length > 0
      ? found
      : [
          fine(
            "role",
            `The role "${name}" may ${role.isSuperuser ? "do everything: it is a superuser" : "replicate"}.`
          )
        ]
  })
}

const replicationFindings = (role: RoleFacts, name: string, replicates: boolean): ReadonlyArray<Finding> =>
  replicates || role.mayReplicate
    ? []
    : [
        problem(
          "role",
          "BATON-DB-REPLICATION",
          `The role "${name}" may not replicate. At providers that do not allow the statement, grant their role for it: rds_replication, say.`,
          letReplicate(name)
        )
      ]

const slotHelp = "pg_log_standby_snapshot"

const deniedFindings = (role: RoleFacts, name: string, wanted: Wanted): ReadonlyArray<Finding> => {
  const denied = role.deniedFunctions.map((called) =>
    called.startsWith(slotHelp)
      ? advice(
          "role",
          "BATON-SLOT-HELP",
          `The role "${name}" may not run ${slotHelp}(), which lets a new slot be made at once on an idle database. Otherwise it is made with the next activity there.`,
          `GRANT EXECUTE ON FUNCTION ${called} TO ${quoteIdentifier(name)};`
        )
      : problem(
          "role",
          "BATON-DB-PRIVILEGE",
          `The role "${name}" may not run ${called}.`,
          `GRANT EXECUTE ON FUNCTION ${called} TO ${quoteIdentifier(name)};`
        )
  )
  const unread = role.deniedCatalogues.map((table) =>
    problem(
      "role",
      "BATON-DB-PRIVILEGE",
      `The role "${name}" may not read ${table}.`,
      letSelect({ schema: "pg_catalog", name: table }, name)
    )
  )
  const few = role.connectionLimit >= 0 && role.connectionLimit <= wanted.poolSize
  const limited = few
    ? [
        advice(
          "role",
          "BATON-DB-RESOURCES",
          `The role "${name}" may have ${role.connectionLimit} connections, and ELECTRIC_DB_POOL_SIZE alone allows ${wanted.poolSize}, beside one for replication.`,
          `ALTER ROLE ${quoteIdentifier(name)} CONNECTION LIMIT ${2 * wanted.poolSize + 2};`
        )
      ]
    : []
  return [...denied, ...unread, ...limited]
}
