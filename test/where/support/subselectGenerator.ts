import type { Random } from "./random.ts"

/** Families of types whose values can be compared with each other, and values that meet often. */
const families = {
  number: {
    types: ["int2", "int4", "int8", "numeric", "float8"],
    values: ["0", "1", "2", "3", "1.0", "2.50"]
  },
  text: { types: ["text", "varchar(5)", "char(3)", "name"], values: ["a", "b", "ab", "", "a ", "ä"] },
  bool: { types: ["bool"], values: ["true", "false"] },
  moment: {
    types: ["date", "timestamp", "timestamptz"],
    values: [
      "2024-01-01",
      "2024-01-02",
      "infinity",
      "2024-01-01 00:00:00",
      "2024-01-01 10:00:00.5",
      "-infinity"
    ]
  },
  uuid: {
    types: ["uuid"],
    values: ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000001"]
  },
  mood: { types: ["mood"], values: ["sad", "ok", "happy"] },
  json: { types: ["jsonb"], values: ['{"a": 1}', '{"a": 1.0}', "[]", "null"] },
  array: { types: ["int4[]"], values: ["{1,2}", "{}", "{NULL}"] },
  interval: { types: ["interval"], values: ["1 day", "24 hours", "1 mon"] }
} as const

type Family = keyof typeof families

interface ColumnOf {
  readonly name: string
  readonly type: string
  readonly family: Family
}

export interface TableOf {
  readonly name: string
  readonly columns: ReadonlyArray<ColumnOf>
}

const familyNames = Object.keys(families) as ReadonlyArray<Family>
const often: ReadonlyArray<Family> = ["number", "number", "number", "text", "text", "bool", ...familyNames]

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Tables with columns of the same few names, of types that fit each other now and then, most of which may be NULL. */
export const randomTables = (random: Random): ReadonlyArray<TableOf> =>
  ["t0", "t1", "t2", '"T 3"'].map((name) => ({
    name,
    columns: [
      { name: "id", type: "int4", family: "number" as const },
      ...["a", "b", "c", "d", '"E e"', "f"].map((column) => {
        const family = random.pick(often)
        return { name: column, type: random.pick<string>(families[family].types), family }
      })
    ]
  }))

/** Statements that make them. */
export const schemaOf = (tables: ReadonlyArray<TableOf>): string =>
  [
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    ...tables.map(
      ({ columns, name }) =>
        `CREATE TABLE ${name} (${columns.map((column) => `${column.name} ${column.type}${column.name === "id" ? " PRIMARY KEY" : ""}`).join(", ")})`
    )
  ].join(";\n")

const randomValue = (random: Random, { family, type }: ColumnOf): string => {
  if (random.chance(0.25)) return "NULL"
  const value = random.pick<string>(families[family].values)
  return family === "number" && type.startsWith("int") ? String(Math.trunc(Number(value))) : quoted(value)
}

/** Statements that put other rows into them. */
export const rowsOf = (random: Random, tables: ReadonlyArray<TableOf>): string =>
  tables
    .map(({ columns, name }, i) => {
      const count = i === 0 ? 20 : random.below(9)
      const rows = Array.from(
        { length: count },
        (_, id) =>
          `(${columns.map((column) => (column.name === "id" ? String(id) : randomValue(random, column))).join(", ")})`
      )
      const insert = count === 0 ? "" : `;\nINSERT INTO ${name} VALUES ${rows.join(",\n")}`
      return `TRUNCATE ${name}${insert}`
    })
    .join(";\n")

/** A table under the name that it has at a place in a clause. */
interface Named {
  readonly alias: string
  readonly table: TableOf
}

interface Reference {
  readonly sql: string
  readonly column: ColumnOf
}

/** Writes random conditions with sub-selects over the first of some tables. */
export class SubselectGenerator {
  private readonly random: Random
  private readonly tables: ReadonlyArray<TableOf>
  private aliases = 0

  constructor(random: Random, tables: ReadonlyArray<TableOf>) {
    this.random = random
    this.tables = tables
  }

  clause(): string {
    const [own] = this.tables
    if (own === undefined) throw new Error("no table")
    const parts = Array.from({ length: 1 + this.random.below(3) }, (_, i) =>
      i === 0
        ? this.subselect([[{ alias: "", table: own }]], 2)
        : this.condition([[{ alias: "", table: own }]], 2)
    )
    const joined =
      parts.length === 1
        ? (parts[0] ?? "")
        : parts.map((part) => `(${part})`).join(this.random.pick([" AND ", " OR "]))
    return this.wrapped(joined, [[{ alias: "", table: own }]])
  }

