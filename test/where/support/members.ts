import { Result } from "effect"
import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import {
  compileWhere,
  type CompiledWhere,
  tableKey,
  type TypeCatalogue,
  type WhereError
} from "../../../src/where/index.ts"
import { EvaluationError } from "../../../src/where/values/Failure.ts"
import { evaluate, makeRunnable } from "../../../src/where/evaluate/RunnableClause.ts"
import { noMembership, useMembership } from "../../../src/where/evaluate/Membership.ts"
import { naiveMembership, type NaiveTable } from "./naiveMembership.ts"
import { describeTable, loadCatalogue, readRows, type Session, sessionSettings } from "./oracle.ts"

/** A database of several tables, the first of which is the one that clauses are about. All have a column `id`. */
export interface Database {
  readonly session: Session
  readonly catalogue: TypeCatalogue
  readonly tables: ReadonlyArray<NaiveTable>
}

/** `names` with their schemas, as SQL. */
export const readDatabase = async (
  session: Session,
  statements: string,
  names: ReadonlyArray<string>
): Promise<Database> => {
  for (const statement of `${sessionSettings};\n${statements}`.split(";"))
    if (statement.trim() !== "") await session.queryText(statement)
  const catalogue = await loadCatalogue(session)
  return { session, catalogue, tables: await readTables(session, names) }
}

export const readTables = async (
  session: Session,
  names: ReadonlyArray<string>
): Promise<ReadonlyArray<NaiveTable>> => {
  const tables: Array<NaiveTable> = []
  for (const name of names) {
    const [row] = await session.queryText(
      `SELECT c.oid::int8 AS oid, n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = $1::regclass`,
      [name]
    )
    const described = await describeTable(session, name)
    const info: TableInfo = {
      ...described.info,
      oid: Number(row?.["oid"]),
      schema: row?.["nspname"] ?? "",
      name: row?.["relname"] ?? "",
      kind: row?.["relkind"] === "p" ? "partitioned" : "table"
    }
    const { columns } = described
    tables.push({ info, columns, rows: await readRows(session, { info: { ...info, name }, columns }) })
  }
  return tables
}

export const compileOver = (
  { catalogue, tables }: Pick<Database, "catalogue" | "tables">,
  sql: string,
  params: Readonly<Record<string, string>> = {},
  isThreeValued = true
): Result.Result<CompiledWhere, WhereError> => {
  const [own] = tables
  if (own === undefined) throw new Error("no table")
  return compileWhere({
    sql,
    params,
    table: own.info,
    catalogue,
    isThreeValued,
    tables: new Map(tables.map(({ info }) => [tableKey(info), info]))
  })
}

/** What a clause is for each row of the first table: `t`, `f`, `n`, or `e` where it is an error. */
export const verdictsOf = ({ tables }: Pick<Database, "tables">, clause: CompiledWhere): string => {
  const [own] = tables
  if (own === undefined) throw new Error("no table")
  try {
    useMembership(naiveMembership(clause, tables))
    const runnable = makeRunnable(JSON.parse(JSON.stringify(clause)) as CompiledWhere, own.columns)
    return own.rows
      .map(
        (row) =>
          ({ true: "t", false: "f", null: "n", failed: "e", undecided: "?" })[evaluate(runnable, row).kind]
      )
      .join("")
  } catch (failure) {
    if (failure instanceof EvaluationError) return "e".repeat(own.rows.length)
    throw failure
  } finally {
    useMembership(noMembership)
  }
}

/** The same of Postgres; `undefined` where the query fails. */
export const verdictsOfPostgres = async (
  { session, tables }: Pick<Database, "session" | "tables">,
  sql: string
): Promise<string | undefined> => {
  const own = tables[0]?.info
  if (own === undefined) throw new Error("no table")
  const from = `${own.kind === "table" ? "ONLY " : ""}"${own.schema}"."${own.name}"`
  try {
    const rows = await session.queryText(
      `SELECT CASE WHEN (${sql}) THEN 't' WHEN NOT (${sql}) THEN 'f' ELSE 'n' END AS v FROM ${from} ORDER BY id`
    )
    return rows.map((row) => row["v"]).join("")
  } catch (failure) {
    if (String(failure).includes("more than one row returned")) return undefined
    throw failure
  }
}
