import type { Random } from "../Random.ts"

/** Literals of one type, as its input function takes them. */
type Literal = (random: Random) => string

const digits = (r: Random, n: number) => Array.from({ length: n }, () => r.int(0, 9)).join("")
const hex = (r: Random, n: number) => Array.from({ length: n }, () => r.int(0, 15).toString(16)).join("")
const two = (n: number) => String(n).padStart(2, "0")
const date = (r: Random) => `${r.int(1900, 2100)}-${two(r.int(1, 12))}-${two(r.int(1, 28))}`
const time = (r: Random) => `${two(r.int(0, 23))}:${two(r.int(0, 59))}:${two(r.int(0, 59))}.${digits(r, 6)}`
const timestamp = (r: Random) => `${date(r)} ${time(r)}`
const zone = (r: Random) => `${r.pick(["+", "-"])}${two(r.int(0, 12))}:${r.pick(["00", "30"])}`
const oneOf =
  (...values: ReadonlyArray<string>): Literal =>
  (r) =>
    r.pick(values)
const number = (r: Random) => String(r.int(-1000, 1000) / r.pick([1, 2, 8]))
const point = (r: Random) => `(${number(r)},${number(r)})`
const float = (r: Random) =>
  r.pick([number(r), "NaN", "Infinity", "-Infinity", "-0", "1e-30", String(r.next()), "1.1"])
const words = (r: Random) =>
  Array.from({ length: r.int(0, 6) }, () =>
    r.pick([
      "a",
      "b/c",
      'q"q',
      "zażółć",
      "🙂",
      "back\\slash",
      "it's",
      "NULL",
      "",
      "{x}",
      "line\nbreak",
      "\ttab",
      "\u0001",
      "%"
    ])
  ).join(r.pick([" ", "", ","]))
const json = (r: Random): string =>
  JSON.stringify({ a: r.int(0, 9), "b c": [words(r), null, r.chance(0.5)], 'q"': { deep: r.next() } })
const range = (value: Literal, compare: (a: string, b: string) => number) => (r: Random) => {
  const [from, to] = [value(r), value(r)].toSorted(compare)
  return r.pick(["empty", `[${from},${to}]`, `(,${to})`, `[${from},)`])
}
const numeric = (a: string, b: string) => Number(a) - Number(b)
const lexical = (a: string, b: string) => (a < b ? -1 : 1)
const quoted = (literal: Literal) => (r: Random) => `"${literal(r)}"`
const multirange = (value: Literal, compare: (a: string, b: string) => number) => (r: Random) => {
  const [a, b, c, d] = [value(r), value(r), value(r), value(r)].toSorted(compare)
  return r.pick(["{}", `{[${a},${b}]}`, `{[${a},${b}],(${c},${d})}`])
}
const int4: Literal = (r) => String(r.pick([r.int(-2147483648, 2147483647), 0, 2147483647]))
const int8: Literal = (r) => r.pick([digits(r, 18), `-${digits(r, 17)}`, "9223372036854775807"])
const decimal: Literal = (r) =>
  r.pick([`${digits(r, r.int(1, 30))}.${digits(r, r.int(1, 20))}`, "0.10", "-1.50"])
const plainRange: Literal = (r) => String(r.int(-1000, 1000))

