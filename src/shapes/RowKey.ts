/** A name as Postgres quotes it in SQL: in double quotes, inner double quotes doubled. */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/**
 * How every row of a table is identified, in snapshot, stream and subset alike:
 *
 * `"<schema>"."<table>"`, then for each key column in key order `/` and either `_` for NULL or `"<text>"` with `/`
 * doubled inside the text. Names are quoted as Postgres does it (inner `"` doubled; `.` and `/` stay as they are);
 * a `"` inside a value is not escaped, which is unambiguous because a single `/` never occurs inside a value.
 * For a partition the names are those of its root table.
 */
export const rowKey = (
  table: { readonly schema: string; readonly name: string },
  values: ReadonlyArray<string | null>
): string => {
  let key = keyPrefix(table)
  for (const value of values) key += value === null ? "/_" : `/"${value.replaceAll("/", "//")}"`
  return key
}

export const keyPrefix = (table: { readonly schema: string; readonly name: string }): string =>
  `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`
