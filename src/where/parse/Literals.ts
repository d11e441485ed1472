import type { Node } from "libpg-query"

/** A literal whose value does not decide how its clause is parsed. */
type Literal = number | string

/** A clause taken apart: what its literals are, and the text with a mark in place of each. */
interface Pattern {
  readonly form: string
  readonly literals: ReadonlyArray<Literal>
}

/** Longer clauses, and those with more literals, are not worth remembering. */
const maxLength = 2048
const maxLiterals = 100

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39
const isWord = (code: number): boolean =>
  isDigit(code) ||
  (code >= 0x41 && code <= 0x5a) ||
  (code >= 0x61 && code <= 0x7a) ||
  code === 0x5f ||
  code >= 0x80

/**
 * Finds the plain literals of a clause: whole numbers that surely fit an `integer`, and strings without escapes.
 * `undefined` for texts in which they cannot be told apart with certainty (comments, dollar quotes, prefixed or continued
 * strings). Source: PostgreSQL documentation, "Lexical Structure".
 */
export const patternOf = (text: string): Pattern | undefined => {
  if (text.length > maxLength) return undefined
  const literals: Array<Literal> = []
  let form = ""
  let copied = 0
  let at = 0
  const take = (literal: Literal, from: number, mark: string) => {
    literals.push(literal)
    form += text.slice(copied, from) + mark
    copied = at
  }
  while (at < text.length) {
    const code = text.charCodeAt(at)
    const from = at
    if (isDigit(code)) {
      while (at < text.length && (isWord(text.charCodeAt(at)) || text[at] === ".")) at++
      const token = text.slice(from, at)
      if (/^\d{1,9}$/.test(token) && text[from - 1] !== ".") take(Number(token), from, "\u0001")
    } else if (isWord(code)) {
      while (at < text.length && (isWord(text.charCodeAt(at)) || text[at] === "$")) at++
      // A string with a prefix, as in E'...' or U&'...'.
      if (text[at] === "'" || text[at] === "&") return undefined
    } else if (code === 0x27) {
      const end = text.indexOf("'", at + 1)
      if (end < 0) return undefined
      const content = text.slice(at + 1, end)
      at = end + 1
      // A quote inside, or another string that continues this one.
      if (content.includes("\\") || /^\s*'/.test(text.slice(at))) return undefined
      take(content, from, "\u0002")
    } else if (code === 0x22) {
      const end = text.indexOf('"', at + 1)
      if (end < 0) return undefined
      at = end + 1
    } else if (code === 0x24) {
      at++
      if (!isDigit(text.charCodeAt(at))) return undefined
      while (isDigit(text.charCodeAt(at))) at++
    } else {
      const pair = text.slice(at, at + 2)
      if (pair === "--" || pair === "/*" || code < 0x09) return undefined
      at++
    }
    if (literals.length > maxLiterals) return undefined
  }
  return { form: form + text.slice(copied), literals }
}

interface ConstantNode {
  readonly ival?: { readonly ival?: number }
  readonly sval?: { readonly sval?: string }
  readonly location?: number
}

/** The parser leaves out a zero. */
const valueOf = ({ ival, sval }: ConstantNode): Literal | undefined =>
  ival !== undefined ? (ival.ival ?? 0) : sval !== undefined ? (sval.sval ?? "") : undefined

/** Calls `visit` with every whole-number and string constant. */
const visitConstants = (value: unknown, visit: (constant: ConstantNode) => void): void => {
  if (Array.isArray(value)) for (const element of value) visitConstants(element, visit)
  else if (typeof value === "object" && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      if (key === "A_Const") visit(member as ConstantNode)
      else visitConstants(member, visit)
    }
  }
}

/**
 * The parsed clause with other literals in place of its own, or `undefined` when its constants are not just the literals of
 * its text, in their order (a sign makes another number of one, for example; of a zero that cannot be seen, so a clause
 * with one is no template).
 */
export const templateOf = (
  node: Node,
  literals: ReadonlyArray<Literal>
): ((others: ReadonlyArray<Literal>) => Node) | undefined => {
  const constants: Array<ConstantNode> = []
  visitConstants(node, (constant) => {
    if (valueOf(constant) !== undefined) constants.push(constant)
  })
  constants.sort((a, b) => (a.location ?? 0) - (b.location ?? 0))
  if (constants.length !== literals.length) return undefined
  if (constants.some((constant, i) => literals[i] === 0 || valueOf(constant) !== literals[i]))
    return undefined
  const places = new Map<unknown, number>(constants.map((constant, i) => [constant, i]))
  const copy = (value: unknown, others: ReadonlyArray<Literal>): unknown => {
    if (typeof value !== "object" || value === null) return value
    if (Array.isArray(value)) return value.map((element) => copy(element, others))
    const place = places.get(value)
    if (place !== undefined) {
      const literal = others[place] ?? 0
      const constant = value as ConstantNode
      return typeof literal === "number"
        ? { ...constant, ival: literal === 0 ? {} : { ival: literal } }
        : { ...constant, sval: { sval: literal } }
    }
    const made: Record<string, unknown> = {}
    for (const [key, member] of Object.entries(value)) made[key] = copy(member, others)
    return made
  }
  // The copy has the same structure, so it is a node too.
  return (others) => copy(node, others) as Node
}
