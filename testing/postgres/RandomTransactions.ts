import type pg from "pg"
import { type TypedColumn, valueFor } from "./EveryType.ts"
import type { Random } from "../Random.ts"

/** A table with the key `id bigint`, the version column `v int`, and columns of any type. */
export interface WrittenTable {
  /** As SQL names it. */
  readonly name: string
  readonly columns: ReadonlyArray<TypedColumn>
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

/** The columns whose type this server has; later versions have more types. */
export const columnsOf = async (
  client: pg.Client,
  columns: ReadonlyArray<TypedColumn>
): Promise<ReadonlyArray<TypedColumn>> => {
  const { rows } = await client.query<{ present: boolean }>(
    "SELECT to_regtype(t) IS NOT NULL AS present FROM unnest($1::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n",
    [columns.map(({ type }) => type)]
  )
  return columns.filter((_, i) => rows[i]?.present === true)
}

/** Creates the table and fills it with `rows` rows made from a pool of random ones. */
export const createFilled = async (
  client: pg.Client,
  table: WrittenTable,
  rows: number,
  random: Random,
  extra = ""
): Promise<Array<number>> => {
  const names = table.columns.map(({ name }) => quoted(name))
  const definitions = table.columns.map(({ name, type }) => `${quoted(name)} ${type}`)
  await client.query(
    `CREATE TABLE ${table.name} (id bigint PRIMARY KEY, v int NOT NULL, ${definitions.join(", ")} ${extra})`
  )
  await client.query(`CREATE TEMP TABLE pool (n int, ${definitions.join(", ")})`)
  const poolSize = 50
  for (let n = 0; n < poolSize; n++) {
    const values = table.columns.map((column) => valueFor(random, column))
    await client.query(
      `INSERT INTO pool VALUES (${n}, ${names.map((_, i) => `$${i + 1}`).join(", ")})`,
      values
    )
  }
  await client.query(
    `INSERT INTO ${table.name} (id, v, ${names.join(", ")})
     SELECT g, 0, ${names.join(", ")} FROM generate_series(1, ${rows}) g JOIN pool ON n = g % ${poolSize}`
  )
  await client.query("DROP TABLE pool")
  return Array.from({ length: rows }, (_, i) => i + 1)
}

/**
 * Random inserts, updates, deletes and key changes, about `operations` of them that count, in random transactions: some
 * roll back, some roll back to a savepoint. Every change adds one to the row's version. `ids` is kept up to date.
 */
export const randomTransactions = async (
  client: pg.Client,
  table: WrittenTable,
  operations: number,
  random: Random,
  ids: Array<number>
): Promise<void> => {
  const names = table.columns.map(({ name }) => quoted(name))
  let nextId = Math.max(0, ...ids) + 1

  const operate = async (present: Array<number>) => {
    const kind =
      present.length === 0 ? "insert" : random.pick(["insert", "update", "update", "delete", "key"])
    const at = random.int(0, Math.max(0, present.length - 1))
    const id = present[at] ?? 0
    if (kind === "insert") {
      const created = nextId++
      await client.query(
        `INSERT INTO ${table.name} (id, v, ${names.join(", ")}) VALUES ($1, 0, ${names.map((_, i) => `$${i + 2}`).join(", ")})`,
        [created, ...table.columns.map((column) => valueFor(random, column))]
      )
      present.push(created)
    } else if (kind === "delete") {
      await client.query(`DELETE FROM ${table.name} WHERE id = $1`, [id])
      present[at] = present.at(-1) ?? 0
      present.pop()
    } else if (kind === "key") {
      const moved = nextId++
      await client.query(`UPDATE ${table.name} SET id = $2, v = v + 1 WHERE id = $1`, [id, moved])
      present[at] = moved
    } else {
      const changed = table.columns.filter(() => random.chance(2 / table.columns.length))
      await client.query(
        `UPDATE ${table.name} SET v = v + 1 ${changed.map(({ name }, i) => `, ${quoted(name)} = $${i + 2}`).join("")} WHERE id = $1`,
        [id, ...changed.map((column) => valueFor(random, column))]
      )
    }
  }

  for (let done = 0; done < operations;) {
    const count = random.pick([1, 1, 1, 2, 3, 8])
    const commits = random.chance(0.8)
    const present = ids.slice()
    await client.query("BEGIN")
    for (let i = 0; i < count; i++) {
      const savepoint = random.pick(["none", "none", "none", "none", "kept", "undone"])
      if (savepoint === "undone") {
        await client.query("SAVEPOINT s")
        await operate(present.slice())
        await client.query("ROLLBACK TO SAVEPOINT s")
      } else if (savepoint === "kept") {
        await client.query("SAVEPOINT s")
        await operate(present)
        await client.query("RELEASE SAVEPOINT s")
      } else await operate(present)
    }
    await client.query(commits ? "COMMIT" : "ROLLBACK")
    if (!commits) continue
    done += count
    ids.splice(0, ids.length, ...present)
  }
}
