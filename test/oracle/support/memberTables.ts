import type pg from "pg"
import type { Random } from "../../../testing/Random.ts"

/**
 * Tables for conditions with sub-selects: issues of projects of organisations, and who is a member of what. Few rows, few values,
 * NULL everywhere it can be, no foreign keys: so that rows match, stop matching, and match again all the time.
 */
export const memberTables = `
  CREATE TABLE orgs (id int PRIMARY KEY, active bool, owner int);
  CREATE TABLE projects (id int PRIMARY KEY, org int, kind text, active bool, weight int, starts timestamp);
  CREATE TABLE members (id int PRIMARY KEY, project int, usr bigint, role varchar(10));
  CREATE SCHEMA "Other";
  CREATE TABLE "Other"."Odd Labels" ("Row" int PRIMARY KEY, "for" int, "Label" text) PARTITION BY RANGE ("Row");
  CREATE TABLE "Other".labels_low PARTITION OF "Other"."Odd Labels" FOR VALUES FROM (MINVALUE) TO (5);
  CREATE TABLE "Other".labels_high PARTITION OF "Other"."Odd Labels" FOR VALUES FROM (5) TO (MAXVALUE);
  CREATE TABLE issues (id int PRIMARY KEY, project int, parent int, owner int, status text, points numeric, due date);
  CREATE TABLE notes (id int NOT NULL, project int, owner bigint, status text, due date, PRIMARY KEY (id)) PARTITION BY RANGE (id);
  CREATE TABLE notes_low PARTITION OF notes FOR VALUES FROM (MINVALUE) TO (20);
  CREATE TABLE notes_high (due date, status text, owner bigint, id int NOT NULL, project int);
  ALTER TABLE notes ATTACH PARTITION notes_high FOR VALUES FROM (20) TO (MAXVALUE)`

interface Column {
  readonly name: string
  readonly value: (random: Random) => string | number | boolean | null
}

interface Table {
  readonly name: string
  readonly key: string
  readonly keys: number
  readonly columns: ReadonlyArray<Column>
}

const nullable =
  <A>(value: (random: Random) => A) =>
  (random: Random): A | null =>
    random.chance(0.12) ? null : value(random)

const number = (most: number) => nullable((random) => random.int(1, most))
const bool = nullable((random) => random.chance(0.5))
export const words = ["open", "done", "Open", "", "new"] as const
const day = nullable((random) => random.pick(["2024-01-01", "2024-01-02", "infinity"]))
const word = nullable((random) => random.pick(words))

export const tables: ReadonlyArray<Table> = [
  { name: "orgs", key: "id", keys: 4, columns: [column("active", bool), column("owner", number(5))] },
  {
    name: "projects",
    key: "id",
    keys: 8,
    columns: [
      column("org", number(5)),
      column("kind", word),
      column("active", bool),
      column("weight", number(6)),
      column(
        "starts",
        nullable((random) => random.pick(["2024-01-01", "2024-01-02", "2024-01-02 10:00"]))
      )
    ]
  },
  {
    name: "members",
    key: "id",
    keys: 24,
    columns: [column("project", number(9)), column("usr", number(5)), column("role", word)]
  },
  {
    name: `"Other"."Odd Labels"`,
    key: `"Row"`,
    keys: 10,
    columns: [column(`"for"`, number(9)), column(`"Label"`, word)]
  },
  {
    name: "issues",
    key: "id",
    keys: 40,
    columns: [
      column("project", number(9)),
      column("parent", number(40)),
      column("owner", number(5)),
      column("status", word),
      column("points", number(6)),
      column("due", day)
    ]
  },
  {
    name: "notes",
    key: "id",
    keys: 40,
    columns: [
      column("project", number(9)),
      column("owner", number(5)),
      column("status", word),
      column("due", day)
    ]
  }
]

function column(name: string, value: Column["value"]): Column {
  return { name, value }
}

const insert = (client: pg.Client, table: Table, random: Random): Promise<unknown> =>
  client.query(
    `INSERT INTO ${table.name} (${[table.key, ...table.columns.map(({ name }) => name)].join(", ")})
     VALUES ($1, ${table.columns.map((_, i) => `$${i + 2}`).join(", ")}) ON CONFLICT DO NOTHING`,
    [random.int(1, table.keys), ...table.columns.map(({ value }) => value(random))]
  )

const update = (client: pg.Client, table: Table, random: Random): Promise<unknown> => {
  const changed = table.columns.filter(() => random.chance(0.4))
  const set = changed.length > 0 ? changed : table.columns.slice(0, 1)
  const many = random.chance(0.15)
  return client.query(
    `UPDATE ${table.name} SET ${set.map(({ name }, i) => `${name} = $${i + 2}`).join(", ")}
     WHERE ${many ? `${table.key} % 3 = $1` : `${table.key} = $1`}`,
    [many ? random.int(0, 2) : random.int(1, table.keys), ...set.map(({ value }) => value(random))]
  )
}

const remove = (client: pg.Client, table: Table, random: Random): Promise<unknown> =>
  client.query(`DELETE FROM ${table.name} WHERE ${table.key} = $1`, [random.int(1, table.keys)])

const changeKey = (client: pg.Client, table: Table, random: Random): Promise<unknown> => {
  const [from, to] = [random.int(1, table.keys), random.int(1, table.keys)]
  return client.query(
    `UPDATE ${table.name} SET ${table.key} = $2 WHERE ${table.key} = $1
     AND NOT EXISTS (SELECT 1 FROM ${table.name} WHERE ${table.key} = $2)`,
    [from, to]
  )
}

/** No shape is of these. */
const truncated = [
  "orgs",
  "projects",
  "members",
  `"Other"."Odd Labels"`,
  `"Other".labels_low`,
  `"Other".labels_high`,
  `"Other".labels_high, members`
]

const change = (client: pg.Client, random: Random, mayTruncate: boolean): Promise<unknown> => {
  if (mayTruncate && random.chance(0.4)) return client.query(`TRUNCATE ${random.pick(truncated)}`)
  const table = random.pick(tables)
  return random.pick([insert, insert, insert, update, update, update, remove, changeKey])(
    client,
    table,
    random
  )
}

/** Errors of a transaction that was in the way of another one: it is rolled back, and nothing has happened. */
const mayFail = new Set(["40P01", "40001", "23505", "55P03"])

/**
 * One transaction of some changes, now and then rolled back, or with a part of it. True when it has committed. With `mayTruncate`
 * tables that only sub-selects read are truncated, too.
 */
export const changeSomething = async (
  client: pg.Client,
  random: Random,
  mayTruncate = false
): Promise<boolean> => {
  try {
    await client.query("BEGIN")
    const changes = random.pick([1, 1, 1, 2, 3, 6])
    for (let i = 0; i < changes; i++) {
      const undone = random.chance(0.05)
      if (undone) await client.query("SAVEPOINT part")
      await change(client, random, mayTruncate)
      if (undone) await client.query("ROLLBACK TO part")
    }
    const ends = random.chance(0.05) ? "ROLLBACK" : "COMMIT"
    await client.query(ends)
    return ends === "COMMIT"
  } catch (error) {
    await client.query("ROLLBACK")
    if (mayFail.has((error as { readonly code?: string }).code ?? "")) return false
    throw error
  }
}

/** First rows. */
export const fillTables = async (client: pg.Client, random: Random): Promise<void> => {
  for (const table of tables) for (let i = 0; i < table.keys; i++) await insert(client, table, random)
}
