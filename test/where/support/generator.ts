import type { Random } from "./random.ts"
import { columnName, edgeValues, oracleTypes, type OracleType } from "./values.ts"

const escaped = (text: string): string => text.replaceAll("'", "''")

/** Writes random well-typed SQL expressions over the table `oracle`. */
export class Generator {
  private readonly random: Random
  constructor(random: Random) {
    this.random = random
  }

  condition(depth = 3): string {
    return this.of("bool", depth)
  }

  literal(type: OracleType): string {
    const { random } = this
    if (random.chance(0.06)) return `NULL::${type}`
    const value = random.pick<string>(edgeValues[type])
    if (type.startsWith("bit") && !type.endsWith("]") && random.chance(0.6)) return `B'${value}'`
    if (random.chance(0.1)) return `${this.spelled(value)}::${type === "bpchar" ? "char(8)" : type}`
    if (random.chance(0.3)) {
      if ((type === "int4" || type === "numeric") && /^\d{1,9}(\.\d+)?$/.test(value)) return value
      if (type === "bool") return value
    }
    return `'${value.replaceAll("'", "''")}'::${type === "bpchar" ? "char(8)" : type}`
  }

  /** A string in one of the other ways to write one. */
  private spelled(value: string): string {
    return this.random.pick([
      () => `E'${escaped(value.replaceAll("\\", "\\\\"))}'`,
      () => `$q$${value}$q$`,
      () => `U&'${escaped(value.replaceAll("\\", "\\\\"))}'`,
      () =>
        `E'${Array.from(value, (character) => `\\U${character.codePointAt(0)?.toString(16).padStart(8, "0") ?? ""}`).join("")}'`
    ])()
  }

  /** A literal without a type, for places where the context gives one. */
  untyped(type: OracleType): string {
    const { random } = this
    if (random.chance(0.05)) return "NULL"
    const value = random.pick<string>(edgeValues[type])
    return random.chance(0.1) ? this.spelled(value) : `'${value.replaceAll("'", "''")}'`
  }

  column(type: OracleType): string {
    return `"${columnName(type, this.random.pick([1, 2]))}"`
  }

  leaf(type: OracleType): string {
    return this.random.chance(0.7) ? this.column(type) : this.literal(type)
  }

  of(type: OracleType, depth: number): string {
    const { random } = this
    if (depth <= 0 && type !== "bool") return this.leaf(type)
    if (depth <= -1) return this.leaf(type)
    const productions = this.productions(type, depth)
    if (productions.length === 0 || (type !== "bool" && random.chance(0.35))) return this.leaf(type)
    return random.pick(productions)()
  }

  private compared(): OracleType {
    return this.random.pick(
      oracleTypes.filter((type) => type !== "json" && type !== "posint" && type !== "pair" && type !== "bits")
    )
  }

