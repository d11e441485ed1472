import type { Random } from "../../../testing/Random.ts"

/** Types that columns are altered between, each with a text that all of them read. */
const types = ["integer", "bigint", "text", "character varying(20)", "numeric", "mood"] as const
type ColumnType = (typeof types)[number]

interface Column {
  name: string
  type: ColumnType
}

interface Partition {
  readonly name: string
  readonly from: number
  readonly to: number
}

/** What a client follows: the parameters of the request, and the query that has the same rows. */
export interface Followed {
  readonly params: { readonly table: string; readonly columns?: Array<string>; readonly where?: string }
  readonly sql: string
}

/** One step: each of the statements is a transaction, unless they begin one. */
export interface Step {
  readonly what: string
  readonly statements: ReadonlyArray<string>
}

/** What the catalogue says of the tables: a statement may have been refused. */
export interface AlteredState {
  readonly plain: ReadonlyArray<Column>
  readonly tree: ReadonlyArray<Column>
  readonly partitions: ReadonlyArray<Partition>
  readonly labels: ReadonlyArray<string>
  readonly hasFunction: boolean
}

/** Says all of it in one row of JSON: `AlteredState`. */
export const stateSql = `SELECT json_build_object(
  'plain', (${columnsSql("plain")}), 'tree', (${columnsSql("tree")}),
  'partitions', (
    SELECT coalesce(json_agg(json_build_object('name', c.relname, 'from', b.bounds[1]::int, 'to', b.bounds[2]::int)), '[]')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM .(\\d+). TO .(\\d+).') AS b(bounds)
    WHERE i.inhparent = 'tree'::regclass
  ),
  'labels', (SELECT coalesce(json_agg(l.enumlabel ORDER BY l.enumsortorder), '[]') FROM pg_enum l WHERE l.enumtypid = 'mood'::regtype),
  'hasFunction', to_regproc('wanted') IS NOT NULL
)::text AS state`

function columnsSql(table: string): string {
  return `SELECT coalesce(json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod)) ORDER BY attnum), '[]')
    FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'id'`
}

/** Columns can be selected from a table with a key that is among them; of one without, every column is the key. */
const selectIdSql = `SELECT id FROM plain WHERE 1 / (
  SELECT count(*) FROM pg_constraint WHERE conrelid = 'plain'::regclass AND contype = 'p'
) = 1`

const partitionSize = 10
const mostColumns = 5

/**
 * A table, a partitioned table, a type and a function, which are altered at random: a model that is only as exact as it takes to
 * make statements that Postgres accepts.
 */
export class AlteredTables {
  private readonly random: Random
  private columns: { plain: Array<Column>; tree: Array<Column> }
  private partitions: Array<Partition> = []
  private ordinal = 0
  private labels = ["1", "2", "3"]
  private hasFunction = true

  constructor(random: Random) {
    this.random = random
    this.columns = {
      plain: [
        { name: "a", type: "integer" },
        { name: "b", type: "text" }
      ],
      tree: [
        { name: "a", type: "integer" },
        { name: "b", type: "text" }
      ]
    }
    for (let i = 0; i < 3; i++)
      this.partitions.push(this.newPartition(i * partitionSize, (i + 1) * partitionSize))
  }

  /** How everything begins. Run it once. */
  get setUp(): string {
    return [
      "CREATE TYPE mood AS ENUM ('1', '2', '3')",
      functionSql("id % 2 = 0"),
      this.createPlain("plain"),
      `CREATE TABLE tree (id int PRIMARY KEY, a int, b text) PARTITION BY RANGE (id)`,
      ...this.partitions.map(createPartition),
      "INSERT INTO plain (id, a, b) SELECT i, i, '1' FROM generate_series(1, 8) i",
      "INSERT INTO tree (id, a, b) SELECT i, i, '1' FROM generate_series(0, 29, 4) i"
    ].join("; ")
  }

  /** Shapes to follow all the while; the condition of some cannot be evaluated while the function is gone. */
  readonly followed: ReadonlyArray<Followed> = [
    { params: { table: "plain" }, sql: "SELECT * FROM plain" },
    { params: { table: "plain", columns: ["id"] }, sql: selectIdSql },
    { params: { table: "plain", where: "id > 3" }, sql: "SELECT * FROM plain WHERE id > 3" },
    { params: { table: "plain", where: "wanted(id)" }, sql: "SELECT * FROM plain WHERE wanted(id)" },
    { params: { table: "tree" }, sql: "SELECT * FROM tree" },
    { params: { table: "tree", columns: ["id"], where: "id > 5" }, sql: "SELECT id FROM tree WHERE id > 5" }
  ]

  /** To be told before each step. */
  resync(state: AlteredState): void {
    this.columns = { plain: [...state.plain], tree: [...state.tree] }
    this.partitions = [...state.partitions]
    this.labels = [...state.labels]
    this.hasFunction = state.hasFunction
  }