/** Every base and range type of Postgres's catalogue that has an input function, with values for it. */
export const literals: Readonly<Record<string, Literal>> = {
  bool: oneOf("t", "f"),
  bytea: (r) => `\\x${hex(r, 2 * r.int(0, 40))}`,
  char: oneOf("x", "", "7"),
  name: (r) => `n${digits(r, 5)} "q"`,
  int8,
  int2: (r) => String(r.int(-32768, 32767)),
  int2vector: oneOf("1 2 3", "", "-4"),
  int4,
  regproc: oneOf("now", "pg_sleep"),
  text: words,
  oid: (r) => String(r.int(0, 4294967295)),
  tid: (r) => `(${r.int(0, 100)},${r.int(1, 100)})`,
  xid: (r) => String(r.int(0, 4294967295)),
  cid: (r) => String(r.int(0, 4294967295)),
  oidvector: oneOf("1 2", "", "4294967295"),
  json: (r) => r.pick([json(r), '{"b":  1, "a":2,"b":3}', "null", '"x"', "[1, 2]"]),
  xml: (r) => `<a b="${r.int(0, 9)}">${r.pick(["x", "&lt;", "ü"])}</a>`,
  point,
  lseg: (r) => `[${point(r)},${point(r)}]`,
  path: (r) => r.pick([`[${point(r)},${point(r)}]`, `(${point(r)},${point(r)},${point(r)})`]),
  box: (r) => `${point(r)},${point(r)}`,
  polygon: (r) => `(${point(r)},${point(r)},${point(r)})`,
  line: (r) => `{1,${number(r)},${number(r)}}`,
  float4: float,
  float8: float,
  circle: (r) => `<${point(r)},${r.int(0, 9)}>`,
  money: (r) => `${r.int(-10000, 10000)}.${digits(r, 2)}`,
  macaddr: (r) => (hex(r, 12).match(/../g) ?? []).join(":"),
  inet: (r) => r.pick([`10.${r.int(0, 255)}.0.1`, `192.168.${r.int(0, 255)}.7/24`, "::1", "2001:db8::/32"]),
  cidr: (r) => r.pick([`10.${r.int(0, 255)}.0.0/16`, "2001:db8::/32", "192.168.1.5"]),
  macaddr8: (r) => (hex(r, 16).match(/../g) ?? []).join(":"),
  aclitem: oneOf("postgres=r/postgres", "=X/postgres"),
  bpchar: oneOf("ab  ", "", " x"),
  varchar: words,
  date: (r) => r.pick([date(r), "infinity", "-infinity", "0044-03-15 BC"]),
  time,
  timestamp: (r) => r.pick([timestamp(r), "infinity", "2026-01-02 03:04:05"]),
  timestamptz: (r) => r.pick([`${timestamp(r)}${zone(r)}`, "-infinity"]),
  interval: (r) =>
    r.pick([
      `${r.int(-9, 9)} years ${r.int(-20, 20)} mons ${r.int(-40, 40)} days ${time(r)}`,
      "0",
      "-00:00:01.5"
    ]),
  timetz: (r) => `${time(r)}${zone(r)}`,
  bit: oneOf("0", "1"),
  varbit: (r) => Array.from({ length: r.int(0, 20) }, () => r.int(0, 1)).join(""),
  numeric: (r) => r.pick([decimal(r), "NaN", "Infinity", "-Infinity", "1e20"]),
  refcursor: oneOf("portal 1", ""),
  regprocedure: oneOf("sum(integer)", "abs(bigint)"),
  regoper: oneOf("||/", "|/"),
  regoperator: oneOf("+(integer,integer)", "||(text,text)"),
  regclass: oneOf("pg_class", "pg_type"),
  regcollation: oneOf('"C"', '"POSIX"'),
  regtype: oneOf("integer", "timestamp with time zone", "text[]"),
  regrole: oneOf("postgres", "pg_monitor"),
  regnamespace: oneOf("pg_catalog", "public"),
  regdatabase: oneOf("postgres", "template1"),
  uuid: (r) => hex(r, 32),
  pg_lsn: (r) => `${hex(r, 3)}/${hex(r, 8)}`,
  tsvector: oneOf("'fat':2A 'cat':1", "'q''q'", ""),
  tsquery: oneOf("'fat' & !'cat'", "'a' <-> 'b':*"),
  regconfig: oneOf("english", "simple"),
  regdictionary: oneOf("simple", "english_stem"),
  jsonb: (r) => r.pick([json(r), '{"b":  1, "a":2,"b":3}', "null", "1.50"]),
  jsonpath: oneOf("$.a[*]", '$."b c" ? (@ > 1)'),
  txid_snapshot: oneOf("10:20:10,14,15", "10:10:"),
  pg_snapshot: oneOf("10:20:10,14,15", "10:10:"),
  xid8: (r) => `1${digits(r, 14)}`,
  int4range: range(plainRange, numeric),
  numrange: range(decimal, numeric),
  tsrange: range(quoted(timestamp), lexical),
  tstzrange: range(
    quoted((r) => `${timestamp(r)}+00`),
    lexical
  ),
  daterange: range(date, lexical),
  int8range: range(plainRange, numeric),
  int4multirange: multirange(plainRange, numeric),
  nummultirange: multirange(plainRange, numeric),
  tsmultirange: multirange(quoted(timestamp), lexical),
  tstzmultirange: multirange(
    quoted((r) => `${timestamp(r)}+00`),
    lexical
  ),
  datemultirange: multirange(date, lexical),
  int8multirange: multirange(plainRange, numeric)
}

