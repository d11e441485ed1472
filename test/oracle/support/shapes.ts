import type { Random } from "../../../testing/Random.ts"
import { oracleTables, quoted, type OracleTable } from "./tables.ts"

/** How a clause is matched, as its author means it. */
export type ClauseClass = "indexed" | "evaluated" | "postgres"

/** A shape of the oracle: the very same clause text and parameters go to the service and into SQL. */
export interface OracleShape {
  readonly table: OracleTable
  readonly where: string | undefined
  readonly params: ReadonlyArray<string>
  /** The costliest class among its parts; without a clause, none. */
  readonly class: ClauseClass | "whole"
  /** Selected columns; undefined for all. */
  readonly columns: ReadonlyArray<string> | undefined
  readonly replica: "default" | "full"
}

/** Puts a constant into the clause: as a literal, or as a parameter. */
type Constant = (value: string) => string
type Atom = (random: Random, constant: Constant) => string

const any =
  (...texts: ReadonlyArray<string>): Atom =>
  (random) =>
    random.pick(texts)

const compare =
  (operand: string, values: ReadonlyArray<string>, operators: ReadonlyArray<string> = ["="]): Atom =>
  (random, constant) =>
    `${operand} ${random.pick(operators)} ${constant(random.pick(values))}`

const orders = ["<", "<=", ">", ">="]
const statuses = ["draft", "open", "shipped", "cancelled"]
const uid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"

const atoms: Readonly<Record<string, Readonly<Record<ClauseClass, ReadonlyArray<Atom>>>>> = {
  items: {
    indexed: [
      compare("tenant", ["1", "2", "3", "4"]),
      compare("status", statuses),
      compare("id", ["20", "60", "90"], orders),
      compare("price", ["10", "0.3", "19.99"], ["=", ...orders]),
      compare("rating", ["2.5", "NaN", "0"], ["=", ...orders]),
      compare("due", ["2020-01-01", "2024-02-29", "infinity"], ["=", ...orders]),
      compare("tags", ["{red}", "{red,blue}"], ["@>"]),
      any("status IS NULL", "due IS NULL", "done", "NOT done", "tenant IN (1, 3)", "'red' = ANY(tags)"),
      (random, constant) => `tenant = ANY(${constant(random.pick(["{1,2}", "{4}", "{}"]))})`,
      (random, constant) => `id BETWEEN ${constant("10")} AND ${constant(random.pick(["40", "80"]))}`
    ],
    evaluated: [
      compare("title", ["%hello%", "a\\%c", "%o\\_%"], ["LIKE", "ILIKE", "NOT LIKE", "NOT ILIKE"]),
      compare("body", ["urgent%", "%zz%"], ["LIKE"]),
      compare("status", statuses, ["<>", "IS DISTINCT FROM"]),
      any(
        "n % 2 = 1",
        "id % 3 = 0",
        "price * n > 25",
        "length(body) > 4000",
        "lower(title) = 'hello'",
        "coalesce(title, '') = ''",
        "meta ->> 'plan' = 'pro'",
        'meta @> \'{"plan": "pro"}\'',
        "meta ? 'seats'",
        "(meta ->> 'seats')::int > 4",
        "title ~* '^h'",
        "extract(year from created) = 2024",
        "date_trunc('month', created) = '2024-03-01'",
        "created AT TIME ZONE 'Europe/Berlin' >= '2024-03-31 03:00'",
        "CASE WHEN done THEN price > 5 ELSE n = 0 END",
        "CASE WHEN n <> 0 THEN 10 / n > 1 ELSE false END",
        "cardinality(tags) = 0",
        "done IS NOT TRUE",
        "(tenant, id) > (2, 50)",
        "body IS NOT NULL AND tenant <> 2"
      )
    ],
    postgres: [
      any(
        "to_tsvector('english', title) @@ to_tsquery('english', 'hello')",
        "to_tsvector('simple', body) @@ to_tsquery('simple', 'urgent')",
        "jsonb_path_exists(meta, '$.seats ? (@ > 3)')",
        "shout(title) = 'HELLO!'",
        "power(id, 2) > 2500",
        "regexp_replace(title, '[aeiou]', '', 'g') = 'Hll Wrld'"
      )
    ]
  },
  events: {
    indexed: [
      compare("region", ["eu", "us", "a/b"]),
      compare("kind", ["click", "view"]),
      compare("seq", ["10", "25"], orders),
      compare("amount", ["5", "0", "9007199254740993"], ["=", ...orders]),
      compare("uid", [uid, uid.toUpperCase()]),
      compare("code", ["AB", "A ", ""]),
      any("uid IS NULL", "note IS NULL", "region IN ('eu', 'us')", "at > '2024-01-31'")
    ],
    evaluated: [
      compare("kind", ["c_ick", "%I%", "click"], ["LIKE", "ILIKE", "NOT LIKE"]),
      compare("note", ["later%", "%größe%"], ["LIKE", "NOT LIKE"]),
      any(
        "at + interval '1 month' > '2024-02-29'",
        "payload ->> 'a' = '1'",
        "json_typeof(payload) = 'array'",
        "amount % 5 = 0",
        "uid IS DISTINCT FROM '00000000-0000-0000-0000-000000000001'",
        "length(code) = 2",
        "region || '-' || seq = 'eu-7'",
        "left(kind, 1) = 'c'",
        "substring(note from 1 for 5) = 'short'",
        "(region, seq) IN (('eu', 1), ('us', 2), ('a/b', 3))"
      )
    ],
    postgres: [
      any(
        "power(seq, 2) > 400",
        "to_tsvector('simple', note) @@ to_tsquery('simple', 'later')",
        "regexp_replace(kind, '[aeiou]', '', 'g') = 'clck'",
        "shout(kind) = 'CLICK!'"
      )
    ]
  },
  '"My Notes"': {
    indexed: [
      compare('"Author"', ["ann", "Bob", "o'neil", ""]),
      compare("level", ["1", "2", "0"], ["=", ...orders]),
      compare("numbers", ["{1}", "{5}"], ["@>", "&&"]),
      any('"Author" IS NULL', "level IN (1, 2)", "ip = '10.0.0.5'", "2 = ANY(numbers)")
    ],
    evaluated: [
      compare("body", ["urgent%", "%\\%%"], ["LIKE", "NOT LIKE"]),
      compare("span", ["1 day", "00:00:01.5"], ["=", ...orders]),
      any(
        "ip << '10.0.0.0/8'",
        "period @> '2020-01-15'::date",
        "period && '[2020-01-15,2024-06-01)'::daterange",
        "numbers[1] = 1",
        "array_length(numbers, 1) = 2",
        "opens > '12:00'",
        "abs(level) = 3",
        "starts_with(\"Author\", 'o')",
        "length(body) > 5000 AND level > 0"
      )
    ],
    postgres: [
      any(
        "(period * '[2020-01-01,2020-01-20)'::daterange) @> '2020-01-05'::date",
        "power(level, 2) > 3",
        "shout(\"Author\") = 'ANN!'",
        "to_tsvector('simple', body) @@ to_tsquery('simple', 'urgent')"
      )
    ]
  }
}

