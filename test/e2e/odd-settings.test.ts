import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { createDatabase, type TestDatabase } from "../../testing/postgres/Database.ts"
import { eventually } from "../../testing/Eventually.ts"
import { startService, type TestService } from "../../testing/services/Service.ts"
import { patient } from "../../testing/Load.ts"

/** Whatever may stand in ALTER ROLE and ALTER DATABASE and changes what texts mean or how values are written. */
const settings = `
  array_nulls = off; standard_conforming_strings = off; backslash_quote = off; transform_null_equals = on;
  DateStyle = 'SQL, MDY'; IntervalStyle = sql_standard; TimeZone = 'America/St_Johns'; bytea_output = escape;
  extra_float_digits = -6; xmloption = document; xmlbinary = hex; lc_monetary = 'C'; default_text_search_config = 'german';
  search_path = evil, public, pg_catalog`

const rows = [
  [
    1,
    "ARRAY['NULL']",
    String.raw`E'a\\b'`,
    "NULL",
    "'2020-03-04'",
    "'1 day'",
    "0.1",
    "'2020-01-01 00:30+00'",
    String.raw`'\x0041'`,
    "B'101'"
  ],
  [
    2,
    "ARRAY[NULL]::text[]",
    "'It''s'",
    "1",
    "'2020-04-03'",
    "'24:00'",
    "0.30000000000000004",
    "'2020-01-01 04:00+00'",
    String.raw`'\x5c'`,
    "B'100'"
  ],
  [
    3,
    "'{}'",
    "''",
    "2",
    "'2020-12-31'",
    "'-1 mon +2 days'",
    "1e300",
    "'2010-11-07 03:31+00'",
    String.raw`'\xff'`,
    "B'001'"
  ],
  [
    4,
    "ARRAY['null', 'x']",
    "'ABC'",
    "3",
    "'infinity'",
    "'1-2'",
    "'NaN'",
    "'1990-04-01 03:30:59+00'",
    "NULL",
    "NULL"
  ]
] as const

const clauses = [
  "a = '{NULL}'",
  "a = ARRAY['NULL']",
  "a = '{\"NULL\"}'",
  "'NULL' = ANY(a)",
  "a @> '{null}'",
  String.raw`t = 'a\b'`,
  String.raw`t LIKE 'a\\b'`,
  String.raw`t = E'a\\b'`,
  "t = 'It''s'",
  "n = NULL",
  "n IS NULL",
  "NOT (n = NULL) IS NULL",
  "d = '2020-03-04'",
  "d::text LIKE '2020-%'",
  "d > '2020-04-01'",
  "to_char(d::timestamp, 'MM') = '03'",
  "i = '1 day'",
  "i::text = 'P1DT0H'",
  "i = 'P-1M2D'",
  "f = 0.30000000000000004",
  "f::text = '0.30000000000000004'",
  "z = '2020-01-01 04:00'",
  "z::date = '2020-01-01'",
  "z AT TIME ZONE 'America/St_Johns' < '2010-11-07 00:00:30'",
  "date_trunc('day', z) = '2020-01-01'",
  "extract(hour from z) = 4",
  String.raw`b = '\x5c'`,
  String.raw`b::text = '\xff'`,
  "lower(t) = 'abc'",
  "pg_catalog.lower(t) = 'abc'",
  "evil.lower(t) = 'EVIL'",
  "v = B'101'",
  "v <> B'101'",
  "v = '101'::bit(3)",
  "v IN (B'100', B'001')",
  "v & B'100' = B'100'",
  "v::text = '001'",
  "(n, t) > ('1', 'It')",
  "(d, n) <= ('2020-04-03', '1')",
  "(n, t) IN (('1', 'It''s'), ('3', 'ABC'))"
]

