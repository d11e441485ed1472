import type { Random } from "../Random.ts"

/** What empties tables that shapes read. Rows come again with the next writes. */
export const truncations = (random: Random): ReadonlyArray<string> => [
  random.pick([
    "TRUNCATE items",
    "TRUNCATE items; INSERT INTO items SELECT i, i % 6, 'n' || i, NULL FROM generate_series(1, 60) i",
    "TRUNCATE loose",
    "TRUNCATE items, loose"
  ])
]

/**
 * What alters a table, and alters it back, in such a way that clients read what comes right by what they were told of its columns. Each is a
 * transaction of its own, and others write in between.
 */
export const alterations = (random: Random): ReadonlyArray<string> =>
  random.pick([
    ["ALTER TABLE items ADD COLUMN more text", "ALTER TABLE items DROP COLUMN more"],
    // A name of its own: who was told that there is no NULL in it has to start over when one comes under that name.
    ["ALTER TABLE items ADD COLUMN sure text NOT NULL DEFAULT 'x'", "ALTER TABLE items DROP COLUMN sure"],
    [
      "ALTER TABLE items ADD COLUMN more uuid DEFAULT gen_random_uuid()",
      "UPDATE items SET more = NULL WHERE id % 3 = 0",
      "ALTER TABLE items DROP COLUMN more"
    ],
    ["ALTER TABLE items RENAME COLUMN name TO title; ALTER TABLE items RENAME COLUMN title TO name"],
    ["ALTER TABLE items DROP COLUMN note, ADD COLUMN note text DEFAULT 'again'"],
    [
      "ALTER TABLE items ALTER COLUMN name TYPE varchar USING upper(name)",
      "ALTER TABLE items ALTER COLUMN name TYPE text"
    ],
    ["ALTER TABLE items ALTER COLUMN name TYPE text USING upper(name)"],
    ["ALTER TABLE members ALTER COLUMN project TYPE int USING 7 - project"],
    [
      "ALTER TABLE members ALTER COLUMN person TYPE bigint",
      "ALTER TABLE members ALTER COLUMN person TYPE int"
    ],
    ["ALTER TABLE items ALTER COLUMN project TYPE bigint", "ALTER TABLE items ALTER COLUMN project TYPE int"],
    [
      "ALTER TABLE items ALTER COLUMN project TYPE smallint",
      "ALTER TABLE items ALTER COLUMN project TYPE int"
    ]
  ])
