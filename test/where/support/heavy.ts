import type { TableInfo } from "../../../src/postgres/catalogue/TableInfo.ts"
import { isSmall } from "../../../src/where/aside/IsSmall.ts"
import { compileQuickly, compileWhere, type CompiledWhere } from "../../../src/where/CompileWhere.ts"
import type { TypeCatalogue } from "../../../src/where/catalogue/TypeCatalogue.ts"
import { evaluate, makeRunnable, type ClauseColumn } from "../../../src/where/evaluate/RunnableClause.ts"
import type { Tuple } from "../../../src/postgres/Tuple.ts"
import { tupleOf } from "../../../testing/TupleOf.ts"
import { Result } from "effect"
import { Random } from "./random.ts"

export const heavyTable = `CREATE TABLE heavy (id int PRIMARY KEY, title text, other text, n numeric, f float8, doc jsonb, raw json,
  tags text[], numbers int[], at timestamptz, span interval, period int4range, data bytea, fixed char(20))`

const list = (count: number, one: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => one(i)).join(",")

/** Rows as the stream carries them: an ordinary one, long texts, large documents, everything NULL; `scale` is their size. */
export const heavyRows = (random: Random, scale = 1): ReadonlyArray<Tuple> => {
  const letters = (count: number, from: string): string => {
    let text = ""
    for (let i = 0; i < count; i++) text += from[random.below(from.length)] ?? ""
    return text
  }
  const rest = ["2024-05-06 07:08:09.123+00", "P1Y2M3DT4H5M6S", "[1,5)", "\\x00ff10", "fixed               "]
  return [
    tupleOf([
      "1",
      "an ordinary title",
      "x",
      "12.50",
      "1.5",
      '{"a": {"b": [1, 2, "x"]}, "c": null}',
      '{"a":[1,{"b":2}]}',
      "{a,b,c}",
      "{1,2,3}",
      ...rest
    ]),
    tupleOf([
      "2",
      letters(200_000 * scale, "ab"),
      letters(1000, "ab"),
      "9".repeat(300),
      "1e300",
      `[${list(20_000 * scale, String)}]`,
      `[${list(20_000 * scale, String)}]`,
      `{${list(20_000 * scale, (i) => `t${i}`)}}`,
      `{${list(20_000 * scale, String)}}`,
      ...rest
    ]),
    tupleOf([
      "3",
      "a".repeat(1_000_000 * scale),
      "é😀".repeat(50_000 * scale),
      `0.${"1".repeat(15_000)}`,
      "NaN",
      `{${list(5000 * scale, (i) => `"k${i}": {"v": [${i}, "${i}"]}`)}}`,
      `{"a":${"[".repeat(1000)}${"]".repeat(1000)}}`,
      `{${list(2000 * scale, () => '"\\\\ \\" x"')}}`,
      "{}",
      ...rest
    ]),
    tupleOf(["4", ...Array.from({ length: 13 }, () => null)])
  ]
}

/** Makes clauses out of what loops and grows. */
export class HeavyGenerator {
  private readonly random: Random
  /** Parameters of the clause at hand. */
  params: Record<string, string> = {}
  constructor(random: Random) {
    this.random = random
  }

