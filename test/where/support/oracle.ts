import { Effect, Result } from "effect"
import { loadTypeCatalogue } from "../../../src/where/catalogue/Catalogue.ts"
import type { TypeCatalogue } from "../../../src/where/catalogue/TypeCatalogue.ts"
import { compileWhere } from "../../../src/where/CompileWhere.ts"
import { evaluate, makeRunnable, type ClauseColumn } from "../../../src/where/evaluate/RunnableClause.ts"
import type { ColumnInfo, TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import type { Tuple } from "../../../src/postgres/Tuple.ts"
import { tupleOf } from "../../../testing/TupleOf.ts"
import { Generator, randomRow } from "./generator.ts"
import { Random } from "./random.ts"
import { columnName, oracleSchema, oracleTypes, verdictsFunction } from "./values.ts"

/** A session: rows as texts. */
export interface Session {
  readonly queryText: (
    sql: string,
    params?: ReadonlyArray<unknown>
  ) => Promise<ReadonlyArray<Readonly<Record<string, string | null>>>>
}

export const sessionSettings = `
  SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; SET extra_float_digits = 1;
  SET IntervalStyle = 'iso_8601'`

export interface Table {
  readonly info: TableInfo
  readonly columns: ReadonlyArray<ClauseColumn>
}

export const loadCatalogue = (session: Session): Promise<TypeCatalogue> =>
  Effect.runPromise(loadTypeCatalogue((sql) => Effect.promise(() => session.queryText(sql))))

/** Describes a table as the inspector does. */
export const describeTable = async (session: Session, name: string): Promise<Table> => {
  const rows = await session.queryText(
    `SELECT a.attname, a.attnum, a.atttypid::int8 AS typid, t.typname, n.nspname, a.atttypmod, a.attndims, t.typtype,
            a.attcollation::int8 AS coll, a.attnotnull, a.attgenerated
       FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
      WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [name]
  )
  const columns = rows.map((row): ColumnInfo => ({
    name: row["attname"] ?? "",
    attnum: Number(row["attnum"]),
    typeOid: Number(row["typid"]),
    typeName: row["typname"] ?? "",
    typeSchema: row["nspname"] ?? "",
    typeModifier: Number(row["atttypmod"]),
    dimensions: Number(row["attndims"]),
    typeKind: (row["typtype"] ?? "b") as ColumnInfo["typeKind"],
    element: undefined,
    baseTypeOid: undefined,
    collationOid: Number(row["coll"]),
    notNull: row["attnotnull"] === "t",
    generated: row["attgenerated"] === "s" ? "stored" : row["attgenerated"] === "v" ? "virtual" : "no"
  }))
  return {
    info: {
      oid: 1,
      schema: "public",
      name,
      kind: "table",
      columns,
      primaryKey: ["id"],
      ancestorOids: [],
      leafOids: []
    },
    columns: columns.map((column) => ({ name: column.name, typeOid: column.typeOid }))
  }
}

/** Rows of a table as the stream carries them, in order of id. */
export const readRows = async (session: Session, table: Table): Promise<ReadonlyArray<Tuple>> => {
  const list = table.columns.map((column) => `"${column.name.replaceAll('"', '""')}"`).join(", ")
  const rows = await session.queryText(`SELECT ${list} FROM ${table.info.name} ORDER BY id`)
  return rows.map((row) => tupleOf(table.columns.map((column) => row[column.name] ?? null)))
}

export interface Oracle {
  readonly session: Session
  readonly catalogue: TypeCatalogue
  readonly table: Table
  rows: ReadonlyArray<Tuple>
}

export const makeOracle = async (session: Session): Promise<Oracle> => {
  for (const statement of sessionSettings.split(";")) await session.queryText(statement)
  for (const statement of oracleSchema().split(";")) await session.queryText(statement)
  await session.queryText(verdictsFunction)
  const catalogue = await loadCatalogue(session)
  return { session, catalogue, table: await describeTable(session, "oracle"), rows: [] }
}

/** An oracle over a table of one's own, which must have an integer column `id`. */
export const oracleOver = async (session: Session, name: string, statements: string): Promise<Oracle> => {
  for (const statement of sessionSettings.split(";")) await session.queryText(statement)
  const known = await session.queryText("SELECT to_regproc('verdicts')::text AS f")
  if (known[0]?.["f"] === null) await session.queryText(verdictsFunction)
  for (const statement of statements.split(";\n")) {
    if (statement.trim() !== "") await session.queryText(statement)
  }
  const table = await describeTable(session, name)
  return { session, catalogue: await loadCatalogue(session), table, rows: await readRows(session, table) }
}

/** Replaces the rows of the oracle table by `count` random ones. */
export const fillRows = async (oracle: Oracle, random: Random, count: number): Promise<void> => {
  await oracle.session.queryText("TRUNCATE oracle")
  const names = oracleTypes.flatMap((type) => [1, 2].map((n) => `"${columnName(type, n)}"`))
  const types = oracleTypes.flatMap((type) => [type, type])
  const slots = types.map((type, i) => `$${i + 2}::text::${type === "bpchar" ? "char(8)" : type}`)
  for (let id = 1; id <= count; id++) {
    await oracle.session.queryText(
      `INSERT INTO oracle (id, ${names.join(", ")}) VALUES ($1::text::int, ${slots.join(", ")})`,
      [String(id), ...randomRow(random)]
    )
  }
  oracle.rows = await readRows(oracle.session, oracle.table)
}

export interface Comparison {
  readonly clause: string
  readonly compared: number
  readonly undecided: number
  /** Empty when Postgres and we agree. */
  readonly difference: string
  readonly refused: string | undefined
}

/** Compares one clause on all rows: our verdicts, Postgres' on the original text and on what we print. */
export const compareClause = async (oracle: Oracle, clause: string): Promise<Comparison> => {
  const { session, catalogue, table, rows } = oracle
  const ask = async (sql: string): Promise<string> =>
    (await session.queryText("SELECT verdicts($1, $2) AS v", [table.info.name, sql]))[0]?.["v"] ?? ""
  const expected = await ask(clause)
  // A bug in Postgres ("no relation entry for relid 1", of some ranges that contain a comparison with ANY) is no verdict.
  if (expected.includes("?"))
    return { clause, compared: rows.length, undecided: rows.length, difference: "", refused: undefined }
  const result = compileWhere({ sql: clause, params: {}, table: table.info, catalogue })
  if (Result.isFailure(result)) {
    const { message } = result.failure
    const agrees = /^e*$/.test(expected)
    return {
      clause,
      compared: rows.length,
      undecided: 0,
      difference: agrees ? "" : `refused (${message}) but Postgres says ${expected}`,
      refused: message
    }
  }
  const { sql } = result.success
  const printed = await ask(sql)
  if (printed !== expected) {
    return {
      clause,
      compared: rows.length,
      undecided: 0,
      difference: `Postgres says ${expected} to the clause and ${printed} to its normalised form ${sql}`,
      refused: undefined
    }
  }
  const runnable = makeRunnable(
    JSON.parse(JSON.stringify(result.success)) as typeof result.success,
    table.columns
  )
  let undecided = 0
  for (const [i, row] of rows.entries()) {
    const verdict = evaluate(runnable, row)
    const ours = { true: "t", false: "f", null: "n", failed: "e", undecided: "?" }[verdict.kind]
    // An error inside a part left to Postgres goes unnoticed when another part decides: documented.
    if (ours === "?" || (expected[i] === "e" && result.success.classification === "postgres")) undecided++
    // A query drops a row at the first condition that is not true, so that no error follows; a value would have both. We do the same
    // with a conjunction below an OR, of which it comes to the same for a row: it is not selected.
    else if (
      ours === "n" &&
      expected[i] === "e" &&
      (sql.includes(" AND ") || (await isDropped(oracle, clause, i)))
    )
      continue
    else if (ours !== expected[i]) {
      // There is no shape with it: the service is refused its first rows, and refuses it.
      if (expected[i] === "e" && !(await canBePlanned(oracle, clause)))
        return { clause, compared: rows.length, undecided: rows.length, difference: "", refused: undefined }
      const detail = verdict.kind === "failed" ? ` (${verdict.message})` : ""
      return {
        clause,
        compared: rows.length,
        undecided,
        difference: `row ${i + 1}: we say ${ours}${detail}, Postgres ${expected[i] ?? "nothing"}; normalised: ${sql}`,
        refused: undefined
      }
    }
  }
  return { clause, compared: rows.length, undecided, difference: "", refused: undefined }
}

/**
 * Whether a query with the clause drops the row without an error. Its conditions may be fewer than they seem: Postgres, as we do,
 * takes out what is constant first, so that an OR can become an AND.
 */
const isDropped = async ({ session, table }: Oracle, clause: string, row: number): Promise<boolean> => {
  const { name } = table.info
  const sql = `SELECT count(*)::text AS n FROM (SELECT * FROM ${name} ORDER BY id OFFSET ${row} LIMIT 1) AS ${name} WHERE ${clause}`
  return session.queryText(sql).then(
    ([answer]) => answer?.["n"] === "0",
    () => false
  )
}

/** Whether Postgres gets as far as the rows: constants that only it folds may fail before, whatever stands in front of them. */
const canBePlanned = ({ session, table }: Oracle, clause: string): Promise<boolean> =>
  session.queryText(`EXPLAIN SELECT 1 FROM ${table.info.name} WHERE ${clause}`).then(
    () => true,
    () => false
  )

export interface RunResult {
  readonly comparisons: number
  readonly clauses: number
  readonly undecided: number
  readonly refused: number
  readonly differences: ReadonlyArray<Comparison & { readonly seed: number }>
}

/** Runs random clauses from consecutive seeds until so many comparisons are made. Rows change with every 200th seed. */
export const runOracle = async (
  oracle: Oracle,
  firstSeed: number,
  wanted: number,
  rowCount: number,
  stopAfter: number
): Promise<RunResult> => {
  const differences: Array<Comparison & { readonly seed: number }> = []
  let comparisons = 0
  let clauses = 0
  let undecided = 0
  let refused = 0
  for (let seed = firstSeed; comparisons < wanted && differences.length < stopAfter; seed++) {
    if (clauses === 0 || seed % 200 === 0) {
      await fillRows(oracle, new Random(Math.floor(seed / 200) * 7919 + 1), rowCount)
    }
    const random = new Random(seed)
    const comparison = await compareClause(oracle, new Generator(random).condition(1 + random.below(4)))
    clauses++
    comparisons += comparison.compared - comparison.undecided
    undecided += comparison.undecided
    if (comparison.refused !== undefined) refused++
    if (comparison.difference !== "") differences.push({ ...comparison, seed })
  }
  return { comparisons, clauses, undecided, refused, differences }
}
