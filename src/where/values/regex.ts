import { undecided } from "./Failure.ts"
import { parseRegex, type Regex } from "./regexParse.ts"
import { isAscii, type CollationKind } from "./text.ts"

/**
 * Matches by simulating a finite automaton whose states are built as they are met: time is linear in the text
 * for every pattern, so no pattern can stall the process.
 */
export type RegexMatcher = (text: string) => boolean

interface Node {
  readonly kind: "set" | "split" | "start" | "end" | "match"
  readonly ranges: ReadonlyArray<number>
  readonly negated: boolean
  out: number
  other: number
}

const maxNodes = 5000
const maxStates = 2000

class Automaton {
  readonly nodes: Array<Node> = []
  usesClass = false

  add(
    kind: Node["kind"],
    out: number,
    other = -1,
    ranges: ReadonlyArray<number> = [],
    negated = false
  ): number {
    if (this.nodes.length >= maxNodes) return undecided("a regular expression too large")
    this.nodes.push({ kind, ranges, negated, out, other })
    return this.nodes.length - 1
  }

  /** Nodes for `regex` that continue at `next`; returns the entry. */
  build(regex: Regex, next: number): number {
    switch (regex.kind) {
      case "set":
        this.usesClass ||= regex.usesClass
        return this.add("set", next, -1, regex.ranges, regex.negated)
      case "start":
      case "end":
        return this.add(regex.kind, next)
      case "sequence": {
        let entry = next
        for (let i = regex.parts.length - 1; i >= 0; i--) {
          const part = regex.parts[i]
          if (part !== undefined) entry = this.build(part, entry)
        }
        return entry
      }
      case "choice":
        return regex.options
          .map((option) => this.build(option, next))
          .reduce((left, right) => this.add("split", left, right))
      case "repeat": {
        let entry = next
        if (regex.max === Infinity) {
          const loop = this.add("split", -1, next)
          const node = this.nodes[loop]
          const body = this.build(regex.part, loop)
          if (node !== undefined) node.out = body
          entry = loop
        } else {
          for (let i = regex.min; i < regex.max; i++)
            entry = this.add("split", this.build(regex.part, entry), next)
        }
        for (let i = 0; i < regex.min; i++) entry = this.build(regex.part, entry)
        return entry
      }
    }
  }

  /** Everything reachable from `from` without reading a character. */
  closure(from: ReadonlyArray<number>, atStart: boolean, atEnd: boolean): ReadonlyArray<number> {
    const seen = new Set<number>()
    const stack = [...from]
    for (let index = stack.pop(); index !== undefined; index = stack.pop()) {
      if (seen.has(index)) continue
      seen.add(index)
      const node = this.nodes[index]
      if (node === undefined) continue
      if (node.kind === "split") stack.push(node.out, node.other)
      else if ((node.kind === "start" && atStart) || (node.kind === "end" && atEnd)) stack.push(node.out)
    }
    return [...seen].filter((index) => this.nodes[index]?.kind !== "split").toSorted((a, b) => a - b)
  }
}

interface State {
  readonly members: ReadonlyArray<number>
  readonly accepts: boolean
  readonly acceptsAtEnd: boolean
  readonly ascii: Array<State | undefined>
  readonly wide: Map<number, State>
}

const contains = (node: Node, code: number): boolean => {
  const { ranges } = node
  for (let i = 0; i < ranges.length; i += 2) {
    if (code >= (ranges[i] ?? 0) && code <= (ranges[i + 1] ?? 0)) return !node.negated
  }
  return node.negated
}

/** Compiles a pattern; throws `Undecided` when it is one that only Postgres decides. */
export const compileRegex = (
  pattern: string,
  ignoreCase: boolean,
  collation: CollationKind
): RegexMatcher => {
  const automaton = new Automaton()
  const match = automaton.add("match", -1)
  const entry = automaton.build(parseRegex(pattern, ignoreCase), match)
  const classesDependOnLocale = automaton.usesClass && collation !== "c"
  let states = new Map<string, State>()
  const stateOf = (members: ReadonlyArray<number>): State => {
    const key = members.join(",")
    const known = states.get(key)
    if (known !== undefined) return known
    if (states.size >= maxStates) states = new Map()
    const state: State = {
      members,
      accepts: members.includes(match),
      acceptsAtEnd: automaton.closure(members, false, true).includes(match),
      ascii: [],
      wide: new Map()
    }
    states.set(key, state)
    return state
  }
  const start = stateOf(automaton.closure([entry], true, false))
  const step = (state: State, code: number): State => {
    const targets = [entry]
    for (const index of state.members) {
      const node = automaton.nodes[index]
      if (node !== undefined && node.kind === "set" && contains(node, code)) targets.push(node.out)
    }
    return stateOf(automaton.closure(targets, false, false))
  }
  return (text) => {
    if (classesDependOnLocale && !isAscii(text)) return undecided("character classes on letters beyond ASCII")
    let state = start
    if (text === "") return automaton.closure([entry], true, true).includes(match)
    for (let i = 0; i < text.length; i++) {
      if (state.accepts) return true
      let code = text.charCodeAt(i)
      let next: State | undefined
      if (code < 128) {
        next = state.ascii[code]
        if (next === undefined) state.ascii[code] = next = step(state, code)
      } else {
        if ((code & 0xfc00) === 0xd800) code = text.codePointAt(i++) ?? 0
        next = state.wide.get(code)
        if (next === undefined) {
          next = step(state, code)
          if (state.wide.size < 500) state.wide.set(code, next)
        }
      }
      state = next
    }
    return state.accepts || state.acceptsAtEnd
  }
}

/** The regular expression that `SIMILAR TO pattern ESCAPE escape` stands for. */
export const similarToRegex = (pattern: string, escape: string): string => {
  const escapes = Array.from(escape)
  if (escapes.length > 1) return undecided("an escape string of several characters")
  const escapeCharacter = escapes[0]
  let out = "^(?:"
  let inBracket = false
  let afterEscape = false
  for (const character of pattern) {
    if (afterEscape) {
      if (character === '"' || inBracket) return undecided("a SIMILAR TO pattern with special escapes")
      out += `\\${character}`
      afterEscape = false
    } else if (character === escapeCharacter) afterEscape = true
    else if (inBracket) {
      if (character === "\\" || character === "[" || character === "^") {
        return undecided("a SIMILAR TO bracket expression with special characters")
      }
      out += character
      if (character === "]") inBracket = false
    } else if (character === "[") {
      out += character
      inBracket = true
    } else if (character === "%") out += ".*"
    else if (character === "_") out += "."
    else if (character === "(") out += "(?:"
    else if (character === "\\" || character === "." || character === "^" || character === "$") {
      out += `\\${character}`
    } else out += character
  }
  return `${out})$`
}