  step(): Step {
    const { random } = this
    const which = random.int(0, 9)
    if (which < 3) return this.write()
    if (which < 6) return this.alterColumns(random.chance(0.5) ? "plain" : "tree")
    if (which < 8) return this.alterPartitions()
    return random.chance(0.6) ? this.replaceTable() : this.alterOthers()
  }

  private write(): Step {
    const { random } = this
    const statements = Array.from({ length: random.int(1, 4) }, () =>
      this.writeSql(random.chance(0.5) ? "plain" : "tree")
    )
    return { what: "writes", statements: inTransaction(statements, random.chance(0.7)) }
  }

  private writeSql(table: "plain" | "tree"): string {
    const { random } = this
    const id = this.id(table)
    const columns = this.columns[table]
    const values = columns.map(() => this.value())
    const names = columns.map(({ name }) => name)
    switch (random.int(0, 2)) {
      case 0:
        return `INSERT INTO ${table} (${["id", ...names].join(", ")}) VALUES (${[id, ...values].join(", ")}) ON CONFLICT DO NOTHING`
      case 1:
        return columns.length === 0
          ? `DELETE FROM ${table} WHERE id = ${id}`
          : `UPDATE ${table} SET ${names.map((name, i) => `${name} = ${values[i]}`).join(", ")} WHERE id % 3 = ${id % 3}`
      default:
        return `DELETE FROM ${table} WHERE id = ${id}`
    }
  }

  private id(table: "plain" | "tree"): number {
    if (table === "plain") return this.random.int(1, 12)
    const { from, to } = this.random.pick(this.partitions)
    return this.random.int(from, to - 1)
  }

  /** Without a type of its own, so that every column reads it. */
  private value(): string {
    return `'${this.random.pick(this.labels)}'`
  }

  private alterColumns(table: "plain" | "tree"): Step {
    const { random } = this
    const columns = this.columns[table]
    const statements = [this.columnSql(table)]
    if (random.chance(0.3)) statements.push(this.columnSql(table))
    if (random.chance(0.4)) {
      // Before, after, or in the same transaction: the stream describes the table when it comes to that.
      statements.push(this.writeSql(table))
      if (random.chance(0.3)) statements.push(this.columnSql(table))
    }
    return {
      what: `${table} has ${columns.map(({ name, type }) => `${name} ${type}`).join(", ")}`,
      statements: inTransaction(statements, random.chance(0.5))
    }
  }

  private columnSql(table: "plain" | "tree"): string {
    const { random } = this
    const columns = this.columns[table]
    const alter = `ALTER TABLE ${table}`
    const kind = random.int(0, 6)
    if (columns.length === 0 || (kind <= 1 && columns.length < mostColumns)) {
      const column: Column = { name: this.name("c"), type: random.pick(types) }
      columns.push(column)
      const rest = random.pick(["", `DEFAULT ${this.value()}`, `NOT NULL DEFAULT ${this.value()}`])
      return `${alter} ADD COLUMN ${column.name} ${column.type} ${rest}`
    }
    const at = random.int(0, columns.length - 1)
    const column = columns[at] as Column
    switch (kind) {
      case 2:
        columns.splice(at, 1)
        return `${alter} DROP COLUMN ${column.name}`
      case 3: {
        const before = column.name
        column.name = this.name("r")
        return `${alter} RENAME COLUMN ${before} TO ${column.name}`
      }
      case 4: {
        const before = column.name
        const moved: Column = { name: this.name("m"), type: column.type }
        column.type = random.pick(types)
        columns.push(moved)
        return `${alter} RENAME COLUMN ${before} TO ${moved.name}; ${alter} ADD COLUMN ${before} ${column.type}`
      }
      case 5:
        return random.chance(0.5)
          ? `${alter} ALTER COLUMN ${column.name} DROP NOT NULL`
          : `${alter} DROP COLUMN ${column.name}, ADD COLUMN ${column.name} ${(column.type = random.pick(types))}`
      default:
        column.type = random.pick(types)
        return `${alter} ALTER COLUMN ${column.name} DROP DEFAULT; ${alter} ALTER COLUMN ${column.name} TYPE ${column.type} USING ${column.name}::text::${column.type}`
    }
  }

