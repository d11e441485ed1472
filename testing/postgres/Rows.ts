import type { TestDatabase } from "./Database.ts"

/** A row with every value as Postgres writes it, or null. */
export type TextRow = Readonly<Record<string, string | null>>

/** The session settings under which values become text on the wire. */
const displaySettings = `
  SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC';
  SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'`

/** The rows of a query as the shape of the same rows must show them. */
export const selectRows = async (database: TestDatabase, sql: string): Promise<ReadonlyArray<TextRow>> => {
  const client = await database.connect()
  try {
    await client.query(displaySettings)
    const { rows } = await client.query<Record<string, string | null>>({
      text: sql,
      types: { getTypeParser: () => (value: unknown) => value }
    })
    return rows
  } finally {
    await client.end()
  }
}

/**
 * What differs between two collections of rows, for a person to read; undefined when they are equal, in any order.
 * Duplicate rows count, unless `collapse` says that the reader keeps one of equal rows (a table without a primary key).
 */
export const differenceOfRows = (
  expected: ReadonlyArray<TextRow>,
  found: ReadonlyArray<TextRow>,
  options: { readonly collapse?: boolean } = {}
): string | undefined => {
  const counts = new Map<string, number>()
  for (const text of texts(expected, options.collapse)) counts.set(text, (counts.get(text) ?? 0) + 1)
  for (const text of texts(found, options.collapse)) counts.set(text, (counts.get(text) ?? 0) - 1)
  const missing: Array<string> = []
  const surplus: Array<string> = []
  for (const [text, count] of counts) {
    for (let i = 0; i < count; i++) missing.push(text)
    for (let i = 0; i > count; i--) surplus.push(text)
  }
  if (missing.length === 0 && surplus.length === 0) return undefined
  return [
    `${expected.length} rows expected, ${found.length} found`,
    ...examples("missing", missing),
    ...examples("not expected", surplus)
  ].join("\n")
}

const texts = (rows: ReadonlyArray<TextRow>, collapse: boolean | undefined): Iterable<string> => {
  const all = rows.map((row) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1))))
  return collapse === true ? new Set(all) : all
}

const shownExamples = 5

const examples = (what: string, rows: ReadonlyArray<string>): ReadonlyArray<string> =>
  rows.length === 0
    ? []
    : [
        `${rows.length} ${what}, for example:`,
        ...rows
          .toSorted()
          .slice(0, shownExamples)
          .map((row) => `  ${row.slice(0, 500)}`)
      ]
