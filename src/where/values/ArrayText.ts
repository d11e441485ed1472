import { emptyArray, type ArrayValue } from "./Arrays.ts"
import type { Codec } from "./Codec.ts"
import { fail, undecided } from "./Failure.ts"
import { spend, spendText } from "./Work.ts"

/**
 * The text form of arrays.
 * Source: PostgreSQL documentation, "Array Input and Output Syntax".
 */
const maxDimensions = 6
const maxInt = 2147483647

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13)

/** What stands before `=`: lower bound and length of each dimension. Most literals have none. */
interface Bounds {
  readonly lows: ReadonlyArray<number>
  readonly lengths: ReadonlyArray<number>
}

/** Reads one literal from left to right: plain loops over its characters, since every value of a row may be one. */
class ArrayReader {
  private at = 0
  private readonly lengths: Array<number> = []
  private readonly elements: Array<unknown> = []
  /** Depth at which elements stand; -1 before the first one. */
  private leafDepth = -1
  private readonly text: string
  private readonly codec: Codec
  private readonly delimiter: string

  constructor(text: string, codec: Codec, delimiter: string) {
    this.text = text
    this.codec = codec
    this.delimiter = delimiter
  }

  read(): ArrayValue {
    this.skipSpace()
    const bounds = this.text[this.at] === "[" ? this.readBounds() : undefined
    if (this.text[this.at] !== "{") return this.malformed()
    this.readLevel(0)
    this.skipSpace()
    if (this.at !== this.text.length) return this.malformed()
    const { elements, lengths } = this
    if (bounds === undefined) {
      return elements.length === 0 ? emptyArray : { lengths, lowerBounds: lengths.map(() => 1), elements }
    }
    const isAsStated =
      elements.length > 0 &&
      bounds.lengths.length === lengths.length &&
      bounds.lengths.every((length, i) => length === lengths[i])
    return isAsStated ? { lengths, lowerBounds: bounds.lows, elements } : this.malformed()
  }

  private malformed(): never {
    return fail(`malformed array literal: "${this.text}"`)
  }

  private skipSpace(): void {
    while (this.at < this.text.length && isSpace(this.text.charCodeAt(this.at))) this.at++
  }

  /** `[2][0:1]=` */
  private readBounds(): Bounds {
    const lows: Array<number> = []
    const lengths: Array<number> = []
    while (this.text[this.at] === "[") {
      const bound = /^\[([+-]?\d+)(?::([+-]?\d+))?\]/.exec(this.text.slice(this.at))
      if (bound === null) return this.malformed()
      const low = bound[2] === undefined ? 1 : Number(bound[1])
      const high = Number(bound[2] ?? bound[1])
      if (high < low || Math.abs(low) > maxInt || high >= maxInt)
        return fail("upper bound cannot be less than lower bound")
      lows.push(low)
      lengths.push(high - low + 1)
      this.at += bound[0].length
    }
    this.skipSpace()
    if (this.text[this.at++] !== "=") return this.malformed()
    this.skipSpace()
    return lengths.length > maxDimensions ? tooManyDimensions() : { lows, lengths }
  }

  /** From `{` to its `}`. All levels of one depth have the same length, and all elements stand at one depth. */
  private readLevel(depth: number): void {
    if (depth >= maxDimensions) return tooManyDimensions()
    this.at++
    this.skipSpace()
    if (this.text[this.at] === "}") return this.endEmptyLevel(depth)
    let count = 0
    for (;;) {
      this.skipSpace()
      if (this.text[this.at] === "{") {
        if (this.leafDepth !== -1 && depth + 1 > this.leafDepth) return this.malformed()
        this.readLevel(depth + 1)
      } else {
        if (this.leafDepth === -1) this.leafDepth = depth
        else if (this.leafDepth !== depth) return this.malformed()
        this.elements.push(this.text[this.at] === '"' ? this.readQuoted() : this.readBare())
      }
      count++
      this.skipSpace()
      const character = this.text[this.at++]
      if (character === "}") break
      if (character !== this.delimiter) return this.malformed()
    }
    const known = this.lengths[depth]
    if (known === undefined) this.lengths[depth] = count
    else if (known !== count) return this.malformed()
  }

  /** What empty sub-arrays come to is for Postgres to say. */
  private endEmptyLevel(depth: number): void {
    this.at++
    if (depth > 0 || this.leafDepth !== -1) return undecided("an array literal with empty sub-arrays")
    this.leafDepth = 0
  }

  private element(text: string): unknown {
    spend(this.codec.textSteps)
    return this.codec.read(text)
  }

  private readQuoted(): unknown {
    const { text } = this
    let value = ""
    this.at++
    for (;;) {
      const character = text[this.at++]
      if (character === undefined) return this.malformed()
      if (character === '"') return this.element(value)
      if (character === "\\") {
        const escaped = text[this.at++]
        if (escaped === undefined) return this.malformed()
        value += escaped
      } else value += character
    }
  }

  /** Spaces around it do not count, but those that a backslash stands before do. */
  private readBare(): unknown {
    const { text } = this
    let value = ""
    let solid = 0
    let hasEscape = false
    for (;;) {
      const character = text[this.at]
      if (character === undefined || character === '"' || character === "{") return this.malformed()
      if (character === this.delimiter || character === "}") break
      this.at++
      if (character === "\\") {
        const escaped = text[this.at++]
        if (escaped === undefined) return this.malformed()
        value += escaped
        solid = value.length
        hasEscape = true
      } else {
        value += character
        if (!isSpace(character.charCodeAt(0))) solid = value.length
      }
    }
    value = value.slice(0, solid)
    if (value === "") return this.malformed()
    return !hasEscape && value.toUpperCase() === "NULL" ? null : this.element(value)
  }
}

const tooManyDimensions = (): never => fail("number of array dimensions exceeds the maximum allowed (6)")

/** Postgres' array input: bounds, nesting, quotes, NULL. What it would call malformed raises an error. */
export const parseArray = (text: string, codec: Codec, delimiter: string): ArrayValue => {
  spend(text.length * 2)
  return new ArrayReader(text, codec, delimiter).read()
}

const needsQuotes = (text: string, delimiter: string): boolean =>
  text === "" || text.toUpperCase() === "NULL" || /[{}"\\\s]/.test(text) || text.includes(delimiter)

const quoted = (text: string): string => {
  spend(40 + text.length)
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`
}

export const printArray = (value: ArrayValue, codec: Codec, delimiter: string): string => {
  if (value.elements.length === 0) return "{}"
  spend(value.elements.length * (10 + codec.textSteps))
  let index = 0
  const level = (depth: number): string => {
    const parts: Array<string> = []
    const length = value.lengths[depth] ?? 0
    for (let i = 0; i < length; i++) {
      if (depth + 1 < value.lengths.length) parts.push(level(depth + 1))
      else {
        const element = value.elements[index++]
        const text = element === null ? null : codec.write(element)
        spendText(text?.length ?? 4)
        parts.push(text === null ? "NULL" : needsQuotes(text, delimiter) ? quoted(text) : text)
      }
    }
    return `{${parts.join(delimiter)}}`
  }
  const bounds = value.lowerBounds.some((low) => low !== 1)
    ? `${value.lowerBounds.map((low, i) => `[${low}:${low + (value.lengths[i] ?? 0) - 1}]`).join("")}=`
    : ""
  return bounds + level(0)
}
