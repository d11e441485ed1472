import { Effect } from "effect"
import type { Node } from "libpg-query"
import { patternOf, templateOf } from "./literals.ts"
import { Refusal, refuse } from "../WhereError.ts"

type Library = typeof import("libpg-query")
let library: Library | undefined
let loading: Promise<void> | undefined

const load = async (): Promise<void> => {
  const loaded = await import("libpg-query")
  await loaded.loadModule()
  library = loaded
}

/** Loads Postgres' own parser (some 100 ms, about 100 MB). Needed once before anything is compiled; costs nothing again. */
export const loadParser: Effect.Effect<void> = Effect.suspend(() =>
  library === undefined ? Effect.promise(() => (loading ??= load())) : Effect.void
)

const parser = (): Library => {
  if (library === undefined) throw new Error("The parser is used before it was loaded")
  return library
}

/** Longer clauses are refused: parsing and everything after it runs on the event loop. */
export const maxClauseBytes = 65_536

export interface ParsedExpression {
  readonly node: Node
  /** Character position in the user's text of a byte offset that the parser reports. */
  readonly position: (location: number | undefined) => number
}

const syntaxError = (text: string, prefix: string, failure: unknown): never => {
  if (!parser().hasSqlDetails(failure) || failure.sqlDetails === undefined) {
    return refuse("the clause is nested too deep or too large to be parsed")
  }
  const { message, cursorPosition } = failure.sqlDetails
  const position = Math.max(0, Math.min(cursorPosition - prefix.length, text.length))
  throw new Refusal({
    message: `At location ${position}: ${message}`,
    position,
    parameter: "where",
    unknownName: false
  })
}

const guard = (text: string): void => {
  if (Buffer.byteLength(text) > maxClauseBytes) {
    refuse(`the text is bigger than maximum size of ${maxClauseBytes} bytes`)
  }
  if (text.includes("\0")) refuse(`At location ${text.indexOf("\0")}: a NUL character is not allowed`)
  if (!text.isWellFormed()) refuse("the text is not valid Unicode")
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

/** Forms that are remembered. */
const maxForms = 500
const forms = new Map<string, ReturnType<typeof templateOf>>()

/**
 * `parseCondition`, but of a clause whose like was parsed before only the literals are looked at: the parser takes a
 * tenth of a millisecond, and memory. Places of errors are those of the other clause then; whoever is refused asks
 * `parseCondition`.
 */
export const parseLikeBefore = (text: string): ParsedExpression => {
  guard(text)
  const pattern = patternOf(text)
  if (pattern === undefined) return parseCondition(text)
  const { form, literals } = pattern
  const known = forms.get(form)
  if (known !== undefined) return { node: known(literals), position: () => -1 }
  const parsed = parseCondition(text)
  // A zero does not show whether a sign before it is part of the number.
  if (!forms.has(form) && !literals.includes(0)) {
    const oldest = forms.size < maxForms ? undefined : forms.keys().next().value
    if (oldest !== undefined) forms.delete(oldest)
    forms.set(form, templateOf(parsed.node, literals))
  }
  return parsed
}

/** Parses a condition; exactly one, with nothing after it. Throws `Refusal`. */
export const parseCondition = (text: string): ParsedExpression => {
  guard(text)
  // The line break keeps a comment at the end of the text from swallowing anything.
  const parsed = (() => {
    try {
      return parser().parseSync(`${wherePrefix}${text}\n`)
    } catch (failure) {
      return syntaxError(text, wherePrefix, failure)
    }
  })()
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
  text: string
): { readonly items: ReadonlyArray<Node>; readonly position: ParsedExpression["position"] } => {
  guard(text)
  const parsed = (() => {
    try {
      return parser().parseSync(`${orderPrefix}${text}\n`)
    } catch (failure) {
      return syntaxError(text, orderPrefix, failure)
    }
  })()
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

const plainNames = new Map<string, boolean>()

/** Writes an identifier so that Postgres reads exactly this name; quoted only where it has to be. */
export const identifier = (name: string): string => {
  let plain = plainNames.get(name)
  if (plain === undefined) {
    plain = /^[a-z_][a-z0-9_]*$/.test(name) && !isKeyword(name)
    if (plainNames.size > 20_000) plainNames.clear()
    plainNames.set(name, plain)
  }
  return plain ? name : `"${name.replaceAll('"', '""')}"`
}

const isKeyword = (name: string): boolean => {
  const token = parser().scanSync(name).tokens[0]
  return token === undefined || token.keywordKind > 1
}
