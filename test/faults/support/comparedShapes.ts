import { assert } from "vitest"
import type { TestDatabase } from "../../../testing/postgres/Database.ts"
import { differenceOfRows } from "../../../testing/postgres/Rows.ts"
import { ShapeLogReader } from "../../../testing/readers/ShapeLog.ts"

/** Tables with a key and without one, and one that sub-selects read. */
export const tables = `
  CREATE TABLE members (id int PRIMARY KEY, project int, person int);
  CREATE TABLE items (id int PRIMARY KEY, project int, name text, note text);
  CREATE TABLE loose (name text, "of" int);
  INSERT INTO members SELECT i, i % 5, i % 7 FROM generate_series(1, 30) i;
  INSERT INTO items SELECT i, i % 5, 'a/b"' || i, repeat('x', i) FROM generate_series(1, 400) i;
  INSERT INTO loose SELECT 'l' || i, i FROM generate_series(1, 40) i`

const mine = "project IN (SELECT project FROM members WHERE person = 3)"
/** Parameters of a shape, and the query for its rows. */
export type ComparedShape = readonly [params: Readonly<Record<string, string>>, query: string]

/** Shapes of every kind. */
export const shapes: ReadonlyArray<ComparedShape> = [
  [{ table: "items" }, "SELECT * FROM items"],
  [{ table: "items", replica: "full" }, "SELECT * FROM items"],
  [
    { table: "items", columns: "id,note", where: "project = 2" },
    "SELECT id, note FROM items WHERE project = 2"
  ],
  [{ table: "items", where: mine }, `SELECT * FROM items WHERE ${mine}`],
  [{ table: "items", where: mine, replica: "full" }, `SELECT * FROM items WHERE ${mine}`],
  [{ table: "loose" }, "SELECT * FROM loose"]
]

/** Of types, and with a function, that are not built in. */
export const moods = `
  CREATE TYPE mood AS ENUM ('sad', 'fine', 'glad');
  CREATE DOMAIN short AS text CHECK (length(value) < 40);
  CREATE FUNCTION louder(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT upper($1) || '!'$$;
  CREATE TABLE people (id int PRIMARY KEY, feels mood, felt mood[], nick short);
  INSERT INTO people SELECT i, (enum_range(NULL::mood))[1 + i % 3], ARRAY['sad', 'glad']::mood[], 'n' || i
    FROM generate_series(1, 60) i`

/** Also of types and with functions that are not built in, whose OIDs are others in another cluster. */
export const every: ReadonlyArray<ComparedShape> = [
  ...shapes,
  [{ table: "people" }, "SELECT * FROM people"],
  [{ table: "people", where: "feels > 'sad'" }, "SELECT * FROM people WHERE feels > 'sad'"],
  [{ table: "people", where: "louder(nick) = 'N7!'" }, "SELECT * FROM people WHERE louder(nick) = 'N7!'"],
  [{ table: "items", where: "id = $1", "params[1]": "7" }, "SELECT * FROM items WHERE id = 7"]
]

/** Readers of the shapes at their ends. */
export const readersAt = async (
  url: string,
  these: ReadonlyArray<ComparedShape> = shapes
): Promise<ReadonlyArray<ShapeLogReader>> => {
  const readers = these.map(
    ([params]) => new ShapeLogReader({ url, params, retryMillis: 20_000, changesOnly: true })
  )
  for (const reader of readers) await reader.readToEnd()
  return readers
}

/** Follows until the readers hold what the queries give. */
export const expectSelected = async (
  database: TestDatabase,
  readers: ReadonlyArray<ShapeLogReader>,
  url: string,
  these: ReadonlyArray<ComparedShape> = shapes
) => {
  for (const [i, [params, query]] of these.entries()) {
    const reader = readers[i]
    if (reader === undefined) continue
    reader.moveTo(url)
    const expected = await database.queryText(query)
    const differs = () => differenceOfRows(expected, [...reader.rows.values()])
    await reader
      .followUntil(`the rows of ${JSON.stringify(params)}`, () => differs() === undefined)
      .catch((error: unknown) => assert.fail(`${String(error)}: ${differs()}`))
  }
}