  private alterPartitions(): Step {
    const { random } = this
    const partition = random.pick(this.partitions)
    const { from, name, to } = partition
    const columns = this.columns.tree.map((column) => column.name)
    switch (random.int(0, 5)) {
      case 0:
        return { what: "a partition is truncated", statements: [`TRUNCATE ${name}`] }
      case 1: {
        this.partitions = this.partitions.filter((other) => other !== partition)
        const again = this.newPartition(from, to)
        this.partitions.push(again)
        const goes = random.pick([`DROP TABLE ${name}`, `ALTER TABLE tree DETACH PARTITION ${name}`])
        return {
          what: "a partition is replaced",
          statements: inTransaction([goes, createPartition(again)], random.chance(0.5))
        }
      }
      case 2: {
        if (to - from < 2) break
        const middle = from + Math.floor((to - from) / 2)
        const parts = [this.newPartition(from, middle), this.newPartition(middle, to)]
        this.partitions = [...this.partitions.filter((other) => other !== partition), ...parts]
        const list = ["id", ...columns].join(", ")
        return {
          what: "a partition is split",
          statements: inTransaction(
            [
              `ALTER TABLE tree DETACH PARTITION ${name}`,
              ...parts.map(createPartition),
              `INSERT INTO tree (${list}) SELECT ${list} FROM ${name}`,
              `DROP TABLE ${name}`
            ],
            true
          )
        }
      }
      case 3: {
        const last = Math.max(...this.partitions.map((other) => other.to))
        const added = this.newPartition(last, last + partitionSize)
        this.partitions.push(added)
        return { what: "a partition is added", statements: [createPartition(added)] }
      }
      default: {
        const last = Math.max(...this.partitions.map((other) => other.to))
        const added = this.newPartition(last, last + partitionSize)
        this.partitions.push(added)
        const rows = `INSERT INTO ${added.name} (id) VALUES (${last}), (${last + 3})`
        return {
          what: "a table is attached",
          statements: [
            `CREATE TABLE ${added.name} (LIKE tree INCLUDING DEFAULTS INCLUDING INDEXES)`,
            ...(random.chance(0.7) ? [rows] : []),
            `ALTER TABLE tree ATTACH PARTITION ${added.name} FOR VALUES FROM (${last}) TO (${last + partitionSize})`
          ]
        }
      }
    }
    return this.write()
  }

  private replaceTable(): Step {
    const { random } = this
    const rows = `INSERT INTO plain (id) SELECT i FROM generate_series(${random.int(1, 4)}, 6) i`
    switch (random.int(0, 4)) {
      case 0:
        return { what: "plain is truncated", statements: ["TRUNCATE plain"] }
      case 1: {
        const inOne = random.chance(0.6)
        const before = inOne ? [] : [this.columnSql("plain"), this.writeSql("plain")]
        this.columns.plain = [{ name: this.name("n"), type: random.pick(types) }]
        const again = ["DROP TABLE plain", this.createPlain("plain"), rows]
        return { what: "plain is replaced", statements: [...before, ...inTransaction(again, inOne)] }
      }
      case 2: {
        const old = this.name("old")
        return {
          what: "plain is swapped",
          statements: inTransaction(
            [
              `ALTER TABLE plain RENAME TO ${old}`,
              `CREATE TABLE plain (LIKE ${old} INCLUDING ALL)`,
              rows,
              `DROP TABLE ${old}`
            ],
            random.chance(0.5)
          )
        }
      }
      case 3:
        return {
          what: "plain gets another key",
          statements: [
            `DO $$ DECLARE key text; BEGIN
               SELECT conname INTO key FROM pg_constraint WHERE conrelid = 'plain'::regclass AND contype = 'p';
               IF key IS NOT NULL THEN EXECUTE format('ALTER TABLE plain DROP CONSTRAINT %I', key); END IF;
             END $$`,
            ...(random.chance(0.7) ? ["ALTER TABLE plain ADD PRIMARY KEY (id)"] : [])
          ]
        }
      default:
        return { what: "plain is vacuumed", statements: ["VACUUM FULL plain"] }
    }
  }

  private alterOthers(): Step {
    const { random } = this
    switch (random.int(0, 3)) {
      case 0: {
        const label = String(++this.ordinal)
        return { what: "a label is added", statements: [`ALTER TYPE mood ADD VALUE '${label}'`] }
      }
      case 1: {
        const before = random.pick(this.labels)
        const sql = `ALTER TYPE mood RENAME VALUE '${before}' TO '${++this.ordinal}'`
        return { what: "a label is renamed", statements: [sql] }
      }
      case 2: {
        const again = ["DROP TYPE mood CASCADE", "CREATE TYPE mood AS ENUM ('1', '2', '3')"]
        return { what: "the type is replaced", statements: inTransaction(again, random.chance(0.5)) }
      }
      default:
        return this.hasFunction
          ? { what: "the function is dropped", statements: ["DROP FUNCTION wanted(int)"] }
          : { what: "the function is there again", statements: [functionSql("id % 2 = 0")] }
    }
  }

  private createPlain(name: string): string {
    const columns = this.columns.plain.map((column) => `${column.name} ${column.type}`)
    return `CREATE TABLE ${name} (${["id int", ...columns].join(", ")}, PRIMARY KEY (id))`
  }

  private newPartition(from: number, to: number): Partition {
    return { name: this.name("tree_"), from, to }
  }

  private name(prefix: string): string {
    return `${prefix}${++this.ordinal}`
  }
}

const inTransaction = (statements: ReadonlyArray<string>, isOne: boolean): ReadonlyArray<string> =>
  isOne ? ["BEGIN", ...statements, "COMMIT"] : statements

const createPartition = ({ from, name, to }: Partition): string =>
  `CREATE TABLE ${name} PARTITION OF tree FOR VALUES FROM (${from}) TO (${to})`

const functionSql = (body: string): string =>
  `CREATE FUNCTION wanted(id int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT ${body}'`