  clause(): string {
    this.params = {}
    const { random } = this
    const form = random.below(10)
    if (form === 0) {
      const part = this.bool(2)
      return Array.from({ length: 1 + random.below(40) }, () => part).join(random.pick([" OR ", " AND "]))
    }
    if (form === 1) {
      const part = this.text(1)
      return `${Array.from({ length: 1 + random.below(60) }, () => part).join(" || ")} = 'x'`
    }
    if (form === 2) {
      const wrap = random.pick(["lower", "upper", "reverse", "trim", "md5", "initcap"])
      const depth = 1 + random.below(60)
      return `${`${wrap}(`.repeat(depth)}${this.text(2)}${")".repeat(depth)} = 'x'`
    }
    return this.bool(1 + random.below(4))
  }

  private parameter(text: string): string {
    const number = Object.keys(this.params).length + 1
    this.params[String(number)] = text
    return `$${number}`
  }

  private count(): string {
    return this.random.pick([
      "0",
      "1",
      "2",
      "7",
      "100",
      "5000",
      "100000",
      "1000000",
      "20000000",
      "66000000",
      "2147483647",
      "-1",
      "id",
      "length(title)"
    ])
  }

  private literal(text: string): string {
    return `'${text.replaceAll("'", "''")}'`
  }

  private longText(): string {
    const { random } = this
    const length = random.pick([0, 1, 3, 50, 1000, 20_000])
    const unit = random.pick(["a", "ab", "x", "é", "😀", " ", "%", "_a", "9", "b".concat("a".repeat(300))])
    const text = unit.repeat(Math.ceil(length / unit.length))
    return text.length > 2000 || random.chance(0.3) ? `${this.parameter(text)}::text` : this.literal(text)
  }

  private pattern(): string {
    const { random } = this
    const piece = (depth: number): string => {
      if (depth <= 0)
        return random.pick([
          "a",
          "b",
          ".",
          "[ab]",
          "[^x]",
          "(a|b)",
          "\\w",
          "\\d",
          "x",
          "é",
          "[a-zA-Z0-9_]",
          "",
          "()"
        ])
      const inner = Array.from({ length: 1 + random.below(3) }, () =>
        piece(depth - 1 - random.below(2))
      ).join("")
      return random.pick([
        inner,
        `(${inner}|${piece(depth - 1)})`,
        `(${inner})*`,
        `(${inner})+`,
        `(${inner}){${random.pick(["2", "20", "200", "255", "1,200", "0,255", "3,"])}}`,
        `(${inner})?`,
        `(a|b)*a(${inner})`
      ])
    }
    return random.pick(["", "^"]) + piece(1 + random.below(4)) + random.pick(["", "$", "c"])
  }

  text(depth: number): string {
    const { random } = this
    if (depth <= 0)
      return random.pick([
        "title",
        "title",
        "other",
        "title || other",
        this.longText(),
        "fixed",
        "n::text",
        "doc::text",
        "raw::text",
        "tags::text",
        "numbers::text",
        "data::text"
      ])
    const t = () => this.text(depth - 1)
    const c = () => this.count()
    return random.pick([
      () => `lpad(${t()}, ${c()}, ${t()})`,
      () => `rpad(${t()}, ${c()}, ${t()})`,
      () => `repeat(${t()}, ${c()})`,
      () => `reverse(${t()})`,
      () => `translate(${t()}, ${t()}, ${t()})`,
      () => `replace(${t()}, ${t()}, ${t()})`,
      () => `split_part(${t()}, ${t()}, ${c()})`,
      () => `(${t()} || ${t()})`,
      () => `substr(${t()}, ${c()}, ${c()})`,
      () => `${random.pick(["lower", "upper", "initcap", "md5", "btrim", "ltrim", "rtrim"])}(${t()})`,
      () => `btrim(${t()}, ${t()})`,
      () => `${random.pick(["left", "right"])}(${t()}, ${c()})`,
      () => `array_to_string(${this.array(depth - 1)}, ${t()})`,
      () => `(${this.array(depth - 1)})::text`,
      () => `(${this.numeric(depth - 1)})::text`,
      () => `(${this.json(depth - 1)})::text`,
      () => `(${this.json(depth - 1)} ->> ${random.pick(["0", "'a'", "'k77'"])})`,
      () => `(${t()})::varchar(${random.pick(["1", "1000", "10485760"])})`,
      () => `(${t()})::char(${random.pick(["1", "1000", "10485760"])})::text`,
      () => `concat(${t()}, ${this.numeric(0)}, ${t()})`,
      () => `concat_ws(${t()}, ${t()}, ${t()})`,
      () => `CASE WHEN ${this.bool(depth - 1)} THEN ${t()} ELSE ${t()} END`,
      () => `coalesce(${t()}, ${t()})`,
      () => `nullif(${t()}, ${t()})`,
      () => `greatest(${t()} COLLATE "C", ${t()})`
    ])()
  }

  numeric(depth: number): string {
    const { random } = this
    if (depth <= 0)
      return random.pick([
        "n",
        "id",
        "1e16000",
        "0.000001",
        "9".repeat(random.pick([1, 30, 900])),
        "n * n",
        "(f)::numeric"
      ])
    const n = () => this.numeric(depth - 1)
    return random.pick([
      () => `(${n()} ${random.pick(["+", "-", "*", "/", "%"])} ${n()})`,
      () =>
        Array.from({ length: 1 + random.below(60) }, n)
          .join(random.pick([" * ", " + "]))
          .replace(/^(.*)$/, "($1)"),
      () => `round(${n()}, ${random.pick(["0", "2000", "-2000", "id"])})`,
      () => `trunc(${n()}, ${random.pick(["0", "2000", "-2000", "id"])})`,
      () => `abs(${n()})`,
      () => `(${this.text(depth - 1)})::numeric`,
      () => `length(${this.text(depth - 1)})`,
      () => `${random.pick(["octet_length", "char_length"])}(${this.text(depth - 1)})`,
      () => `strpos(${this.text(depth - 1)}, ${this.text(depth - 1)})`,
      () => `array_length(${this.array(depth - 1)}, 1)`,
      () => `cardinality(${this.array(depth - 1)})`,
      () => `(${n()})::numeric(1000, 500)`,
      () => `factorial(${this.count()})`,
      () => `power(${n()}, ${n()})`
    ])()
  }

  array(depth: number): string {
    const { random } = this
    if (depth <= 0)
      return random.pick([
        () => "tags",
        () => "tags",
        () => "numbers::text[]",
        () =>
          `${this.parameter(`{${Array.from({ length: random.pick([1, 100, 20_000]) }, (_, i) => `t${i}`).join(",")}}`)}::text[]`,
        () => "ARRAY[title, other]"
      ])()
    const a = () => this.array(depth - 1)
    return random.pick([
      () => `(${a()} || ${a()})`,
      () => `array_append(${a()}, ${this.text(depth - 1)})`,
      () => `array_prepend(${this.text(depth - 1)}, ${a()})`,
      () => `array_remove(${a()}, ${this.text(depth - 1)})`,
      () =>
        `string_to_array(${this.text(depth - 1)}, ${random.pick(["NULL", "'a'", "''", this.text(depth - 1)])})`,
      () => `(${a()})[1:${this.count()}]`,
      () => `(${this.text(depth - 1)})::text[]`,
      () => `ARRAY[${Array.from({ length: 1 + random.below(10) }, () => this.text(depth - 1)).join(", ")}]`
    ])()
  }

  json(depth: number): string {
    const { random } = this
    if (depth <= 0)
      return random.pick([
        () => "doc",
        () => "doc",
        () => "raw",
        () => `${this.parameter("[".repeat(1500) + "]".repeat(1500))}::jsonb`,
        () => `${this.parameter(`[${"1,".repeat(20_000)}1]`)}::jsonb`
      ])()
    const steps = Array.from({ length: 1 + random.below(20) }, () =>
      random.pick(["-> 0", "-> 'a'", "-> -1", "#> '{a,b,0}'"])
    )
    return random.pick([
      () => `(${this.json(depth - 1)} ${steps.join(" ")})`,
      () => `(${this.text(depth - 1)})::jsonb`,
      () => `(${this.text(depth - 1)})::json`
    ])()
  }

  bool(depth: number): string {
    const { random } = this
    const t = () => this.text(depth - 1)
    if (depth <= 0) return random.pick(["title = 'x'", "id > 1", "doc IS NULL"])
    return random.pick([
      () => `${t()} ${random.pick(["=", "<>", "<", ">="])} ${t()}`,
      () =>
        `${t()} ${random.pick(["LIKE", "NOT LIKE", "ILIKE"])} ${random.chance(0.5) ? t() : this.literal("%a_b%".repeat(1 + random.below(50)))}`,
      () =>
        `${t()} ${random.pick(["~", "~*", "!~"])} ${random.chance(0.2) ? t() : this.literal(this.pattern())}`,
      () => `${t()} SIMILAR TO ${random.chance(0.3) ? t() : this.literal("(a|b)*%_{3,200}")}`,
      () => `starts_with(${t()}, ${t()})`,
      () => `${t()} = ANY (${this.array(depth - 1)})`,
      () => `${this.array(depth - 1)} ${random.pick(["@>", "&&", "<@", "=", "<"])} ${this.array(depth - 1)}`,
      () => `${this.numeric(depth - 1)} ${random.pick(["=", "<", ">"])} ${this.numeric(depth - 1)}`,
      () =>
        `${this.numeric(depth - 1)} IN (${Array.from({ length: 1 + random.below(200) }, (_, i) => i).join(", ")})`,
      () => `${this.json(depth - 1)} @> ${this.json(depth - 1)}`,
      () => `${this.json(depth - 1)} ? ${this.literal("a")}`,
      () => `${this.json(depth - 1)} = ${this.json(depth - 1)}`,
      () => `(${t()}, ${this.numeric(depth - 1)}) < (${t()}, ${this.numeric(depth - 1)})`,
      () => `${this.array(depth - 1)}[${this.count()}] IS NULL`,
      () => `(at AT TIME ZONE ${random.chance(0.5) ? "'Europe/Berlin'" : t()})::date > '2024-01-01'`,
      () => `span * ${this.numeric(0)}::float8 > interval '1 day'`,
      () =>
        `(${t()})::${random.pick(["int", "date", "interval", "uuid", "timestamptz", "int4range", "inet", "float8", "bool", "bytea"])} IS NOT NULL`,
      () => `date_trunc(${t()}, at) > '2020-01-01'`,
      () => `NOT (${this.bool(depth - 1)})`,
      () => `(${this.bool(depth - 1)}) ${random.pick(["AND", "OR"])} (${this.bool(depth - 1)})`
    ])()
  }
}

export interface HeavyOutcome {
  readonly refused: string | undefined
  readonly classification: string | undefined
  readonly verdicts: ReadonlyArray<string>
  /** Processor time of checking the clause: here, on what is the event loop of a service, and aside in a thread. */
  readonly hereMillis: number
  readonly asideMillis: number
  /** Of making it runnable, or of the costliest row. */
  readonly rowMillis: number
  readonly compiled: CompiledWhere | undefined
}

const timed = <A>(run: () => A): readonly [A, number] => {
  const before = process.threadCpuUsage()
  const value = run()
  const { user, system } = process.threadCpuUsage(before)
  return [value, (user + system) / 1000]
}

/** Checks a clause as `CompileAside` does, evaluates it on some rows, and says what it took. */
export const tryHeavy = (
  on: {
    readonly table: TableInfo
    readonly columns: ReadonlyArray<ClauseColumn>
    readonly catalogue: TypeCatalogue
  },
  rows: ReadonlyArray<Tuple>,
  sql: string,
  params: Readonly<Record<string, string>>
): HeavyOutcome => {
  const request = { sql, params, table: on.table, catalogue: on.catalogue }
  const [quick, hereMillis] = timed(() => (isSmall(request) ? compileQuickly(request) : undefined))
  const [result, asideMillis] = quick === undefined ? timed(() => compileWhere(request)) : [quick, 0]
  if (Result.isFailure(result))
    return {
      refused: result.failure.message,
      classification: undefined,
      verdicts: [],
      hereMillis,
      asideMillis,
      rowMillis: 0,
      compiled: undefined
    }
  const [runnable, bindMillis] = timed(() => makeRunnable(result.success, on.columns))
  let rowMillis = bindMillis
  const verdicts: Array<string> = []
  for (const row of rows) {
    const [verdict, millis] = timed(() => evaluate(runnable, row))
    verdicts.push(verdict.kind)
    rowMillis = Math.max(rowMillis, millis)
  }
  return {
    refused: undefined,
    classification: result.success.classification,
    verdicts,
    hereMillis,
    asideMillis,
    rowMillis,
    compiled: result.success
  }
}