  /** Scopes from the inside to the outside. */
  private condition(scopes: ReadonlyArray<ReadonlyArray<Named>>, depth: number): string {
    const { random } = this
    if (depth > 0 && random.chance(0.4)) return this.subselect(scopes, depth)
    if (depth > 0 && random.chance(0.3))
      return `(${this.condition(scopes, depth - 1)} ${random.pick(["AND", "OR"])} ${this.condition(scopes, depth - 1)})`
    if (random.chance(0.15)) return `NOT (${this.condition(scopes, depth - 1)})`
    return this.plain(scopes)
  }

  private wrapped(sql: string, scopes: ReadonlyArray<ReadonlyArray<Named>>): string {
    const { random } = this
    return random.pick<() => string>([
      () => sql,
      () => sql,
      () => sql,
      () => `NOT (${sql})`,
      () => `(${sql}) IS ${random.pick(["", "NOT "])}${random.pick(["TRUE", "FALSE", "UNKNOWN", "NULL"])}`,
      () => `CASE WHEN ${sql} THEN ${this.plain(scopes)} ELSE ${this.plain(scopes)} END`,
      () => `CASE WHEN ${this.plain(scopes)} THEN ${sql} ELSE ${this.plain(scopes)} END`,
      () => `coalesce(${sql}, ${random.pick(["true", "false", this.plain(scopes)])})`,
      () => `(${sql}) = ${random.pick(["true", "false", `(${this.plain(scopes)})`])}`,
      () => `(${sql}) IS DISTINCT FROM (${this.plain(scopes)})`
    ])()
  }

  /** Columns of the nearest tables. */
  private references(scopes: ReadonlyArray<ReadonlyArray<Named>>, level = 0): ReadonlyArray<Reference> {
    const scope = scopes[level] ?? []
    return scope.flatMap(({ alias, table }) =>
      table.columns.map((column) => {
        const hidden = scopes
          .slice(0, level + 1)
          .flat()
          .filter((other) => other.table.columns.some(({ name }) => name === column.name)).length
        const isOutermost = alias === ""
        const qualifier = isOutermost ? this.random.pick([table.name, `public.${table.name}`]) : alias
        const isPlain = hidden === 1 && (isOutermost && scopes.length === 1 ? true : this.random.chance(0.5))
        return { sql: isPlain ? column.name : `${qualifier}.${column.name}`, column }
      })
    )
  }

  private literal({ family }: ColumnOf): string {
    const value = this.random.pick<string>(families[family].values)
    return family === "number" || family === "bool" ? value : quoted(value)
  }

  private plain(scopes: ReadonlyArray<ReadonlyArray<Named>>): string {
    const { random } = this
    const { column, sql } = random.pick(this.references(scopes))
    if (random.chance(0.2)) return `${sql} IS ${random.pick(["", "NOT "])}NULL`
    if (column.family === "bool" && random.chance(0.5)) return random.pick([sql, `NOT ${sql}`])
    const hasOrder = column.family === "number" || column.family === "moment"
    const operator = hasOrder ? random.pick(["=", "<>", "<", ">="]) : random.pick(["=", "<>"])
    if (random.chance(0.2))
      return `${sql} ${random.pick(["IN", "NOT IN"])} (${this.literal(column)}, ${this.literal(column)})`
    return `${sql} ${operator} ${this.literal(column)}`
  }

  /** Two columns that can be compared, one of each list. */
  private pair(
    left: ReadonlyArray<Reference>,
    right: ReadonlyArray<Reference>
  ): readonly [Reference, Reference] | undefined {
    const pairs = left.flatMap((a) =>
      right.flatMap((b) => (a.column.family === b.column.family ? [[a, b] as const] : []))
    )
    return pairs.length === 0 ? undefined : this.random.pick(pairs)
  }