  private productions(type: OracleType, depth: number): ReadonlyArray<() => string> {
    const { random } = this
    const d = depth - 1
    const g = (of: OracleType): string => this.of(of, d)
    const general: ReadonlyArray<() => string> = [
      () => `CASE WHEN ${g("bool")} THEN ${g(type)} ELSE ${g(type)} END`,
      () => `COALESCE(${g(type)}, ${g(type)})`
    ]
    const byType: Partial<Record<OracleType, ReadonlyArray<() => string>>> = {
      bool: this.booleans(d),
      int2: [() => `(${g("int4")})::int2`],
      int4: [
        () => `(${g("int4")} ${random.pick(["+", "-", "*", "/", "%", "&", "|", "#"])} ${g("int4")})`,
        () => `(- ${g("int4")})`,
        () => `abs(${g("int4")})`,
        () => `length(${g("text")})`,
        () => `(${g(random.pick(["int8", "numeric", "float8", "int2"]))})::int4`,
        () => `(${g("date")} - ${g("date")})`,
        () => `cardinality(${g("int4[]")})`,
        () => `array_length(${g("text[]")}, 1)`,
        () => `position(${g("text")} in ${g("text")})`,
        () => `(${g("int4[]")})[${random.below(4)}]`,
        () => `GREATEST(${g("int4")}, ${g("int4")})`,
        () => `NULLIF(${g("int4")}, ${g("int4")})`,
        () => `(${this.column("pair")}).x`,
        () => `(${g("jsonb")}->>'k')::int4`,
        () => `array_position(${g("int4[]")}, ${g("int4")})`,
        () => `${this.column("posint")}`,
        () => `(${g("bool")})::int4`,
        () => `strpos(${g("text")}, ${g("text")})`,
        () => `${random.pick(["ascii", "octet_length", "char_length"])}(${g("text")})`,
        () => `${random.pick(["masklen", "family"])}(${g("inet")})`,
        () => `jsonb_array_length(${g("jsonb")})`,
        () => `${random.pick(["array_upper", "array_lower"])}(${g("int4[]")}, ${random.pick(["1", "2"])})`,
        () => `${random.pick(["array_ndims", "cardinality"])}(${g("text[]")})`,
        () => `length(${g("bytea")})`,
        () => `length(${g("bpchar")})`,
        () => `${random.pick(["lower", "upper"])}(${g("int4range")})`,
        () => `mod(${g("int4")}, ${g("int4")})`,
        () => `COALESCE((${g("jsonb")})['k']::int4, ${g("int4")})`
      ],
      int8: [
        () => `(${g("int8")} ${random.pick(["+", "-", "*", "/", "%"])} ${g(random.pick(["int8", "int4"]))})`,
        () => `(${g(random.pick(["int4", "numeric", "float8"]))})::int8`,
        () => `abs(${g("int8")})`
      ],
      numeric: [
        () =>
          `(${g("numeric")} ${random.pick(["+", "-", "*", "/", "%"])} ${g(random.pick(["numeric", "int4"]))})`,
        () => `round(${g("numeric")}, ${random.pick(["0", "1", "2", "-1"])})`,
        () => `${random.pick(["round", "trunc", "ceil", "floor", "abs", "sign", "-"])}(${g("numeric")})`,
        () => `(${g(random.pick(["int4", "int8", "float8", "float4"]))})::numeric`,
        () => `(${g("numeric")})::numeric(${random.pick(["5,2", "10,0", "20,5"])})`,
        () =>
          `extract(${random.pick(["year", "month", "day", "hour", "minute", "second", "epoch", "dow", "doy", "isodow", "week", "quarter", "milliseconds"])} from ${g(random.pick(["timestamp", "timestamptz"]))})`,
        () => `(${g("jsonb")}->'k')::numeric`,
        () =>
          `extract(${random.pick(["year", "month", "day", "hour", "minute", "second", "epoch", "decade", "century", "millennium"])} from ${g("interval")})`,
        () =>
          `extract(${random.pick(["year", "month", "day", "week", "isoyear", "century", "decade", "epoch", "dow", "millennium", "julian"])} from ${g("date")})`,
        () =>
          `extract(${random.pick(["hour", "minute", "second", "epoch", "microseconds"])} from ${g("time")})`,
        () => `mod(${g("numeric")}, ${g("numeric")})`,
        () => `div(${g("numeric")}, ${g("numeric")})`,
        () => `(${g("text")})::numeric`
      ],
      float8: [
        () =>
          `(${g("float8")} ${random.pick(["+", "-", "*", "/"])} ${g(random.pick(["float8", "int4", "float4"]))})`,
        () => `(${g(random.pick(["int4", "numeric", "float4", "int8"]))})::float8`,
        () => `${random.pick(["round", "ceil", "floor", "abs", "trunc", "sign"])}(${g("float8")})`,
        () => `date_part('${random.pick(["year", "month", "epoch", "second"])}', ${g("timestamp")})`,
        () => `date_part('${random.pick(["year", "month", "day"])}', ${g("date")})`,
        () => `date_part('${random.pick(["hour", "second"])}', ${g("time")})`,
        () => `sqrt(${g("float8")})`,
        () => `(${g("text")})::float8`,
        () => `(${g("jsonb")} -> 'k')::float8`,
        () => `(- ${g("float8")})`
      ],
      float4: [
        () => `(${g("float4")} ${random.pick(["+", "-", "*", "/"])} ${g("float4")})`,
        () => `(${g(random.pick(["int4", "numeric", "float8"]))})::float4`
      ],
      text: this.texts(d),
      varchar: [() => `(${g("text")})::varchar`, () => `(${g("text")})::varchar(3)`],
      bpchar: [() => `(${g("text")})::char(4)`],
      date: [
        () => `(${g("date")} ${random.pick(["+", "-"])} ${g("int4")})`,
        () => `(${g(random.pick(["timestamp", "timestamptz"]))})::date`,
        () =>
          `make_date(${random.pick(["2024", "0", "-44", "2023"])}, ${random.pick(["2", "12", "13"])}, ${g("int4")})`,
        () => `lower(${g("daterange")})`
      ],
      time: [
        () => `(${g("timestamp")})::time`,
        () => `(${g("time")} ${random.pick(["+", "-"])} ${g("interval")})`
      ],
      timestamp: [
        () => `(${g("timestamp")} ${random.pick(["+", "-"])} ${g("interval")})`,
        () => `(${g("date")})::timestamp`,
        () => `(${g("date")} + ${g("time")})`,
        () => `(${g("date")} + ${g("interval")})`,
        () =>
          `date_trunc('${random.pick(["day", "month", "year", "hour", "week", "quarter", "second"])}', ${g("timestamp")})`,
        () =>
          `(${g("timestamptz")} AT TIME ZONE '${random.pick(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/St_Johns", "Asia/Kathmandu", "Africa/Monrovia", "Australia/Lord_Howe"])}')`,
        () => `(${g("timestamp")})::timestamp(${random.pick(["0", "3"])})`
      ],
      timestamptz: [
        () => `(${g("timestamptz")} ${random.pick(["+", "-"])} ${g("interval")})`,
        () => `(${g("timestamp")})::timestamptz`,
        () => `date_trunc('${random.pick(["day", "month", "hour"])}', ${g("timestamptz")})`,
        () =>
          `(${g("timestamp")} AT TIME ZONE '${random.pick(["UTC", "Europe/Berlin", "America/New_York", "Australia/Sydney", "America/St_Johns", "Africa/Monrovia"])}')`
      ],
      interval: [
        () => `(${g("interval")} ${random.pick(["+", "-"])} ${g("interval")})`,
        () => `(${g("timestamp")} - ${g("timestamp")})`,
        () => `(${g("interval")} * ${random.pick(["2", "0.5", "-1", "1.5"])})`,
        () => `(${g("interval")} / ${random.pick(["2", "3", "7"])})`,
        () => `(- ${g("interval")})`,
        () => `${random.pick(["justify_days", "justify_hours", "justify_interval"])}(${g("interval")})`,
        () => `(${g("time")} - ${g("time")})`,
        () => `(${g("time")})::interval`,
        () => `(${random.pick(["3", "0.1", "-2.5"])} * ${g("interval")})`,
        () => `make_interval(${random.below(3)}, ${random.below(30)}, secs => 1.5)`,
        () => `make_interval(days => ${random.below(50)}, hours => ${random.below(50)})`
      ],
      jsonb: [
        () => `(${g("jsonb")} -> '${random.pick(["a", "k", "tags", "b"])}')`,
        () => `(${g("jsonb")} -> ${random.pick(["0", "1", "-1"])})`,
        () => `(${g("jsonb")} #> '{a,b}')`,
        () => `(${g("json")})::jsonb`,
        () => `(${g("jsonb")})['a']`,
        () => `(${g("jsonb")})['a']['b']`
      ],
      "int4[]": [
        () => `ARRAY[${g("int4")}, ${g("int4")}]`,
        () => `(${g("int4[]")} || ${g("int4")})`,
        () => `(${g("int4[]")} || ${g("int4[]")})`,
        () => `(${g("int4[]")})[${random.pick(["1:2", "2:", ":2", "0:1"])}]`,
        () => `array_remove(${g("int4[]")}, ${g("int4")})`,
        () => `(${g("int4")} || ${g("int4[]")})`,
        () => `ARRAY[${g("int4[]")}, ${g("int4[]")}]`,
        () => `(${g("int4[]")})[${random.pick(["1:1][1:2", "1:2][2", ":][1:1"])}]`
      ],
      "text[]": [
        () => `ARRAY[${g("text")}, ${g("text")}]`,
        () => `(${g("text[]")} || ${g("text[]")})`,
        () => `string_to_array(${g("text")}, ',')`,
        () => `(${g("int4[]")})::text[]`
      ],
      "numeric[]": [() => `(${g("int4[]")})::numeric[]`, () => `ARRAY[${g("numeric")}, ${g("numeric")}]`],
      int4range: [
        () => `int4range(${g("int4")}, ${g("int4")})`,
        () => `(${g("int4range")} * ${g("int4range")})`
      ],
      "bit(3)": [
        () => `(${g("bit(3)")} ${random.pick(["&", "|", "#"])} ${g("bit(3)")})`,
        () => `(~ ${g("bit(3)")})`,
        () => `(${g("bit(3)")} ${random.pick(["<<", ">>"])} ${random.below(3)})`,
        () => `(${g("int4")})::bit(3)`,
        () => `(${g("bit varying(5)")})::bit(3)`,
        () => `(${g("bit(3)[]")})[1]`,
        () => `${this.column("bits")}`
      ],
      "bit varying(5)": [
        () => `(${g("bit(3)")} || ${g("bit varying(5)")})`,
        () => `(${g("bit(3)")})::bit varying(2)`,
        () => `(${g("bit(3)")})::varbit`
      ],
      "bit(3)[]": [() => `ARRAY[${g("bit(3)")}, ${g("bit(3)")}]`],
      "numeric(6,2)": [() => `(${g("numeric")})::numeric(6,2)`],
      "timestamp(0)": [() => `(${g("timestamp")})::timestamp(0)`],
      "time(1)": [() => `(${g("time")})::time(1)`],
      "varchar(3)[]": [() => `(${g("text[]")})::varchar(3)[]`],
      numrange: [() => `numrange(${g("numeric")}, ${g("numeric")}, '[]')`]
    }
    const own = byType[type]
    if (own === undefined)
      return type === "json" || type === "pair" || type === "posint" || type === "bits" ? [] : general
    return [...own, ...own, ...general]
  }

