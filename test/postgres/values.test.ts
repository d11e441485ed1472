import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Inspector } from "../../src/postgres/catalogue/Inspector.ts"
import { AdminPool, makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import { schemaHeader } from "../../src/postgres/catalogue/SchemaHeader.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"
import { column, table } from "../../testing/postgres/TableInfos.ts"

/** Column type, a value, the text that Postgres writes for it under the display settings, the header's attributes. */
const types: ReadonlyArray<readonly [string, string, string, object]> = [
  ["int2", "5", "5", { type: "int2" }],
  ["int4", "-5", "-5", { type: "int4" }],
  ["int8", "9223372036854775807", "9223372036854775807", { type: "int8" }],
  ["float4", "1.1", "1.1", { type: "float4" }],
  ["float8", "0.1::float8 + 0.2", "0.30000000000000004", { type: "float8" }],
  ["numeric", "1.50", "1.50", { type: "numeric" }],
  ["numeric(10,2)", "2", "2.00", { type: "numeric", precision: 10, scale: 2 }],
  ["numeric(5)", "2", "2", { type: "numeric", precision: 5, scale: 0 }],
  ["numeric(3,-2)", "12345", "12300", { type: "numeric", precision: 3, scale: -2 }],
  ["numeric(2,4)[]", "ARRAY[0.0012]", "{0.0012}", { type: "numeric", precision: 2, scale: 4, dims: 1 }],
  ["money", "12.34::money", "$12.34", { type: "money" }],
  ["bool", "true", "t", { type: "bool" }],
  ["bool[]", "ARRAY[true, NULL, false]", "{t,NULL,f}", { type: "bool", dims: 1 }],
  ["text", "'a\"b''c\\d'", "a\"b'c\\d", { type: "text" }],
  ["text[][]", "ARRAY[['a', 'b c'], [NULL, 'NULL']]", '{{a,"b c"},{NULL,"NULL"}}', { type: "text", dims: 2 }],
  ["varchar", "'x'", "x", { type: "varchar" }],
  ["varchar(100)", "'x'", "x", { type: "varchar", max_length: 100 }],
  ["varchar(7)[]", "ARRAY['x']", "{x}", { type: "varchar", max_length: 7, dims: 1 }],
  ["char", "'x'", "x", { type: "bpchar", length: 1 }],
  ["char(5)", "'ab'", "ab   ", { type: "bpchar", length: 5 }],
  ["bpchar", "'ab '", "ab ", { type: "bpchar" }],
  ['"char"', "'x'", "x", { type: "char" }],
  ["name", "'x'", "x", { type: "name" }],
  [
    "uuid",
    "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    { type: "uuid" }
  ],
  ["bytea", "'\\x00FF'", "\\x00ff", { type: "bytea" }],
  ["date", "'2026-01-02'", "2026-01-02", { type: "date" }],
  ["date", "'-infinity'", "-infinity", { type: "date" }],
  ["date", "'0044-03-15 BC'", "0044-03-15 BC", { type: "date" }],
  ["time", "'10:11:12.345'", "10:11:12.345", { type: "time" }],
  ["time(0)", "'10:11:12.345'", "10:11:12", { type: "time", type_mod: 0 }],
  ["time(3)", "'10:11:12.3456'", "10:11:12.346", { type: "time", precision: 3 }],
  ["timetz(2)", "'10:11:12.345+02'", "10:11:12.35+02", { type: "timetz", precision: 2 }],
  ["timestamp", "'2026-01-02 03:04:05.678'", "2026-01-02 03:04:05.678", { type: "timestamp" }],
  ["timestamp(0)", "'2026-01-02 03:04:05'", "2026-01-02 03:04:05", { type: "timestamp", type_mod: 0 }],
  [
    "timestamptz(6)",
    "'2026-01-02 03:04:05+05'",
    "2026-01-01 22:04:05+00",
    { type: "timestamptz", precision: 6 }
  ],
  ["interval", "'1 year 2 months 3 days 04:05:06.789'", "P1Y2M3DT4H5M6.789S", { type: "interval" }],
  ["interval(2)", "'1.2345 seconds'", "PT1.23S", { type: "interval", precision: 2 }],
  ...(
    [
      ["YEAR", "P1Y"],
      ["MONTH", "P1Y2M"],
      ["DAY", "P1Y2M3D"],
      ["HOUR", "P1Y2M3DT4H"],
      ["MINUTE", "P1Y2M3DT4H5M"],
      ["SECOND", "P1Y2M3DT4H5M6S"],
      ["YEAR TO MONTH", "P1Y2M"],
      ["DAY TO HOUR", "P1Y2M3DT4H"],
      ["DAY TO MINUTE", "P1Y2M3DT4H5M"],
      ["DAY TO SECOND", "P1Y2M3DT4H5M6S"],
      ["HOUR TO MINUTE", "P1Y2M3DT4H5M"],
      ["HOUR TO SECOND", "P1Y2M3DT4H5M6S"],
      ["MINUTE TO SECOND", "P1Y2M3DT4H5M6S"]
    ] as const
  ).map(
    ([fields, text]) =>
      [`interval ${fields}`, "'1 year 2 months 3 days 04:05:06'", text, { type: "interval", fields }] as const
  ),
  [
    "interval DAY TO SECOND(3)",
    "'3 days 04:05:06.7891'",
    "P3DT4H5M6.789S",
    { type: "interval", fields: "DAY TO SECOND", precision: 3 }
  ],
  ["json", "'{\"a\" :  1}'", '{"a" :  1}', { type: "json" }],
  ["jsonb", "'{\"a\" :  1}'", '{"a": 1}', { type: "jsonb" }],
  ["jsonpath", "'$.a'", '$."a"', { type: "jsonpath" }],
  ["inet", "'192.168.0.1'", "192.168.0.1", { type: "inet" }],
  ["inet", "'192.168.0.1/24'", "192.168.0.1/24", { type: "inet" }],
  ["cidr", "'10.0.0.0/8'", "10.0.0.0/8", { type: "cidr" }],
  ["macaddr", "'08-00-2B-01-02-03'", "08:00:2b:01:02:03", { type: "macaddr" }],
  ["macaddr8", "'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05", { type: "macaddr8" }],
  ["bit", "'1'", "1", { type: "bit", length: 1 }],
  ["bit(3)", "'101'", "101", { type: "bit", length: 3 }],
  ["varbit(8)", "'101'", "101", { type: "varbit", length: 8 }],
  ["varbit", "'101'", "101", { type: "varbit", length: -1 }],
  ["xml", '\'<?xml version="1.0" encoding="UTF-8"?><a/>\'', "<a/>", { type: "xml" }],
  ["oid", "4294967295", "4294967295", { type: "oid" }],
  ["regclass", "'pg_class'", "pg_class", { type: "regclass" }],
  ["pg_lsn", "'16/B374D848'", "16/B374D848", { type: "pg_lsn" }],
  ["xid8", "'18446744073709551615'", "18446744073709551615", { type: "xid8" }],
  ["tid", "'(1,2)'", "(1,2)", { type: "tid" }],
  ["int2vector", "'1 2 3'", "1 2 3", { type: "int2vector" }],
  ["oidvector", "'1 2'", "1 2", { type: "oidvector" }],
  ["point", "'(1,2)'", "(1,2)", { type: "point" }],
  ["line", "'{1,2,3}'", "{1,2,3}", { type: "line" }],
  ["lseg", "'[(0,0),(1,1)]'", "[(0,0),(1,1)]", { type: "lseg" }],
  ["box", "'((0,0),(1,1))'", "(1,1),(0,0)", { type: "box" }],
  ["path", "'((0,0),(1,1))'", "((0,0),(1,1))", { type: "path" }],
  ["polygon", "'((0,0),(1,1))'", "((0,0),(1,1))", { type: "polygon" }],
  ["circle", "'<(0,0),1>'", "<(0,0),1>", { type: "circle" }],
  ["int4range", "'[1,4]'", "[1,5)", { type: "int4range" }],
  ["tstzrange", "'[2026-01-01 00:00+02,)'", '["2025-12-31 22:00:00+00",)', { type: "tstzrange" }],
  ["int4multirange", "'{[1,2],[4,5]}'", "{[1,3),[4,6)}", { type: "int4multirange" }],
  ["tsvector", "'b a'", "'a' 'b'", { type: "tsvector" }],
  ["tsquery", "'a & b'", "'a' & 'b'", { type: "tsquery" }],
  ["mood", "'ok'", "ok", { type: "mood" }],
  ["mood[]", "ARRAY['ok', 'very sad']::mood[]", '{ok,"very sad"}', { type: "mood", dims: 1 }],
  ["moody", "'ok'", "ok", { type: "moody" }],
  ["age", "5", "5", { type: "age" }],
  ["yes", "true", "t", { type: "yes" }],
  ["yes[]", "ARRAY[true]::yes[]", "{t}", { type: "yes", dims: 1 }],
  ["list", "ARRAY[1, 2]", "{1,2}", { type: "list" }],
  ["span", "'[1,4]'::int4range", "[1,5)", { type: "span" }],
  ["short", "'ab'", "ab", { type: "short" }],
  ["pair", "(1.5, 'a b')", '(1.5,"a b")', { type: "pair" }],
  ["wrapped", "ROW(1.5, NULL)::pair", "(1.5,)", { type: "wrapped" }],
  ['"Odd schema"."Odd, type"', "'a'", "a", { type: "Odd, type" }],
  ['"Odd schema"."Odd domain"', "'a'", "a", { type: "Odd domain" }]
]

const name = (i: number) => `c${i}`

const database = databaseForFile(async (db) => {
  await db.query(`
    CREATE TYPE mood AS ENUM ('ok', 'very sad');
    CREATE DOMAIN moody AS mood;
    CREATE DOMAIN age AS int;
    CREATE DOMAIN yes AS bool;
    CREATE DOMAIN list AS int[];
    CREATE DOMAIN span AS int4range;
    CREATE DOMAIN short AS char(2);
    CREATE TYPE pair AS (a numeric, b text);
    CREATE DOMAIN wrapped AS pair;
    CREATE SCHEMA "Odd schema";
    CREATE TYPE "Odd schema"."Odd, type" AS ENUM ('a');
    CREATE DOMAIN "Odd schema"."Odd domain" AS "Odd schema"."Odd, type";
  `)
  await db.query("SET lc_monetary = 'C.UTF-8'")
  await db.query(`CREATE TABLE every (${types.map(([type], i) => `${name(i)} ${type}`).join(", ")})`)
  await db.query(`INSERT INTO every VALUES (${types.map(([, value]) => value).join(", ")})`)
  await db.query("INSERT INTO every DEFAULT VALUES")
  await db.query(`CREATE TABLE derived AS SELECT ARRAY[1, 2] AS numbers`)
})

const describeTable = (schema: string, tableName: string) =>
  Effect.gen(function* () {
    const pool = yield* makeAdminPool(targetOf(database()), plainConfig, 4)
    const found = yield* Effect.gen(function* () {
      return yield* (yield* Inspector).table(schema, tableName)
    }).pipe(Effect.provide(Inspector.layer.pipe(Layer.provide(Layer.succeed(AdminPool, pool)))))
    return found ?? assert.fail("the table is there")
  })

describe("every type", () => {
  it.live("is in the electric-schema header with its attributes", () =>
    Effect.gen(function* () {
      const every = yield* describeTable("public", "every")
      const header = JSON.parse(
        schemaHeader(
          every,
          every.columns.map((described) => described.name)
        )
      ) as Record<string, object>
      types.forEach(([type, , , expected], i) => assert.deepStrictEqual(header[name(i)], expected, type))
    })
  )

  it.live("has the text of a plain select, which is what the stream has as well", () =>
    Effect.gen(function* () {
      const list = types.map((_, i) => name(i)).join(", ")
      const settings = `SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC';
        SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'`
      yield* Effect.promise(() => database().query(settings))
      const [row] = yield* Effect.promise(() => database().queryText(`SELECT ${list} FROM every`))
      types.forEach(([type, , text], i) => assert.strictEqual(row?.[name(i)], text, type))
    })
  )
})

describe("the electric-schema header", () => {
  it("holds the selected columns only, with key positions and not_null", () => {
    const pair = table([column("a", { notNull: true }), column("b", { notNull: true }), column("c")], {
      primaryKey: ["b", "a"]
    })
    assert.deepStrictEqual(JSON.parse(schemaHeader(pair, ["c", "a", "b"])), {
      a: { type: "text", pk_index: 1, not_null: true },
      b: { type: "text", pk_index: 0, not_null: true },
      c: { type: "text" }
    })
    assert.strictEqual(schemaHeader(pair, ["c"]), '{"c":{"type":"text"}}')
  })

  it("can hold any name, in ASCII", () => {
    const names = ["__proto__", 'quo"te', "é😀\r\n", "constructor"]
    const odd = table(names.map((called) => column(called)))
    const header = schemaHeader(odd, names)
    assert.match(header, /^[\x20-\x7e]*$/)
    assert.deepStrictEqual(Object.keys(JSON.parse(header)), names)
  })

  it("gives raw modifiers of types that it does not know", () => {
    const vector = column("v", { typeOid: 99999, typeName: "vector", typeModifier: 3 })
    assert.strictEqual(schemaHeader(table([vector]), ["v"]), '{"v":{"type":"vector","type_mod":3}}')
  })

  it.live("calls a column an array even where no dimensions were declared", () =>
    Effect.gen(function* () {
      const derived = yield* describeTable("public", "derived")
      assert.strictEqual(schemaHeader(derived, ["numbers"]), '{"numbers":{"type":"int4","dims":1}}')
    })
  )
})
