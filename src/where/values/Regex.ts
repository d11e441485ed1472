import { undecided } from "./Failure.ts"
import { RegexMachine } from "./RegexMachine.ts"
import { isAscii, type CollationKind } from "./Text.ts"
import { spend } from "./Work.ts"

/** Whether a text matches. Throws `Undecided` when only Postgres can tell, or the row has cost enough. */
export type RegexMatcher = (text: string) => boolean

/** A pattern and, while there is memory for it, the machine that it was compiled to. */
interface Compiled {
  machine: RegexMachine | undefined
}

/** Machines may take so much together, some 40 bytes each; then all are forgotten, and made anew when they are needed. */
const maxUnits = 1_000_000
let units = 0
const machines = new Set<Compiled>()

const take = (count: number): void => {
  units += count
  if (units < maxUnits) return
  for (const compiled of machines) compiled.machine = undefined
  machines.clear()
  units = 0
}

/**
 * Compiles a pattern; throws `Undecided` when it is one that only Postgres decides. Simulates a finite automaton whose
 * states are built as they are met. Each state that is built costs steps by its size, and each character a fraction of
 * one, so no pattern and no text holds the process up for longer than an evaluation may take. What is held in memory for
 * all patterns together is bounded too.
 */
export const compileRegex = (
  pattern: string,
  ignoreCase: boolean,
  collation: CollationKind
): RegexMatcher => {
  const compiled: Compiled = { machine: undefined }
  const machine = (): RegexMachine => {
    if (compiled.machine !== undefined) return compiled.machine
    const made = new RegexMachine(pattern, ignoreCase, take)
    compiled.machine = made
    machines.add(compiled)
    return made
  }
  const classesDependOnLocale = machine().usesClass && collation !== "c"
  return (text) => {
    spend(text.length >> 1)
    if (classesDependOnLocale && !isAscii(text)) return undecided("character classes on letters beyond ASCII")
    return machine().matches(text)
  }
}

/** The regular expression that `SIMILAR TO pattern ESCAPE escape` stands for. */
export const similarToRegex = (pattern: string, escape: string): string => {
  spend(pattern.length * 4 + escape.length)
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
