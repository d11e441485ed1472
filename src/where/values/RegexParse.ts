import { undecided } from "./Failure.ts"

/**
 * The part of Postgres' advanced regular expressions that a finite automaton decides: literals, `.`, bracket
 * expressions, groups, alternation, quantifiers (greedy or not: the verdict is the same), `^ $ \A \Z`.
 * Everything else (back references, look-around, word boundaries, collating elements, directors) is Postgres'.
 * Source: PostgreSQL documentation, "POSIX Regular Expressions".
 */
export type Regex =
  | {
      readonly kind: "set"
      readonly ranges: ReadonlyArray<number>
      readonly negated: boolean
      readonly usesClass: boolean
    }
  | { readonly kind: "sequence"; readonly parts: ReadonlyArray<Regex> }
  | { readonly kind: "choice"; readonly options: ReadonlyArray<Regex> }
  | { readonly kind: "repeat"; readonly part: Regex; readonly min: number; readonly max: number }
  | { readonly kind: "start" }
  | { readonly kind: "end" }

const unsupported = (): never => undecided("a regular expression form that Postgres decides")

const digit = [48, 57]
const space = [9, 13, 32, 32]
const word = [48, 57, 65, 90, 95, 95, 97, 122]

const classes: Readonly<Record<string, ReadonlyArray<number>>> = {
  digit,
  space,
  alpha: [65, 90, 97, 122],
  alnum: [48, 57, 65, 90, 97, 122],
  upper: [65, 90],
  lower: [97, 122],
  xdigit: [48, 57, 65, 70, 97, 102],
  blank: [9, 9, 32, 32],
  punct: [33, 47, 58, 64, 91, 96, 123, 126]
}

const simpleEscapes: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  e: 27,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  B: 92
}

const isAlphanumeric = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)

const any: Regex = { kind: "set", ranges: [], negated: true, usesClass: false }

class Reader {
  readonly codes: ReadonlyArray<number>
  readonly ignoreCase: boolean
  at = 0
  depth = 0
  constructor(pattern: string, ignoreCase: boolean) {
    this.codes = Array.from(pattern, (character) => character.codePointAt(0) ?? 0)
    this.ignoreCase = ignoreCase
  }

  peek(): number {
    return this.codes[this.at] ?? -1
  }

  next(): number {
    return this.codes[this.at++] ?? -1
  }

  set(ranges: ReadonlyArray<number>, negated = false, usesClass = false): Regex {
    if (!this.ignoreCase) return { kind: "set", ranges, negated, usesClass }
    const folded: Array<number> = [...ranges]
    for (let i = 0; i < ranges.length; i += 2) {
      const from = ranges[i] ?? 0
      const to = ranges[i + 1] ?? 0
      if (to > 127 && !usesClass) return unsupported()
      for (let code = from; code <= Math.min(to, 127); code++) {
        if (code >= 65 && code <= 90) folded.push(code + 32, code + 32)
        if (code >= 97 && code <= 122) folded.push(code - 32, code - 32)
      }
    }
    return { kind: "set", ranges: folded, negated, usesClass }
  }

  choice(): Regex {
    if (++this.depth > 200) return unsupported()
    const options = [this.sequence()]
    while (this.peek() === 124) {
      this.at++
      options.push(this.sequence())
    }
    this.depth--
    const only = options[0]
    return options.length === 1 && only !== undefined ? only : { kind: "choice", options }
  }

  sequence(): Regex {
    const parts: Array<Regex> = []
    for (let code = this.peek(); code !== -1 && code !== 124 && code !== 41; code = this.peek()) {
      parts.push(this.quantified())
    }
    return { kind: "sequence", parts }
  }

  quantified(): Regex {
    const atom = this.atom()
    const code = this.peek()
    if (code !== 42 && code !== 43 && code !== 63 && code !== 123) return atom
    if (atom.kind === "start" || atom.kind === "end") return unsupported()
    this.at++
    let min = code === 43 ? 1 : 0
    let max = code === 63 ? 1 : Infinity
    if (code === 123) {
      min = this.number()
      max = min
      if (this.peek() === 44) {
        this.at++
        max = this.peek() === 125 ? Infinity : this.number()
      }
      if (this.next() !== 125 || min > 255 || (max !== Infinity && (max > 255 || max < min)))
        return unsupported()
    }
    if (this.peek() === 63) this.at++
    const after = this.peek()
    if (after === 42 || after === 43 || after === 63 || after === 123) return unsupported()
    return { kind: "repeat", part: atom, min, max }
  }