/** Types that no column of a user can hold a value of: the catalogue uses them for itself, or input is refused. */
export const typesWithoutInput: ReadonlyArray<string> = [
  "gtsvector",
  "pg_brin_bloom_summary",
  "pg_brin_minmax_multi_summary",
  "pg_dependencies",
  "pg_mcv_list",
  "pg_ndistinct",
  "pg_node_tree"
]

/** Types of our own: an enum, domains, and composites. Quotes, blanks and commas in their values are the point. */
export const ownTypes = `
  CREATE TYPE mood AS ENUM ('ok', 'so so', 'it''s "great"');
  CREATE DOMAIN score AS int CHECK (value < 1000);
  CREATE DOMAIN flag AS bool;
  CREATE TYPE pair AS (a numeric, b text);
  CREATE TYPE nested AS (p pair, m mood[])`

const ownLiterals: Readonly<Record<string, Literal>> = {
  mood: oneOf("ok", "so so", `it's "great"`),
  score: (r) => String(r.int(-999, 999)),
  flag: oneOf("t", "f"),
  pair: oneOf('(1.50,"a ""b""")', "(,)", '(NaN,"x,y")'),
  nested: oneOf('("(1,x)","{ok,""so so""}")', "(,)")
}

/** A column that a workload writes: its type as SQL, and literals for it. */
export interface TypedColumn {
  readonly name: string
  readonly type: string
  readonly literal: Literal
}

const sqlType = (type: string) => `"${type}"`

const scalarColumns: ReadonlyArray<TypedColumn> = [
  ...Object.entries(literals).map(([type, literal]) => ({ name: `c_${type}`, type: sqlType(type), literal })),
  ...Object.entries(ownLiterals).map(([type, literal]) => ({ name: `c_${type}`, type, literal })),
  { name: "c_char5", type: "char(5)", literal: oneOf("ab", "", "abcde") },
  { name: "c_varchar9", type: "varchar(9)", literal: oneOf("ab  ", "", "zażółć") },
  { name: "c_numeric10_2", type: "numeric(10,2)", literal: (r: Random) => `${r.int(-99999, 99999)}.5` },
  { name: "c_time3", type: "time(3)", literal: time },
  { name: "c_bit3", type: "bit(3)", literal: oneOf("101", "000") },
  { name: "c_interval2", type: "interval day to second(2)", literal: oneOf("1 day 02:03:04.567", "-1 day") }
]

const arrayLiteral =
  (literal: Literal): Literal =>
  (r) => {
    const element = () =>
      r.chance(0.2) ? "NULL" : `"${literal(r).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`
    const list = (n: number) => `{${Array.from({ length: n }, element).join(",")}}`
    return r.pick([
      () => "{}",
      () => list(r.int(1, 4)),
      () => `{${list(2)},${list(2)}}`,
      () => `[0:1]=${list(2)}`
    ])()
  }

/** One column of each type. */
export const everyType: ReadonlyArray<TypedColumn> = scalarColumns

/** One array column of each type that has arrays; `box` separates its elements with semicolons and goes without. */
export const everyArray: ReadonlyArray<TypedColumn> = scalarColumns
  .filter(({ name }) => name !== "c_box")
  .map(({ name, type, literal }) => ({
    name: `${name}_array`,
    type: `${type}[]`,
    literal: arrayLiteral(literal)
  }))

/** A literal for the column, NULL one time in eight. */
export const valueFor = (random: Random, column: TypedColumn): string | null =>
  random.chance(0.125) ? null : column.literal(random)
