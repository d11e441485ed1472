import { createRequire } from "node:module"
import { dirname } from "node:path"
import { Effect } from "effect"
import type { Node } from "libpg-query"
import { BoundedMap } from "../../shared/BoundedMap.ts"
import { aboveLimit, type Limits } from "../../config/Limits.ts"
import { patternOf, templateOf } from "./Literals.ts"
import { sizeOfText } from "./TextSize.ts"
import { Refusal, refuse } from "../WhereError.ts"

type Library = typeof import("libpg-query")
let library: Library | undefined
let loading: Promise<void> | undefined

const require = createRequire(import.meta.url)

/** A parser of its own, with memory and stack of its own: Node is made to forget the one before. */
const load = async (): Promise<void> => {
  const path = require.resolve("libpg-query")
  const folder = dirname(path)
  for (const file of Object.keys(require.cache)) if (file.startsWith(folder)) delete require.cache[file]
  const loaded = require(path) as Library
  await loaded.loadModule()
  library = loaded
}

/**
 * Loads Postgres' own parser (some 100 ms, about 100 MB). Needed before anything is compiled; costs nothing again.
 *
 * The parser is C compiled to WebAssembly, and an exception that leaves it half-way (the stack is full, memory is out)
 * unwinds JavaScript only: the stack pointer in its memory and what it had allocated stay where they were, and after some
 * such calls nothing is left for the next one. So whatever it throws that is no error of the SQL in the text makes it
 * worthless: `replaceParser` begins to load another one, and who asks here meanwhile waits for that. Texts that could do
 * so are refused before (`sizeOfText`), so it should not happen at all. The scanner of names goes on with the old one.
 */
export const loadParser: Effect.Effect<void> = Effect.suspend(() =>
  loading === undefined && library !== undefined
    ? Effect.void
    : // A package that cannot be loaded is a defect.
      Effect.promise(() => (loading ??= load().finally(() => (loading = undefined))))
)

let replaced = 0

/** How many parsers have been thrown away in this process. */
export const replacedParsers = (): number => replaced

const replaceParser = (): void => {
  replaced++
  loading ??= load().finally(() => (loading = undefined))
  // A caller that waits for it sees the failure; without one the next caller tries again.
  loading.catch(() => {})
}

const parser = (): Library => {
  if (library === undefined) throw new Error("The parser is used before it was loaded")
  return library
}

export interface ParsedExpression {
  readonly node: Node
  /** Character position in the user's text of a byte offset that the parser reports. */
  readonly position: (location: number | undefined) => number
}

/** Runs the parser; throws `Refusal` for what it calls an error. */
const parse = (text: string, prefix: string): ReturnType<Library["parseSync"]> => {
  try {
    // The line break keeps a comment at the end of the text from swallowing anything.
    return parser().parseSync(`${prefix}${text}\n`)
  } catch (failure) {
    if (!parser().hasSqlDetails(failure) || failure.sqlDetails === undefined) {
      replaceParser()
      return refuse("the clause is nested too deep or too large to be parsed")
    }
    const { message, cursorPosition } = failure.sqlDetails
    const position = Math.max(0, Math.min(cursorPosition - prefix.length, text.length))
    // Clients know places of syntax errors in conditions counted with what the reference service puts in front.
    const shown = prefix === wherePrefix ? position + prefix.length : position
    throw new Refusal({
      message: `At location ${shown}: ${message}`,
      position,
      parameter: "where",
      final: true
    })
  }
}

/** What the lexer may spend on rows of signs: 1,000 signs in a row, or many short rows. */
const maxSigns = 1_000_000

const guard = (text: string, limits: Limits): void => {
  const bytes = Buffer.byteLength(text)
  if (bytes > limits.clauseBytes) refuse(aboveLimit("clauseBytes", limits, bytes))
  if (text.includes("\0")) refuse(`At location ${text.indexOf("\0")}: a NUL character is not allowed`)
  if (!text.isWellFormed()) refuse("the text is not valid Unicode")
  // No short text is large.
  if (text.length < 256) return
  const { tokens, depth, signs } = sizeOfText(text)
  if (tokens > limits.clauseTokens) refuse(aboveLimit("clauseTokens", limits, tokens))
  if (depth > limits.clauseDepth) refuse(aboveLimit("clauseDepth", limits, depth))
  if (signs > maxSigns) refuse("too many signs follow each other in the text")
}