  number(): number {
    let text = ""
    while (this.peek() >= 48 && this.peek() <= 57) text += String.fromCharCode(this.next())
    return text === "" || text.length > 4 ? unsupported() : Number(text)
  }

  atom(): Regex {
    const code = this.next()
    switch (code) {
      case 46:
        return any
      case 94:
        return { kind: "start" }
      case 36:
        return { kind: "end" }
      case 40: {
        if (this.peek() === 63) {
          if (this.codes[this.at + 1] !== 58) return unsupported()
          this.at += 2
        }
        const inner = this.choice()
        return this.next() === 41 ? inner : unsupported()
      }
      case 91:
        return this.bracket()
      case 92:
        return this.escape()
      case 42:
      case 43:
      case 63:
      case 123:
      case 41:
        return unsupported()
      default:
        return this.set([code, code])
    }
  }

  escape(): Regex {
    const code = this.next()
    if (code === -1) return unsupported()
    const letter = String.fromCodePoint(code)
    if (letter === "d") return this.set(digit, false, true)
    if (letter === "D") return this.set(digit, true, true)
    if (letter === "s") return this.set(space, false, true)
    if (letter === "S") return this.set(space, true, true)
    if (letter === "w") return this.set(word, false, true)
    if (letter === "W") return this.set(word, true, true)
    if (letter === "A") return { kind: "start" }
    if (letter === "Z") return { kind: "end" }
    const simple = simpleEscapes[letter]
    if (simple !== undefined) return this.set([simple, simple])
    return isAlphanumeric(code) ? unsupported() : this.set([code, code])
  }

  bracket(): Regex {
    const negated = this.peek() === 94
    if (negated) this.at++
    const ranges: Array<number> = []
    let usesClass = false
    let first = true
    for (;;) {
      let code = this.next()
      if (code === -1) return unsupported()
      if (code === 93 && !first) break
      first = false
      if (code === 91) {
        const kind = this.peek()
        if (kind === 46 || kind === 61) return unsupported()
        if (kind === 58) {
          ranges.push(...this.namedClass())
          usesClass = true
          continue
        }
      }
      if (code === 92) {
        const letter = String.fromCodePoint(Math.max(0, this.next()))
        const set = letter === "d" ? digit : letter === "s" ? space : letter === "w" ? word : undefined
        if (set !== undefined) {
          ranges.push(...set)
          usesClass = true
          continue
        }
        const simple = simpleEscapes[letter]
        code = simple ?? letter.codePointAt(0) ?? 0
        if (simple === undefined && isAlphanumeric(code)) return unsupported()
      }
      let to = code
      if (this.peek() === 45 && this.codes[this.at + 1] !== 93 && this.codes[this.at + 1] !== undefined) {
        this.at++
        to = this.next()
        if (to === 91 || to === 92 || to < code) return unsupported()
      }
      if (to === 45 && this.peek() === 45) return unsupported()
      ranges.push(code, to)
    }
    return this.set(ranges, negated, usesClass)
  }

  namedClass(): ReadonlyArray<number> {
    this.at++
    let name = ""
    while (this.peek() !== 58 && this.peek() !== -1 && name.length < 10)
      name += String.fromCodePoint(this.next())
    if (this.next() !== 58 || this.next() !== 93) return unsupported()
    return (Object.hasOwn(classes, name) ? classes[name] : undefined) ?? unsupported()
  }
}

/** Parses a pattern; throws `Undecided` for what only Postgres decides, malformed patterns included. */
export const parseRegex = (pattern: string, ignoreCase: boolean): Regex => {
  if (pattern.length > 20_000) return unsupported()
  let text = pattern
  let fold = ignoreCase
  if (text.startsWith("***")) return unsupported()
  const options = /^\(\?([a-z]+)\)/.exec(text)
  if (options !== null) {
    if (options[1] !== "i" && options[1] !== "c") return unsupported()
    fold = options[1] === "i"
    text = text.slice(options[0].length)
  }
  const reader = new Reader(text, fold)
  const parsed = reader.choice()
  return reader.peek() === -1 ? parsed : unsupported()
}