  private subselect(scopes: ReadonlyArray<ReadonlyArray<Named>>, depth: number): string {
    const { random } = this
    const joined = random.chance(0.25) ? 2 + random.below(2) : 1
    const sources = Array.from({ length: joined }, () => ({
      alias: `${random.pick(["x", "y", "t"])}${++this.aliases + 3}`,
      table: random.pick(this.tables)
    }))
    const inner = [sources, ...scopes]
    const conditions: Array<string> = []
    for (let i = 1; i < sources.length; i++) {
      const one = sources[i]
      const other = sources[random.below(i)]
      if (one === undefined || other === undefined) continue
      const pair = this.pair(
        this.references([[one], ...inner.slice(0)]),
        this.references([[other], ...inner.slice(0)])
      )
      if (pair !== undefined) conditions.push(`${qualify(pair[0], one)} = ${qualify(pair[1], other)}`)
    }
    // Circles, now and then.
    for (let i = 1; i < sources.length; i++) {
      const [one, other] = [random.pick(sources), random.pick(sources)]
      const more =
        one === other || random.chance(0.6)
          ? undefined
          : this.pair(this.references([[one], ...inner]), this.references([[other], ...inner]))
      if (more !== undefined) conditions.push(`${qualify(more[0], one)} = ${qualify(more[1], other)}`)
    }
    const correlations = random.chance(0.5) ? 1 + random.below(2) : 0
    const tied: Array<string> = []
    for (let i = 0; i < correlations; i++) {
      const level = scopes.length > 1 && random.chance(0.3) ? 2 : 1
      const pair = this.pair(this.references(inner, 0), this.references(inner, level))
      if (pair === undefined) continue
      const [a, b] = random.chance(0.5) ? pair : ([pair[1], pair[0]] as const)
      conditions.push(`${a.sql} = ${b.sql}`)
      tied.push(pair[1].sql)
    }
    for (let i = random.below(3); i > 0; i--) conditions.push(this.condition(inner, depth - 1))
    if (random.chance(0.05))
      conditions.push(
        this.plain(scopes.length === 1 ? [[{ alias: "", table: this.tables[0] ?? noTable }], []] : scopes)
      )
    const from = sources
      .map(
        ({ alias, table }) =>
          `${random.pick(["", "public."])}${table.name} ${random.pick(["", "AS "])}${alias}`
      )
      .join(random.pick([", ", " CROSS JOIN "]))
    const where = conditions.length === 0 ? "" : ` WHERE ${conditions.map((one) => `(${one})`).join(" AND ")}`
    return this.used(scopes, inner, `FROM ${from}${where}`)
  }

  /** A condition on what is selected from there. */
  private used(
    scopes: ReadonlyArray<ReadonlyArray<Named>>,
    inner: ReadonlyArray<ReadonlyArray<Named>>,
    rest: string
  ): string {
    const { random } = this
    const outside = this.references(scopes)
    const inside = this.references(inner)
    const pairs = Array.from({ length: random.chance(0.3) ? 2 : 1 }, () => this.pair(outside, inside)).filter(
      (pair) => pair !== undefined
    )
    const [first] = pairs
    if (first === undefined || random.chance(0.25))
      return `${random.pick(["", "NOT "])}EXISTS (SELECT ${random.pick(["1", "*", "", "NULL"])} ${rest})`
    if (random.chance(0.15)) {
      const operator = random.pick(["=", "<>"])
      return `${first[0].sql} ${operator} (SELECT ${random.chance(0.7) ? "DISTINCT " : ""}${first[1].sql} ${rest})`
    }
    const left = pairs.map(([a]) => this.compared(a, scopes))
    const right = pairs.map(([, b]) => this.compared(b, inner))
    const operator = random.pick(["IN", "IN", "NOT IN", "= ANY", "<> ALL"])
    const row = left.length === 1 ? left.join("") : `(${left.join(", ")})`
    return `${row} ${operator} (SELECT ${random.pick(["", "", "DISTINCT "])}${right.join(", ")} ${rest})`
  }

  /** A value that is compared with others: at times that of another sub-select, which has one row at most. */
  private compared(reference: Reference, scopes: ReadonlyArray<ReadonlyArray<Named>>): string {
    const { random } = this
    const table = random.pick(this.tables)
    const same = table.columns.filter(({ family }) => family === reference.column.family)
    const [key] = table.columns
    if (key === undefined || same.length === 0 || !random.chance(0.12)) return this.expression(reference)
    const alias = `v${++this.aliases + 3}`
    // A name alone might be one of its own columns.
    const numbers = this.references(scopes).filter(
      ({ column, sql }) => column.family === "number" && sql.includes(".")
    )
    const by = random.chance(0.3) || numbers.length === 0 ? String(random.below(4)) : random.pick(numbers).sql
    return `(SELECT ${alias}.${random.pick(same).name} FROM ${table.name} ${alias} WHERE ${alias}.${key.name} = ${by})`
  }

  private expression({ column, sql }: Reference): string {
    const { random } = this
    if (random.chance(0.8)) return sql
    if (column.family === "number")
      return random.pick([`${sql} + 1`, `coalesce(${sql}, 0)`, `${sql}::numeric`])
    if (column.family === "text")
      return random.pick([`lower(${sql})`, `${sql}::text`, `coalesce(${sql}, 'a')`])
    return `coalesce(${sql}, ${sql})`
  }
}

const noTable: TableOf = { name: "t0", columns: [] }

const qualify = ({ column }: Reference, { alias }: Named): string => `${alias}.${column.name}`
