import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { displaySettings } from "../../src/postgres/connection/ConnectionOptions.ts"
import type { Relation } from "../../src/postgres/Relation.ts"
import type { Tuple } from "../../src/postgres/Tuple.ts"
import { makeSnapshotter } from "../../src/registry/snapshot/Snapshotter.ts"
import { PgoutputDecoder } from "../../src/replication/wire/PgoutputDecoder.ts"
import { ByteWriter } from "../../src/shared/ByteWriter.ts"
import { makeTransactionStamp, makeWireEncoder } from "../../src/shapes/WireEncoder.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { Collected, definitionOf, type RowMessage, sessionsOf } from "./snapshot-support.ts"
import { systemTimers } from "../../src/shared/Timers.ts"

/** SQL type and values; every type also gets NULL. */
const types: ReadonlyArray<readonly [type: string, ...values: ReadonlyArray<string>]> = [
  ["bool", "true", "false"],
  ["int2", "-32768"],
  ["int4", "2147483647"],
  ["int8", "9223372036854775807"],
  ["oid", "4294967295"],
  ["numeric", "1.50", "'NaN'", "123456789012345678901234567890.000"],
  ["numeric(10,2)", "2"],
  ["float4", "1.1", "'-Infinity'", "'-0'"],
  ["float8", "0.1", "1e300", "'NaN'"],
  ["money", "12.34"],
  ["text", "'zażółć \"q\" / \\ 🙂'", "''", "E'a\\tb\\nc\\x01'"],
  ["varchar(5)", "'ab '"],
  ["char(5)", "'ab'"],
  ["bpchar", "'ab  '"],
  ['"char"', "'x'", "''"],
  ["name", "'a name'"],
  ["bytea", "'\\x00ff5c'", "''"],
  ["date", "'2026-01-02'", "'infinity'", "'0044-03-15 BC'"],
  ["time", "'10:11:12.345'"],
  ["timetz", "'10:11:12+02'"],
  ["timestamp", "'2026-01-02 03:04:05.678'"],
  ["timestamptz", "'2026-01-02 03:04:05.678+05'", "'infinity'"],
  ["interval", "'1 year 2 mons 3 days 04:05:06.789'", "'-1 day'", "'0'"],
  ["uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
  ["json", `'{"b": [1,  2], "a": "x\\\\y"}'`],
  ["jsonb", `'{"b": [1,  2], "a": null}'`],
  ["jsonpath", "'$.a[*]'"],
  ["xml", "'<a>b</a>'"],
  ["inet", "'192.168.0.1'", "'192.168.0.1/24'", "'::1'"],
  ["cidr", "'10.0.0.0/8'"],
  ["macaddr", "'08:00:2b:01:02:03'"],
  ["macaddr8", "'08:00:2b:01:02:03:04:05'"],
  ["bit(3)", "B'101'"],
  ["varbit", "B'10'"],
  ["point", "'(1,2.5)'"],
  ["box", "'(2,2),(1,1)'"],
  ["path", "'[(0,0),(1,1)]'"],
  ["polygon", "'((0,0),(1,1),(2,0))'"],
  ["circle", "'<(1,1),2>'"],
  ["line", "'{1,2,3}'"],
  ["lseg", "'[(0,0),(1,1)]'"],
  ["tsvector", "'fat:2A cat:1'"],
  ["tsquery", "'fat & !cat'"],
  ["int4range", "'[1,5]'", "'empty'"],
  ["tstzrange", "'[2026-01-01 00:00+02,)'"],
  ["int4multirange", "'{[1,3),[5,7)}'"],
  ["pg_lsn", "'16/B374D848'"],
  ["xid8", "'12345678901'"],
  ["regclass", "'pg_class'"],
  ["int4[]", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[0:1]={1,2}'", "'{}'"],
  ["bool[]", "'{t,f,NULL}'"],
  ["text[]", `'{a,"b c",NULL,"NULL","",q\\"\\\\}'`],
  ["inet[]", "'{10.0.0.1,10.0.0.0/8}'"],
  ["mood", "'so so'"],
  ["mood[]", `'{ok,"so so"}'`],
  ["score", "42"],
  ["pair", "ROW(1.5, 'a \"b\"')", "ROW(NULL, NULL)"],
  ["pair[]", "ARRAY[CAST(ROW(1, NULL) AS pair)]"],
  ["flag", "true"]
]

const columns = types.flatMap(([type, ...values]) =>
  [...values, "NULL"].map((value, i) => ({ name: `${type} ${i}`, type, value }))
)
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

const db = databaseForFile(async (database) => {
  await database.query(`
    CREATE TYPE mood AS ENUM ('ok', 'so so');
    CREATE DOMAIN score AS int CHECK (value < 100);
    CREATE DOMAIN flag AS bool;
    CREATE TYPE pair AS (a numeric, b text);
    CREATE TABLE every (id int PRIMARY KEY, ${columns.map(({ name, type }) => `${quoted(name)} ${type}`).join(", ")});
    ALTER TABLE every REPLICA IDENTITY FULL;
    CREATE PUBLICATION ${database.publicationName} FOR TABLE every
  `)
  await database.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [database.slotName])
  await database.query(
    `INSERT INTO every VALUES (1, ${columns.map(({ type, value }) => `CAST(${value} AS ${type})`).join(", ")})`
  )
})

const nothing = (): undefined => undefined

/** The inserts that the replication stream carries, encoded as the shape's messages. */
const streamed = async (
  encode: (w: ByteWriter, relation: Relation, row: Tuple) => void
): Promise<ReadonlyArray<RowMessage>> => {
  const client = await db().connect()
  for (const [name, value] of Object.entries(displaySettings)) await client.query(`SET ${name} = '${value}'`)
  const { rows } = await client.query<{ data: Buffer }>(
    "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)",
    [db().slotName, db().publicationName]
  )
  const messages: Array<RowMessage> = []
  const decoder = new PgoutputDecoder(
    {
      begin: nothing,
      relation: nothing,
      insert: (relation, row) => {
        const w = new ByteWriter()
        encode(w, relation, row)
        messages.push(JSON.parse(w.written().toString()) as RowMessage)
        return undefined
      },
      update: nothing,
      delete: nothing,
      truncate: nothing,
      commit: nothing,
      keepalive: nothing,
      batchEnd: nothing,
      unreadable: nothing,
      durableLsn: () => 0n
    },
    { maxTransactionBytes: Infinity }
  )
  for (const { data } of rows) decoder.decode(data, 0, data.length)
  await client.end()
  return messages
}

describe("the text of a value", () => {
  it.live("is the same from the snapshot and from the stream, for every type", () =>
    Effect.gen(function* () {
      const definition = yield* Effect.promise(() => definitionOf(db(), "every"))
      const collected = new Collected()
      const sessions = yield* sessionsOf(db())
      yield* makeSnapshotter(sessions, 1_000_000, systemTimers).run(collected.request(definition))
      const [snapshot] = collected.rows()
      const stamp = makeTransactionStamp(1n, 2)
      const [change] = yield* Effect.promise(() =>
        streamed((w, relation, row) =>
          makeWireEncoder(
            relation.columns.map(({ name }) => name),
            definition
          )?.insert(w, row, stamp, 0)
        )
      )
      assert.isDefined(change)
      assert.strictEqual(Object.keys(change.value).length, columns.length + 1)
      assert.deepStrictEqual(snapshot?.value, change.value)
      assert.strictEqual(snapshot?.key, change.key)
    })
  )

  it.live("is what the protocol promises", () =>
    Effect.gen(function* () {
      const collected = new Collected()
      const sessions = yield* sessionsOf(db())
      const definition = yield* Effect.promise(() => definitionOf(db(), "every"))
      yield* makeSnapshotter(sessions, 1_000_000, systemTimers).run(collected.request(definition))
      const value = collected.rows()[0]?.value ?? {}
      const expected: Readonly<Record<string, string | null>> = {
        "bool 0": "t",
        "bool 1": "f",
        "bool 2": null,
        "char(5) 0": "ab   ",
        "bytea 0": "\\x00ff5c",
        "timestamptz 0": "2026-01-01 22:04:05.678+00",
        "interval 0": "P1Y2M3DT4H5M6.789S",
        "inet 0": "192.168.0.1",
        "numeric 0": "1.50",
        "float4 0": "1.1",
        "int4[] 0": "{1,NULL,3}",
        "pair 0": '(1.5,"a ""b""")',
        "pair 1": "(,)",
        "pair 2": null,
        "score 0": "42",
        "flag 0": "t"
      }
      assert.deepStrictEqual(
        Object.fromEntries(Object.keys(expected).map((name) => [name, value[name]])),
        expected
      )
    })
  )
})