const positions = (text: string, prefix: string): ParsedExpression["position"] => {
  // The parser counts UTF-8 bytes; for ASCII they are the characters.
  const bytes = Buffer.from(text, "utf8")
  return (location) => {
    if (location === undefined || location < prefix.length) return -1
    const offset = location - prefix.length
    return bytes.length === text.length ? offset : bytes.toString("utf8", 0, offset).length
  }
}

const onlyKeys = (object: object, allowed: ReadonlySet<string>): boolean =>
  Object.keys(object).every((key) => allowed.has(key))

const wherePrefix = "SELECT 1 WHERE "
const whereKeys = new Set(["targetList", "whereClause", "limitOption", "op"])

/** Forms that are remembered, by the length of their texts together: some 200 bytes of memory a character. */
const maxFormCharacters = 100_000
const forms = new BoundedMap<string, ReturnType<typeof templateOf>>(
  maxFormCharacters,
  (_, { length }) => length
)

/**
 * `parseCondition`, but of a clause whose like was parsed before only the literals are looked at: the parser takes a
 * tenth of a millisecond, and memory. Places of errors are those of the other clause then; a caller that is refused asks
 * `parseCondition`.
 */
export const parseLikeBefore = (text: string, limits: Limits): ParsedExpression => {
  guard(text, limits)
  const pattern = patternOf(text)
  if (pattern === undefined) return parseCondition(text, limits)
  const { form, literals } = pattern
  const known = forms.get(form)
  if (known !== undefined) return { node: known(literals), position: () => -1 }
  const parsed = parseCondition(text, limits)
  // A zero does not show whether a sign before it is part of the number.
  if (!literals.includes(0)) forms.set(form, templateOf(parsed.node, literals))
  return parsed
}

/** Parses a condition; exactly one, with nothing after it. Throws `Refusal`. */
export const parseCondition = (text: string, limits: Limits): ParsedExpression => {
  guard(text, limits)
  const parsed = parse(text, wherePrefix)
  const statements = parsed.stmts ?? []
  if (statements.length !== 1) return refuse('unescaped ";" causing statement split')
  const statement = statements[0]?.stmt
  if (statement === undefined || !("SelectStmt" in statement))
    return refuse("malformed query ending with SQL clauses")
  const select = statement.SelectStmt
  const target = select.targetList?.length === 1
  if (
    !onlyKeys(select, whereKeys) ||
    !target ||
    select.whereClause === undefined ||
    select.op !== "SETOP_NONE" ||
    select.limitOption !== "LIMIT_OPTION_DEFAULT"
  ) {
    return refuse("malformed query ending with SQL clauses")
  }
  return { node: select.whereClause, position: positions(text, wherePrefix) }
}

const orderPrefix = "SELECT 1 ORDER BY "
const orderKeys = new Set(["targetList", "sortClause", "limitOption", "op"])

/** Parses the items of an ORDER BY. Throws `Refusal`. */
export const parseOrderBy = (
  text: string,
  limits: Limits
): { readonly items: ReadonlyArray<Node>; readonly position: ParsedExpression["position"] } => {
  guard(text, limits)
  const items = sizeOfText(text).commas + 1
  if (items > limits.orderItems) refuse(aboveLimit("orderItems", limits, items))
  const parsed = parse(text, orderPrefix)
  const statements = parsed.stmts ?? []
  const statement = statements[0]?.stmt
  if (statements.length !== 1 || statement === undefined || !("SelectStmt" in statement)) {
    return refuse("Unexpected `;` in order by")
  }
  const select = statement.SelectStmt
  if (!onlyKeys(select, orderKeys) || select.sortClause === undefined || select.op !== "SETOP_NONE") {
    return refuse("malformed query ending with SQL clauses")
  }
  return { items: select.sortClause, position: positions(text, orderPrefix) }
}

const plainNames = new BoundedMap<string, boolean>(20_000)

/** Writes an identifier so that Postgres reads exactly this name; quoted only where it has to be. */
export const identifier = (name: string): string => {
  let plain = plainNames.get(name)
  if (plain === undefined) {
    plain = /^[a-z_][a-z0-9_]*$/.test(name) && !isKeyword(name)
    plainNames.set(name, plain)
  }
  return plain ? name : `"${name.replaceAll('"', '""')}"`
}

const isKeyword = (name: string): boolean => {
  const token = parser().scanSync(name).tokens[0]
  return token === undefined || token.keywordKind > 1
}