const idsIn = (text: string): ReadonlyArray<number> =>
  [...text.matchAll(/"value":\{"id":"(\d+)"/g)].map((match) => Number(match[1])).toSorted((x, y) => x - y)

const valuesIn = (text: string): ReadonlyMap<number, unknown> =>
  new Map(
    (JSON.parse(text) as ReadonlyArray<{ readonly value?: Readonly<Record<string, string>> }>).flatMap(
      ({ value }) => {
        if (value === undefined) return []
        const { id, ...rest } = value
        return [[Number(id) % 100, rest] as const]
      }
    )
  )

describe("a role's and a database's own settings change nothing", () => {
  let database: TestDatabase
  let service: TestService

  beforeAll(async () => {
    database = await createDatabase()
    await database.query(`
      CREATE SCHEMA evil;
      CREATE FUNCTION evil.lower(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT ''EVIL''';
      CREATE TABLE public.odd (id int PRIMARY KEY, a text[], t text, n int, d date, i interval, f float8, z timestamptz,
        b bytea, v bit(3))`)
    for (const row of rows) await database.query(`INSERT INTO public.odd VALUES (${row.join(", ")})`)
    for (const setting of settings.split(";"))
      await database.query(`ALTER DATABASE ${database.name} SET ${setting}`)
    service = await startService({ database })
  })
  afterAll(async () => {
    await service?.dispose()
    await database?.drop()
  })

  const read = async (parameters: Readonly<Record<string, string>>) => {
    const query = new URLSearchParams({ table: "public.odd", columns: "id", ...parameters })
    const response = await fetch(`${service.url}/v1/shape?${query.toString()}`)
    return { text: await response.text(), status: response.status, headers: response.headers }
  }

  it(
    "first rows, subsets and the stream agree with each other, and with Postgres' own defaults",
    { timeout: patient(60_000) },
    async () => {
      const all = { columns: "id,a,t,n,d,i,f,z,b,v" }
      const whole = await read({ offset: "-1", ...all })
      const made: Array<{ where: string; first: ReadonlyArray<number>; handle: string; offset: string }> = []
      for (const where of clauses) {
        const first = await read({ offset: "-1", where })
        assert.strictEqual(first.status, 200, `${where}: ${first.text}`)
        const subset = await read({ offset: "-1", subset__where: where })
        assert.strictEqual(subset.status, 200, `${where}: ${subset.text}`)
        assert.deepStrictEqual(idsIn(subset.text), idsIn(first.text), `${where}: a subset`)
        made.push({
          where,
          first: idsIn(first.text),
          handle: first.headers.get("electric-handle") ?? "",
          offset: first.headers.get("electric-offset") ?? ""
        })
      }
      // This session began before; names mean what they mean to the service.
      await database.query(
        "SET search_path = evil, public, pg_catalog; SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'"
      )
      for (const { first, where } of made) {
        const [expected] = await database.query<{ ids: ReadonlyArray<number> | null }>(
          `SELECT array_agg(id ORDER BY id) AS ids FROM public.odd WHERE ${where}`
        )
        assert.deepStrictEqual(first, expected?.ids ?? [], where)
      }
      await database.query(
        "INSERT INTO public.odd SELECT id + 100, a, t, n, d, i, f, z, b, v FROM public.odd"
      )
      await eventually("the last row to come", async () =>
        idsIn(
          (
            await read({
              ...all,
              offset: whole.headers.get("electric-offset") ?? "",
              handle: whole.headers.get("electric-handle") ?? ""
            })
          ).text
        ).includes(104)
      )
      for (const { first, handle, offset, where } of made) {
        let streamed: ReadonlyArray<number> = []
        // Postgres may be asked about some of them.
        await eventually(`the rows of ${where}`, async () => {
          streamed = idsIn((await read({ where, handle, offset })).text).map((id) => id - 100)
          return streamed.length >= first.length
        })
        assert.deepStrictEqual(streamed, first, `${where}: the stream`)
      }
      const streamed = await read({
        ...all,
        offset: whole.headers.get("electric-offset") ?? "",
        handle: whole.headers.get("electric-handle") ?? ""
      })
      assert.deepStrictEqual([...valuesIn(streamed.text)], [...valuesIn(whole.text)], "the text of values")
    }
  )
})
