import type { Random } from "../../../testing/Random.ts"

/** A value as its type's input function takes it. */
export type Value = string | null

export interface OracleColumn {
  readonly name: string
  readonly value: (random: Random) => Value
}

/** A table of the stream oracle. Values come from small pools, so that rows enter and leave shapes all the time. */
export interface OracleTable {
  readonly name: string
  readonly ddl: string
  /** Keys come from small pools as well: rows are deleted and made again under the same key. */
  readonly key: ReadonlyArray<OracleColumn>
  readonly columns: ReadonlyArray<OracleColumn>
}

const pool =
  (...values: ReadonlyArray<Value>) =>
  (random: Random): Value =>
    random.pick(values)

const whole =
  (from: number, to: number) =>
  (random: Random): Value =>
    String(random.int(from, to))

/** Now and then several KB that Postgres stores out of line and leaves out of updates that do not touch them. */
const largeText = (random: Random): Value => {
  if (random.chance(0.15)) return null
  if (random.chance(0.4)) return random.pick(["short", "also short", ""])
  const words = Array.from({ length: random.int(600, 1500) }, () => random.int(0, 0xffffff).toString(36))
  return `${random.pick(["urgent", "later", "größe"])} ${words.join(" ")}`
}

const items: OracleTable = {
  name: "items",
  ddl: `
    CREATE TYPE item_status AS ENUM ('draft', 'open', 'shipped', 'cancelled');
    CREATE FUNCTION shout(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t) || ''!''';
    CREATE TABLE items (id bigint PRIMARY KEY, tenant int NOT NULL, status item_status, title text, body text,
      price numeric(10,2), rating float8, due date, created timestamptz, tags text[], meta jsonb, done boolean, n int);
    ALTER TABLE items ALTER body SET STORAGE EXTERNAL`,
  key: [{ name: "id", value: whole(1, 120) }],
  columns: [
    { name: "tenant", value: whole(1, 4) },
    { name: "status", value: pool("draft", "open", "shipped", "cancelled", null) },
    {
      name: "title",
      value: pool("Hello World", "hello", "a%c", "Über cool", "o_O", "", null, "back\\slash", "zoo")
    },
    { name: "body", value: largeText },
    { name: "price", value: pool("0.30", "10", "19.99", "99999999.99", "-1.5", null) },
    { name: "rating", value: pool("NaN", "Infinity", "-Infinity", "0", "-0", "2.5", "4.5", null) },
    { name: "due", value: pool("2020-01-01", "2024-02-29", "infinity", "0044-03-15 BC", null) },
    {
      name: "created",
      value: pool(
        "2024-03-31 00:59:59+00",
        "2024-03-31 01:30:00.123456+00",
        "2020-01-01 00:00+02",
        "-infinity",
        null
      )
    },
    {
      name: "tags",
      value: pool("{}", "{red}", "{red,blue}", "{NULL,green}", '{"with space","comma,"}', null)
    },
    {
      name: "meta",
      value: pool(
        '{"plan":"pro","seats":5}',
        '{"plan":null}',
        '{"seats":12}',
        '[1,{"plan":"pro"}]',
        "{}",
        null
      )
    },
    { name: "done", value: pool("t", "f", null) },
    { name: "n", value: pool("0", "1", "-7", "3", "2147483647", null) }
  ]
}

const events: OracleTable = {
  name: "events",
  ddl: `
    CREATE TABLE events (region text, seq int, kind varchar(10), at timestamp, payload json, amount bigint, uid uuid,
      code char(4), note text, PRIMARY KEY (seq, region));
    ALTER TABLE events ALTER note SET STORAGE EXTERNAL`,
  key: [
    { name: "region", value: pool("eu", "us", "a/b") },
    { name: "seq", value: whole(1, 40) }
  ],
  columns: [
    { name: "kind", value: pool("click", "view", "CLICK", "c_ick", null) },
    {
      name: "at",
      value: pool("2024-01-31 10:00", "2024-12-31 23:59:59.999999", "infinity", "1999-01-01", null)
    },
    { name: "payload", value: pool('{"a": 1}', '{"a":null}', "[1, 2]", '"x"', null) },
    { name: "amount", value: pool("0", "5", "9007199254740993", "-9223372036854775808", "12", null) },
    {
      name: "uid",
      value: pool("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000001", null)
    },
    { name: "code", value: pool("AB", "A", "ABCD", "", null) },
    { name: "note", value: largeText }
  ]
}

const notes: OracleTable = {
  name: '"My Notes"',
  ddl: `
    CREATE TABLE "My Notes" (id uuid PRIMARY KEY, "Author" text, level smallint, period daterange, ip inet,
      span interval, numbers int[], opens time, body text);
    ALTER TABLE "My Notes" ALTER body SET STORAGE EXTERNAL`,
  key: [
    {
      name: "id",
      value: (random) => `00000000-0000-4000-8000-${String(random.int(1, 90)).padStart(12, "0")}`
    }
  ],
  columns: [
    { name: "Author", value: pool("ann", "Bob", "", "o'neil", null) },
    { name: "level", value: pool("0", "1", "2", "-3", null) },
    {
      name: "period",
      value: pool("[2020-01-01,2020-02-01)", "empty", "(,2021-01-01)", "[2024-01-01,)", null)
    },
    { name: "ip", value: pool("10.0.0.5", "192.168.1.0/24", "::1", "10.1.2.3", null) },
    { name: "span", value: pool("1 day", "24 hours", "1 mon", "-1 day", "00:00:01.5", null) },
    { name: "numbers", value: pool("{}", "{1,2,3}", "{{1,2},{3,4}}", "{NULL,5}", null) },
    { name: "opens", value: pool("08:30", "24:00", "12:30:00.5", null) },
    { name: "body", value: largeText }
  ]
}

export const oracleTables: ReadonlyArray<OracleTable> = [items, events, notes]

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
