import { Result } from "effect"

/** What a client named, as Postgres knows it: case folded, quotes removed. */
export interface TableName {
  readonly schema: string
  readonly name: string
}

/** Postgres cuts longer names off silently (NAMEDATALEN - 1); a request that means one is refused instead. */
const maxCharacters = 63

const unquoted = /^[\p{L}_][\p{L}\p{M}0-9_$]*$/u

/**
 * Reads one SQL identifier: `"Any ""text"""` literally, anything else as a plain word folded to lower case in
 * ASCII only (Postgres folds other letters by locale, so nobody can rely on it). The failure is the text that
 * the HTTP API answers. Source: PostgreSQL documentation, "Identifiers and Key Words"; HTTP API, `table`.
 */
export const parseIdentifier = (text: string): Result.Result<string, string> => {
  if (text === "") return Result.fail("Invalid zero-length delimited identifier")
  let name: string
  if (text.length >= 2 && text.startsWith('"') && text.endsWith('"')) {
    const inner = text.slice(1, -1)
    if (inner === "") return Result.fail("Invalid zero-length delimited identifier")
    if (inner.replaceAll('""', "").includes('"')) {
      return Result.fail(`Invalid identifier with unescaped quote: ${inner}`)
    }
    name = inner.replaceAll('""', '"')
  } else {
    if (!unquoted.test(text)) {
      return Result.fail(`Invalid unquoted identifier contains special characters: ${text}`)
    }
    name = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  }
  return isLongerThan(name, maxCharacters)
    ? Result.fail(`Identifier is too long (max length is ${maxCharacters})`)
    : Result.succeed(name)
}

/** Counts characters, not UTF-16 units, and stops as soon as the answer is known. */
const isLongerThan = (text: string, characters: number): boolean => {
  if (text.length <= characters) return false
  let count = 0
  for (const _ of text) if (++count > characters) return true
  return false
}

/** Splits at every `separator` that stands outside double quotes. */
const splitOutsideQuotes = (text: string, separator: string): Array<string> => {
  const parts: Array<string> = []
  let from = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '"') quoted = !quoted
    else if (character === separator && !quoted) {
      parts.push(text.slice(from, at))
      from = at + 1
    }
  }
  parts.push(text.slice(from))
  return parts
}

/** The `table` parameter: `name` or `schema.name`; without a schema `public` is meant. */
export const parseTableName = (text: string): Result.Result<TableName, string> => {
  if (text.trim() === "") return Result.fail("can't be blank")
  const parts = splitOutsideQuotes(text, ".")
  if (parts.length > 2) return Result.fail(`Invalid relation identifier, too many delimiters: ${text}`)
  const names: Array<string> = []
  for (const part of parts) {
    const name = parseIdentifier(part)
    if (Result.isFailure(name)) return Result.fail(name.failure)
    names.push(name.success)
  }
  const name = names.pop() ?? ""
  return Result.succeed({ schema: names.pop() ?? "public", name })
}

/** The `columns` parameter as one string: identifiers separated by commas, without spaces. */
export const parseColumnList = (text: string): Result.Result<ReadonlyArray<string>, string> => {
  const names: Array<string> = []
  for (const part of splitOutsideQuotes(text, ",")) {
    const name = parseIdentifier(part)
    if (Result.isFailure(name)) return Result.fail(name.failure)
    names.push(name.success)
  }
  return Result.succeed(names)
}

/** The `columns` parameter as a list (`columns[]=…`): names taken as they are. */
export const checkColumnNames = (
  names: ReadonlyArray<string>
): Result.Result<ReadonlyArray<string>, string> =>
  names.includes("") ? Result.fail("Invalid zero-length identifier") : Result.succeed(names)

/** The answer for a table that is not there (HTTP API, error of `table`). */
export const tableDoesNotExist = (table: TableName): string =>
  `Table ${shownTable(table)} does not exist. ` +
  "If the table name contains capitals or special characters you must quote it."

/** The table as messages to clients write it. */
export const shownTable = ({ schema, name }: TableName): string =>
  `"${escapeQuotes(schema)}"."${escapeQuotes(name)}"`

const escapeQuotes = (name: string): string => name.replaceAll('"', '\\"')

/**
 * A name as an SQL identifier. A NUL cannot be part of any name and would end the statement early for a server
 * that reads it as a C string, so it is a defect: check names that come from outside with `couldBeName`.
 */
export const quoteIdentifier = (name: string): string => `"${withoutNul(name).replaceAll('"', '""')}"`

export const quoteTable = ({ schema, name }: TableName): string =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`

/**
 * A text as an SQL string constant, whatever `standard_conforming_strings` is: with a backslash inside it uses the
 * `E''` form. For the simple query protocol, which has no parameters; elsewhere use parameters. NUL is a defect.
 */
export const quoteLiteral = (text: string): string => {
  const quoted = withoutNul(text).replaceAll("'", "''")
  // The leading blank keeps the E from joining a word that stands before it.
  return quoted.includes("\\") ? ` E'${quoted.replaceAll("\\", "\\\\")}'` : `'${quoted}'`
}

/** False for texts that no name in Postgres can be equal to, and that Postgres would refuse to look up. */
export const couldBeName = (name: string): boolean => name !== "" && !name.includes("\0")

const withoutNul = (text: string): string => {
  if (text.includes("\0")) throw new RangeError("SQL text must not contain a NUL character.")
  return text
}
