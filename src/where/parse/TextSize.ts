/** What parsing a text will cost, at most. */
interface TextSize {
  /** Words, literals and signs. */
  readonly tokens: number
  /**
   * The most tokens that stand inside each other: those since the last comma, AND, OR, WHEN, THEN or ELSE, of every
   * parenthesis that is open. The syntax tree is no deeper.
   */
  readonly depth: number
  /** What the lexer spends on signs: it reads all that follow each other again for each of them. */
  readonly signs: number
  /** Those that stand for themselves, at whatever depth. */
  readonly commas: number
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39
const isLetter = (code: number): boolean =>
  (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code === 0x5f || code >= 0x80

/** Characters that operators consist of. */
const isSign = (code: number): boolean => signs[code] === 1
const signs = new Uint8Array(65_536)
for (const character of "~!@#^&|`?+-*/%<>=") signs[character.charCodeAt(0)] = 1

const isLineEnd = (code: number): boolean => code === 0x0a || code === 0x0d

const quote = 0x27
const doubleQuote = 0x22
const dollar = 0x24
const dash = 0x2d
const slash = 0x2f
const star = 0x2a
const backslash = 0x5c

/** What is open: a parenthesis, a bracket, or CASE; and how many tokens stand in it since it was last separated. */
interface Level {
  isCase: boolean
  tokens: number
  /** BETWEENs whose AND is still to come. */
  betweens: number
}

/**
 * Takes a text apart as Postgres' lexer does, in one pass, without an opinion on whether it is a condition. Where the text
 * ends in the middle of a literal or a comment, the parser says so.
 * Source: PostgreSQL documentation, "Lexical Structure".
 */
export const sizeOfText = (text: string): TextSize => new Sizer(text).measure()

class Sizer {
  readonly text: string
  at = 0
  tokens = 0
  /** Of all levels together. */
  depth = 0
  deepest = 0
  signs = 0
  commas = 0
  run = 0
  readonly levels: Array<Level> = [{ isCase: false, tokens: 0, betweens: 0 }]
  constructor(text: string) {
    this.text = text
  }

  measure(): TextSize {
    const { text } = this
    while (this.at < text.length) {
      const code = text.charCodeAt(this.at)
      if (isSign(code)) this.sign(code)
      else {
        this.endRun()
        if (isLetter(code)) this.word()
        else if (isDigit(code)) this.number()
        else if (code === quote) this.string(false)
        else if (code === doubleQuote) this.quoted()
        else if (code === dollar) this.dollar()
        else this.other(code)
      }
    }
    this.endRun()
    return { tokens: this.tokens, depth: this.deepest, signs: this.signs, commas: this.commas }
  }

  endRun(): void {
    this.signs += this.run * this.run
    this.run = 0
  }

  token(): void {
    this.tokens++
    const level = this.levels.at(-1)
    if (level !== undefined) level.tokens++
    if (++this.depth > this.deepest) this.deepest = this.depth
  }

  separate(level: Level): void {
    this.depth -= level.tokens
    level.tokens = 0
  }

  open(isCase: boolean): void {
    this.token()
    this.levels.push({ isCase, tokens: 0, betweens: 0 })
  }

  close(isCase: boolean): void {
    const level = this.levels.at(-1)
    if (level === undefined || level.isCase !== isCase || this.levels.length === 1) return
    this.depth -= level.tokens
    this.levels.pop()
  }

  sign(code: number): void {
    const next = this.text.charCodeAt(this.at + 1)
    if (code === dash && next === dash) {
      this.endRun()
      while (this.at < this.text.length && !isLineEnd(this.text.charCodeAt(this.at))) this.at++
    } else if (code === slash && next === star) this.comment()
    else {
      // Most operators have several characters; but `+-+-` are four.
      if (this.run === 0 || code === 0x2b || code === dash) this.token()
      this.run++
      this.at++
    }
  }

  /** Comments nest. */
  comment(): void {
    let open = 0
    do {
      const code = this.text.charCodeAt(this.at)
      const next = this.text.charCodeAt(this.at + 1)
      const step = (code === slash && next === star) || (code === star && next === slash) ? 2 : 1
      if (step === 2) open += code === slash ? 1 : -1
      if (isSign(code)) this.run += step
      else this.endRun()
      this.at += step
    } while (open > 0 && this.at < this.text.length)
  }

  word(): void {
    const { text } = this
    const from = this.at
    let code = 0
    do code = text.charCodeAt(++this.at)
    while (isLetter(code) || isDigit(code) || code === dollar)
    const length = this.at - from
    if (code === quote && length === 1) return this.string((text.charCodeAt(from) | 32) === 0x65)
    this.keyword(length < 2 || length > 9 || text[from - 1] === "." ? "" : text.slice(from, this.at))
  }

  keyword(word: string): void {
    const level = this.levels.at(-1)
    if (level === undefined) return
    switch (word.toLowerCase()) {
      case "and":
        this.token()
        if (level.betweens > 0) level.betweens--
        else this.separate(level)
        return
      case "or":
        this.token()
        level.betweens = 0
        return this.separate(level)
      case "between":
        level.betweens++
        return this.token()
      case "case":
        return this.open(true)
      case "end":
        this.close(true)
        return this.token()
      case "when":
      case "then":
      case "else":
        if (level.isCase) this.separate(level)
        return this.token()
      case "union":
      case "intersect":
      case "except":
      case "join":
        // These nest whatever else stands between them.
        this.depth++
        return this.token()
      default:
        this.token()
    }
  }

  number(): void {
    let code = 0
    do code = this.text.charCodeAt(++this.at)
    while (isLetter(code) || isDigit(code) || code === 0x2e)
    this.token()
  }

  string(escapes: boolean): void {
    const { text } = this
    this.token()
    for (this.at++; this.at < text.length; this.at++) {
      const code = text.charCodeAt(this.at)
      if (code === backslash && escapes) this.at++
      else if (code === quote && text.charCodeAt(this.at + 1) === quote) this.at++
      else if (code === quote) break
    }
    this.at++
  }

  quoted(): void {
    this.token()
    const end = this.text.indexOf('"', this.at + 1)
    this.at = end < 0 ? this.text.length : end + 1
  }

  /** A parameter, or a string between two equal tags. */
  dollar(): void {
    const { text } = this
    this.token()
    const from = this.at
    let code = text.charCodeAt(++this.at)
    if (isDigit(code)) {
      while (isDigit(text.charCodeAt(this.at))) this.at++
      return
    }
    while (isLetter(code) || isDigit(code)) code = text.charCodeAt(++this.at)
    if (code !== dollar) return
    const tag = text.slice(from, ++this.at)
    const end = text.indexOf(tag, this.at)
    this.at = end < 0 ? text.length : end + tag.length
  }

  other(code: number): void {
    const character = String.fromCharCode(code)
    const level = this.levels.at(-1)
    this.at++
    if (character === "(" || character === "[") this.open(false)
    else if (character === ")" || character === "]") {
      this.tokens++
      this.close(false)
    } else if (character === "," && level !== undefined) {
      this.commas++
      this.token()
      this.separate(level)
    } else if (character.trim() !== "") this.token()
  }
}
