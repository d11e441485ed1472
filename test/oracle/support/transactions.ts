import type pg from "pg"
import type { Random } from "../../../testing/Random.ts"
import { quoted, type OracleColumn, type OracleTable } from "./tables.ts"

/** One statement; how it is chosen depends on the random numbers and on the rows only, so that a seed replays it. */
type Operation = (client: pg.Client, table: OracleTable, random: Random) => Promise<unknown>

const names = (columns: ReadonlyArray<OracleColumn>): string =>
  columns.map(({ name }) => quoted(name)).join(", ")

const assignments = (columns: ReadonlyArray<OracleColumn>, from = 1): string =>
  columns.map(({ name }, i) => `${quoted(name)} = $${i + from}`).join(", ")

/** The n-th row, in key order and around the end. */
const someRow = ({ key, name }: OracleTable, random: Random): string =>
  `ctid = (SELECT ctid FROM ${name} ORDER BY ${names(key)}
     OFFSET ${random.int(0, 1000)} % greatest((SELECT count(*) FROM ${name}), 1) LIMIT 1)`

/** One row in so many, by its key. */
const someRows = ({ key }: OracleTable, random: Random, divisor: number): string =>
  `abs(hashtext(concat_ws('/', ${names(key)}))::bigint) % ${divisor} = ${random.int(0, divisor - 1)}`

const chosen = (table: OracleTable, random: Random): ReadonlyArray<OracleColumn> => {
  const some = table.columns.filter(() => random.chance(0.25))
  return some.length > 0 ? some : [random.pick(table.columns)]
}

const valuesOf = (columns: ReadonlyArray<OracleColumn>, random: Random) =>
  columns.map(({ value }) => value(random))

const insertRows: Operation = (client, table, random) => {
  const columns = [...table.key, ...table.columns]
  const values: Array<string | null> = []
  const tuples = Array.from({ length: random.pick([1, 1, 2, 5]) }, () => {
    const row = valuesOf(columns, random)
    return `(${row.map((value) => `$${values.push(value)}`).join(", ")})`
  })
  return client.query(
    `INSERT INTO ${table.name} (${names(columns)}) VALUES ${tuples.join(", ")} ON CONFLICT DO NOTHING`,
    values
  )
}

const upsert: Operation = (client, table, random) => {
  const columns = [...table.key, ...table.columns]
  const replaced = chosen(table, random).map(({ name }) => `${quoted(name)} = excluded.${quoted(name)}`)
  return client.query(
    `INSERT INTO ${table.name} (${names(columns)}) VALUES (${columns.map((_, i) => `$${i + 1}`).join(", ")})
     ON CONFLICT (${names(table.key)}) DO UPDATE SET ${replaced.join(", ")}`,
    valuesOf(columns, random)
  )
}

const updateOne: Operation = (client, table, random) => {
  const columns = chosen(table, random)
  return client.query(
    `UPDATE ${table.name} SET ${assignments(columns)} WHERE ${someRow(table, random)}`,
    valuesOf(columns, random)
  )
}

const updateMany: Operation = (client, table, random) => {
  const columns = chosen(table, random)
  return client.query(
    `UPDATE ${table.name} SET ${assignments(columns)} WHERE ${someRows(table, random, random.pick([3, 6, 12]))}`,
    valuesOf(columns, random)
  )
}

const updateNothing: Operation = (client, table, random) => {
  const same = chosen(table, random).map(({ name }) => `${quoted(name)} = ${quoted(name)}`)
  return client.query(`UPDATE ${table.name} SET ${same.join(", ")} WHERE ${someRows(table, random, 4)}`)
}

/** To another key if that is free, now and then with other values as well. */
const changeKey: Operation = (client, table, random) => {
  const { key, name } = table
  const columns = random.chance(0.5) ? chosen(table, random) : []
  const taken = key.map((column, i) => `${quoted(column.name)} = $${i + 1}`).join(" AND ")
  return client.query(
    `UPDATE ${name} SET ${[assignments(key), assignments(columns, key.length + 1)].filter(Boolean).join(", ")}
     WHERE ${someRow(table, random)} AND NOT EXISTS (SELECT FROM ${name} WHERE ${taken})`,
    valuesOf([...key, ...columns], random)
  )
}

const deleteOne: Operation = (client, table, random) =>
  client.query(`DELETE FROM ${table.name} WHERE ${someRow(table, random)}`)

const deleteMany: Operation = (client, table, random) =>
  client.query(`DELETE FROM ${table.name} WHERE ${someRows(table, random, 15)}`)

/** Deletes a row and makes it again, partly with other values. */
const replaceRow: Operation = async (client, table, random) => {
  const columns = [...table.key, ...table.columns]
  const { rows } = await client.query<Array<string | null>>({
    text: `DELETE FROM ${table.name} WHERE ${someRow(table, random)} RETURNING ${names(columns)}`,
    rowMode: "array",
    types: { getTypeParser: () => (value: unknown) => value }
  })
  const other = columns.map((column, i) =>
    i >= table.key.length && random.chance(0.3) ? column.value(random) : undefined
  )
  for (const row of rows) {
    await client.query(
      `INSERT INTO ${table.name} (${names(columns)}) VALUES (${columns.map((_, i) => `$${i + 1}`).join(", ")})`,
      row.map((value, i) => {
        const changed = other[i]
        return changed === undefined ? value : changed
      })
    )
  }
}

const operations: ReadonlyArray<Operation> = [
  insertRows,
  insertRows,
  insertRows,
  upsert,
  updateOne,
  updateOne,
  updateOne,
  updateMany,
  updateNothing,
  changeKey,
  changeKey,
  deleteOne,
  deleteMany,
  replaceRow
]

export const fillTable = async (client: pg.Client, table: OracleTable, random: Random): Promise<void> => {
  for (let i = 0; i < 20; i++) await insertRows(client, table, random)
}

/** One transaction of several statements over the tables: with savepoints kept and undone, every fifth rolled back. */
export const randomTransaction = async (
  client: pg.Client,
  tables: ReadonlyArray<OracleTable>,
  random: Random
): Promise<void> => {
  await client.query("BEGIN")
  const count = random.pick([1, 1, 2, 3, 6])
  for (let i = 0; i < count; i++) {
    const savepoint = random.pick(["none", "none", "none", "kept", "undone"])
    if (savepoint !== "none") await client.query("SAVEPOINT s")
    await random.pick(operations)(client, random.pick(tables), random)
    if (savepoint === "undone") await client.query("ROLLBACK TO SAVEPOINT s")
    if (savepoint === "kept") await client.query("RELEASE SAVEPOINT s")
  }
  await client.query(random.chance(0.8) ? "COMMIT" : "ROLLBACK")
}