const literal = (value: string): string => `'${value.replaceAll("'", "''")}'`
const costs: ReadonlyArray<ClauseClass> = ["indexed", "evaluated", "postgres"]

/** A random shape, the `n`th. Of each twenty the first has no clause, and the next three are one of each class. */
export const randomShape = (random: Random, n: number): OracleShape => {
  const nth = n % 20
  const table = random.pick(oracleTables)
  const params: Array<string> = []
  const withParams = random.chance(0.4)
  const constant: Constant = (value) => {
    if (!withParams || random.chance(0.3)) return literal(value)
    params.push(value)
    return `$${params.length}`
  }
  let highest = 0
  const atom = (): string => {
    const cost = nth >= 1 && nth <= 3 ? nth - 1 : random.pick([0, 0, 1, 1, 2])
    highest = Math.max(highest, cost)
    const choices = atoms[table.name]?.[costs[cost] ?? "indexed"]
    if (choices === undefined) throw new Error(`No clauses for ${table.name}`)
    return random.pick(choices)(random, constant)
  }
  const forms: ReadonlyArray<() => string> = [
    atom,
    atom,
    () => `${atom()} AND ${atom()}`,
    () => `${atom()} AND ${atom()}`,
    () => `${atom()} OR ${atom()}`,
    () => `NOT (${atom()})`,
    () => `(${atom()} OR ${atom()}) AND NOT (${atom()})`,
    () => `(${atom()}) IS NOT TRUE`
  ]
  const where = nth === 0 ? undefined : random.pick(forms)()
  const keys = table.key.map(({ name }) => name)
  const some = table.columns.filter(() => random.chance(0.35)).map(({ name }) => name)
  return {
    table,
    where,
    params,
    class: where === undefined ? "whole" : (costs[highest] ?? "indexed"),
    columns: random.chance(0.4) ? [...keys, ...some] : undefined,
    replica: random.chance(0.3) ? "full" : "default"
  }
}

/** What the service is asked for. */
export const requestOf = (shape: OracleShape): Readonly<Record<string, string>> => ({
  table: shape.table.name,
  replica: shape.replica,
  ...(shape.where === undefined ? {} : { where: shape.where }),
  ...(shape.columns === undefined ? {} : { columns: shape.columns.map(quoted).join(",") }),
  ...Object.fromEntries(shape.params.map((value, i) => [`params[${i + 1}]`, value]))
})

/** The same rows, asked of Postgres. */
export const queryOf = (shape: OracleShape): { readonly text: string; readonly values: Array<string> } => ({
  text:
    `SELECT ${shape.columns?.map(quoted).join(", ") ?? "*"} FROM ${shape.table.name}` +
    (shape.where === undefined ? "" : ` WHERE ${shape.where}`),
  values: [...shape.params]
})

export const describeShape = (shape: OracleShape): string => JSON.stringify(requestOf(shape))