  private texts(d: number): ReadonlyArray<() => string> {
    const { random } = this
    const g = (of: OracleType): string => this.of(of, d)
    const printable = oracleTypes.filter((type) => type !== "pair")
    return [
      () => `(${g("text")} || ${g("text")})`,
      () => `${random.pick(["lower", "upper", "trim", "ltrim", "rtrim", "reverse", "md5"])}(${g("text")})`,
      () => `(${g(random.pick(printable))})::text`,
      () =>
        `substring(${g("text")} from ${random.pick(["1", "2", "-1", "0"])} for ${random.pick(["1", "2", "3", "0"])})`,
      () => `${random.pick(["left", "right"])}(${g("text")}, ${random.pick(["1", "2", "-1", "0"])})`,
      () => `replace(${g("text")}, ${g("text")}, ${g("text")})`,
      () => `split_part(${g("text")}, ',', ${random.pick(["1", "2", "-1"])})`,
      () => `concat(${g("text")}, ${g("int4")}, ${g("bool")}, ${g("numeric")})`,
      () => `concat_ws(',', ${g("text")}, ${g("date")})`,
      () => `(${g("jsonb")} ->> '${random.pick(["a", "k"])}')`,
      () => `(${g("json")} ->> '${random.pick(["a", "k"])}')`,
      () => `(${g("jsonb")} #>> '{a,b}')`,
      () => `jsonb_typeof(${g("jsonb")})`,
      () => `lpad(${g("text")}, 4, '-')`,
      () => `(${this.column("pair")}).y`,
      () => `btrim(${g("text")}, 'ab ')`,
      () => `(${g("text[]")})[1]`,
      () => `array_to_string(${g("text[]")}, '|')`,
      () => `GREATEST(${g("text")}, ${g("text")})`,
      () => `translate(${g("text")}, 'abH', 'xy')`,
      () => `rpad(${g("text")}, 5)`,
      () => `initcap(${g("text")})`,
      () => `repeat(${g("text")}, ${random.pick(["0", "2", "-1"])})`,
      () => `(${g("text")} || ${g(random.pick(["int4", "bool", "date", "float8", "numeric"]))})`,
      () => `host(${g("inet")})`,
      () => `substring(${g("text")} from ${random.pick(["1", "2", "-1"])})`,
      () => `json_typeof(${g("json")})`,
      () => `(${g("json")} #>> '{a,b}')`,
      () => `(${g("json")} -> 'a' ->> 'b')`,
      () => `(${g("jsonb")} ->> ${random.pick(["0", "-1", "1"])})`,
      () => `NULLIF(${g("text")}, ${g("text")})`
    ]
  }

  private booleans(d: number): ReadonlyArray<() => string> {
    const { random } = this
    const g = (of: OracleType): string => this.of(of, d)
    const compare = (): string => {
      const type = this.compared()
      const operator =
        type === "jsonb" ? random.pick(["=", "<>"]) : random.pick(["=", "<>", "<", "<=", ">", ">="])
      const right = random.chance(0.3) ? this.untyped(type) : g(type)
      return `(${g(type)} ${operator} ${right})`
    }
    const pattern = (): string =>
      random.chance(0.6)
        ? `'${random.pick(["a%", "%b", "%a%", "_", "a_b", "%\\%%", "h%o w%d", "", "%", "H_llo", "%😀%", "é%", "a\\_b", "__"])}'`
        : g("text")
    const regex = (): string =>
      `'${random.pick(["^a", "b$", "a.c", "h.*o", "[a-c]+", "(a|b)c?", "^$", "x?y*", "\\d+", "[^a]", "^.$", "é|É", "l{2}", "a\\\\b", "(?:ab)*c"])}'`
    const numbers: ReadonlyArray<OracleType> = ["int2", "int4", "int8", "numeric", "float4", "float8"]
    const moments: ReadonlyArray<OracleType> = ["date", "timestamp", "timestamptz"]
    const comparison = (): string => random.pick(["=", "<>", "<", "<=", ">", ">="])
    return [
      compare,
      compare,
      compare,
      () => `(${g("bool")} AND ${g("bool")})`,
      () => `(${g("bool")} OR ${g("bool")})`,
      () => `(NOT ${g("bool")})`,
      () => `(${g(random.pick(numbers))} ${comparison()} ${g(random.pick(numbers))})`,
      () => `(${g(random.pick(moments))} ${comparison()} ${g(random.pick(moments))})`,
      () => `(${g(random.pick(oracleTypes))} IS ${random.pick(["", "NOT "])}NULL)`,
      () =>
        `(${g("bool")} IS ${random.pick(["TRUE", "FALSE", "UNKNOWN", "NOT TRUE", "NOT FALSE", "NOT UNKNOWN"])})`,
      () => {
        const type = this.compared()
        return `(${g(type)} IS ${random.pick(["", "NOT "])}DISTINCT FROM ${g(type)})`
      },
      () => {
        const type = this.compared()
        return `(${g(type)} ${random.pick(["", "NOT "])}IN (${this.untyped(type)}, ${this.untyped(type)}, ${g(type)}))`
      },
      () => {
        const type = random.pick<OracleType>(["int4", "text", "numeric", "date", "float8", "timestamp"])
        return `(${g(type)} ${random.pick(["", "NOT "])}BETWEEN ${random.pick(["", "SYMMETRIC "])}${g(type)} AND ${g(type)})`
      },
      () => `(${g("text")} ${random.pick(["", "NOT "])}${random.pick(["LIKE", "ILIKE"])} ${pattern()})`,
      () => `(${g(random.pick<OracleType>(["bpchar", "varchar"]))} LIKE ${pattern()})`,
      () => `(${g("text")} ${random.pick(["~", "!~", "~*", "!~*"])} ${regex()})`,
      () => `(${g("text")} SIMILAR TO '${random.pick(["a%", "(a|b)%", "_", "[a-c]*", "%b"])}')`,
      () => `starts_with(${g("text")}, ${g("text")})`,
      () => `(${g("int4")} ${comparison()} ${random.pick(["ANY", "ALL"])} (${g("int4[]")}))`,
      () => `(${g("text")} = ${random.pick(["ANY", "ALL"])} (${g("text[]")}))`,
      () => `(${g("numeric")} = ANY (${g("numeric[]")}))`,
      () => `(${g("int4[]")} ${random.pick(["@>", "<@", "&&", "=", "<>", "<"])} ${g("int4[]")})`,
      () => `(${g("text[]")} ${random.pick(["@>", "<@", "&&", "="])} ${g("text[]")})`,
      () => `(${g("jsonb")} ${random.pick(["@>", "<@"])} ${g("jsonb")})`,
      () => `(${g("jsonb")} ? '${random.pick(["a", "k", "x"])}')`,
      () => `(${g("jsonb")} ${random.pick(["?|", "?&"])} ${g("text[]")})`,
      () =>
        `(${g("int4range")} ${random.pick(["@>", "<@", "&&", "-|-", "<<", ">>", "&<", "&>", "=", "<"])} ${g("int4range")})`,
      () => `(${g("int4range")} @> ${g("int4")})`,
      () => `(${g("daterange")} @> ${g("date")})`,
      () => `(${g("numrange")} ${random.pick(["@>", "&&", "-|-", "="])} ${g("numrange")})`,
      () => `(${g("inet")} ${random.pick(["<<", "<<=", ">>", ">>=", "&&"])} ${g("inet")})`,
      () => `((${g("int4")}, ${g("text")}) ${comparison()} (${g("int4")}, ${g("text")}))`,
      () => {
        const [a, b] = [this.compared(), this.compared()]
        return `((${g(a)}, ${g(b)}) ${comparison()} (${this.untyped(a)}, ${random.chance(0.5) ? this.untyped(b) : g(b)}))`
      },
      () => {
        const [a, b] = [this.compared(), this.compared()]
        const row = (): string => `(${this.untyped(a)}, ${random.chance(0.7) ? this.untyped(b) : g(b)})`
        return `((${g(a)}, ${g(b)}) ${random.pick(["", "NOT "])}IN (${row()}, ${row()}))`
      },
      () => {
        const a = this.compared()
        return `(ROW(${g(a)}) ${random.pick(["=", "<>", "<", "IS DISTINCT FROM"])} ROW(${this.untyped(a)}))`
      },
      () => `(${g("bit(3)[]")} ${random.pick(["@>", "&&", "=", "<"])} ${g("bit(3)[]")})`,
      () => `(${g("bit(3)")} = ANY (${g("bit(3)[]")}))`,
      () =>
        `(extract(hour from (${this.leaf("timestamptz")} AT TIME ZONE '${random.pick(["America/St_Johns", "Europe/Berlin", "Africa/Monrovia", "Asia/Kathmandu"])}')) IN (${random.pick(["0", "1", "23", "2"])}, ${random.pick(["4", "5", "12"])}))`,
      () =>
        `(${this.column("bits")} ${comparison()} ${random.pick(["B'101'", "'101'", "'100'::bit(3)", "B'100'"])})`,
      () => `(${this.column("varchar(3)[]")} ${random.pick(["@>", "&&", "="])} ${g("varchar(3)[]")})`,
      () => `(${g("text")})::bool`,
      () => `((${g("text")})::${random.pick(["int4", "numeric", "date", "float8"])} IS NOT NULL)`,
      () => `(${g("text[]")} ${random.pick(["<", ">=", "<>"])} ${g("text[]")})`,
      () => `(${g("mood[]")} ${random.pick(["@>", "&&", "=", "<"])} ${g("mood[]")})`,
      () => `(${g("mood")} = ANY (${g("mood[]")}))`,
      () => `(${g("name")} ${comparison()} ${g(random.pick(["name", "text"]))})`,
      () => `(${g("inet")} ${random.pick(["<<=", ">>=", "=", "<"])} ${g("cidr")})`,
      () => `(${g("text")} LIKE '${random.pick(["a!%", "%!_%", "!!%"])}' ESCAPE '!')`,
      () => `${random.pick(["isfinite", "isfinite"])}(${g(random.pick(["date", "timestamp"]))})`,
      () =>
        `${random.pick(["isempty", "lower_inc", "upper_inc", "lower_inf", "upper_inf"])}(${g("int4range")})`,
      () => `(${g("jsonb")} -> 'k')::bool`,
      () => `((${g("int4")}, ${g("int4")}) IN ((1, 2), (${g("int4")}, 7)))`,
      () => `((${g("text")}, ${g("int4")}) IS DISTINCT FROM (${g("text")}, 5))`,
      () => `(${g("text")} ${comparison()} ${random.pick(["ANY", "ALL"])} (${g("text[]")}))`,
      () => `((${g("int4")}, ${g("numeric")}) IS NULL)`,
      () => `(${this.column("mood")} ${comparison()} '${random.pick(["sad", "ok", "happy"])}')`,
      () => `(${this.column("pair")} ${comparison()} ${this.column("pair")})`
    ]
  }
}

/** A row of random texts: `null` is NULL. */
export const randomRow = (random: Random): ReadonlyArray<string | null> =>
  oracleTypes.flatMap((type) =>
    [1, 2].map(() => (random.chance(0.1) ? null : random.pick<string>(edgeValues[type])))
  )
