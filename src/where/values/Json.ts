import { fail, undecided } from "./Failure.ts"
import { compareNumeric, numericKey, parseNumeric, printNumeric, type Numeric } from "./Numeric.ts"
import { compareCodePoints, sameText } from "./Text.ts"
import { spend } from "./Work.ts"

/**
 * A `jsonb` value. Objects keep their keys in jsonb's order (shorter first, then bytewise), the last duplicate
 * wins; numbers are exact decimals.
 */
export type Json =
  typeof jsonNull | boolean | string | JsonNumber | ReadonlyArray<Json> | ReadonlyMap<string, Json>

/** JSON's null, which is not SQL's. */
export const jsonNull = Symbol("null")

export class JsonNumber {
  readonly value: Numeric
  constructor(value: Numeric) {
    this.value = value
  }
}

/** Where a member starts and ends in the text it was read from: `json` operators return the text itself. */
export interface Extent {
  readonly start: number
  readonly end: number
}

const maxDepth = 2000

const numberHere = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/** Parses JSON text as Postgres does; `onMember` sees the members of the outermost object or array. */
class JsonReader {
  readonly text: string
  at = 0
  depth = 0
  constructor(text: string) {
    this.text = text
  }

  invalid(): never {
    return fail("invalid input syntax for type json")
  }

  skip(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at)
      if (code === 32 || code === 10 || code === 13 || code === 9) this.at++
      else return
    }
  }

  value(): Json {
    if (this.depth > maxDepth) return undecided("JSON nested more than 2000 deep")
    this.skip()
    const code = this.text.charCodeAt(this.at)
    if (code === 123) return this.object()
    if (code === 91) return this.array()
    if (code === 34) return this.string()
    if (code === 45 || (code >= 48 && code <= 57)) return this.number()
    if (this.word("true")) return true
    if (this.word("false")) return false
    if (this.word("null")) return jsonNull
    return this.invalid()
  }

  word(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false
    this.at += word.length
    return !/[\w]/.test(this.text.charAt(this.at)) || this.invalid()
  }

  object(extents?: Map<string, Extent>): Json {
    this.at++
    this.depth++
    const members: Array<[string, Json]> = []
    this.skip()
    if (this.text.charCodeAt(this.at) === 125) this.at++
    else {
      for (;;) {
        this.skip()
        if (this.text.charCodeAt(this.at) !== 34) return this.invalid()
        const key = this.string()
        this.skip()
        if (this.text.charCodeAt(this.at++) !== 58) return this.invalid()
        this.skip()
        const start = this.at
        const value = this.value()
        extents?.set(key, { start, end: this.at })
        members.push([key, value])
        this.skip()
        const code = this.text.charCodeAt(this.at++)
        if (code === 125) break
        if (code !== 44) return this.invalid()
      }
    }
    this.depth--
    return objectOf(members)
  }

  array(extents?: Array<Extent>): Json {
    this.at++
    this.depth++
    const elements: Array<Json> = []
    this.skip()
    if (this.text.charCodeAt(this.at) === 93) this.at++
    else {
      for (;;) {
        this.skip()
        const start = this.at
        elements.push(this.value())
        extents?.push({ start, end: this.at })
        this.skip()
        const code = this.text.charCodeAt(this.at++)
        if (code === 93) break
        if (code !== 44) return this.invalid()
      }
    }
    this.depth--
    return elements
  }

  string(): string {
    const start = this.at
    for (let i = start + 1; ; i++) {
      const code = this.text.charCodeAt(i)
      if (code === 34) {
        this.at = i + 1
        const raw = this.text.slice(start, this.at)
        return raw.includes("\\") ? this.unescape(raw) : raw.slice(1, -1)
      }
      if (code === 92) i++
      else if (Number.isNaN(code) || code < 32) return this.invalid()
    }
  }

  unescape(raw: string): string {
    if (/\\u0000/i.test(raw)) return fail("unsupported Unicode escape sequence")
    let value: unknown
    try {
      value = JSON.parse(raw)
    } catch {
      return this.invalid()
    }
    const text = String(value)
    return text.isWellFormed() ? text : fail("invalid input syntax for type json: surrogate escape")
  }

  number(): Json {
    spend(25)
    numberHere.lastIndex = this.at
    const found = numberHere.exec(this.text)
    if (found === null) return this.invalid()
    this.at += found[0].length
    if (/[\w.+-]/.test(this.text.charAt(this.at))) return this.invalid()
    return new JsonNumber(parseNumeric(found[0]))
  }

  end(): void {
    this.skip()
    if (this.at !== this.text.length) this.invalid()
  }
}

const objectOf = (members: ReadonlyArray<readonly [string, Json]>): ReadonlyMap<string, Json> => {
  spend(members.length * 60)
  const sized = [...new Map(members)].map(
    ([key, value]) => ({ key, value, bytes: Buffer.byteLength(key) }) as const
  )
  sized.sort((a, b) => a.bytes - b.bytes || compareCodePoints(a.key, b.key))
  return new Map(sized.map(({ key, value }) => [key, value]))
}

export const parseJsonb = (text: string): Json => {
  spend(text.length * 2)
  const reader = new JsonReader(text)
  const value = reader.value()
  reader.end()
  return value
}

/** Checks the text of a `json` value; the value is the text. */
export const checkJson = (text: string): string => {
  // `json` keeps escapes that `jsonb` cannot represent: only Postgres tells which of those pass.
  if (/\\u(?:0000|[dD][89a-fA-F])/.test(text)) return undecided("JSON text with surrogate or NUL escapes")
  parseJsonb(text)
  return text
}

export const printJsonString = (text: string): string => {
  spend(text.length * 2)
  let out = '"'
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 34) out += '\\"'
    else if (code === 92) out += "\\\\"
    else if (code === 8) out += "\\b"
    else if (code === 12) out += "\\f"
    else if (code === 10) out += "\\n"
    else if (code === 13) out += "\\r"
    else if (code === 9) out += "\\t"
    else if (code < 32) out += `\\u${code.toString(16).padStart(4, "0")}`
    else out += text[i] ?? ""
  }
  return `${out}"`
}

const isArray = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)
const isObject = (value: Json): value is ReadonlyMap<string, Json> => value instanceof Map

export const printJsonb = (value: Json): string => {
  spend(10)
  if (value === jsonNull) return "null"
  if (typeof value === "boolean") return value ? "true" : "false"
  if (typeof value === "string") return printJsonString(value)
  if (value instanceof JsonNumber) return printNumeric(value.value)
  if (isArray(value)) return `[${value.map(printJsonb).join(", ")}]`
  if (!isObject(value)) return ""
  return `{${[...value].map(([key, member]) => `${printJsonString(key)}: ${printJsonb(member)}`).join(", ")}}`
}

/** `->>` and `#>>`: strings without quotes, JSON null is SQL NULL. */
export const jsonbText = (value: Json): string | null =>
  value === jsonNull ? null : typeof value === "string" ? value : printJsonb(value)

/** Equal for equal values only: numbers without trailing zeros. */
export const jsonbKey = (value: Json): string => {
  spend(10)
  if (value instanceof JsonNumber) return numericKey(value.value)
  if (isArray(value)) return `[${value.map(jsonbKey).join(",")}]`
  if (isObject(value)) {
    return `{${[...value].map(([key, member]) => `${printJsonString(key)}:${jsonbKey(member)}`).join(",")}}`
  }
  return printJsonb(value)
}

export const jsonbType = (value: Json): string => {
  if (value === jsonNull) return "null"
  if (typeof value === "boolean") return "boolean"
  if (typeof value === "string") return "string"
  if (value instanceof JsonNumber) return "number"
  return isArray(value) ? "array" : "object"
}

export const jsonbEqual = (a: Json, b: Json): boolean => {
  if (a instanceof JsonNumber) return b instanceof JsonNumber && compareNumeric(a.value, b.value) === 0
  if (typeof a === "string" && typeof b === "string") return sameText(a, b)
  if (a === b) return true
  if (typeof a !== "object" || typeof b !== "object") return false
  return jsonbKey(a) === jsonbKey(b)
}

const isScalar = (value: Json): boolean => typeof value !== "object" || value instanceof JsonNumber

/** `a @> b` */
export const jsonbContains = (a: Json, b: Json): boolean => {
  if (isArray(a)) {
    if (isArray(b)) return b.every((part) => arrayHolds(a, part))
    spend(a.length * 6)
    return isScalar(b) && a.some((element) => isScalar(element) && jsonbEqual(element, b))
  }
  return contains(a, b)
}

const arrayHolds = (elements: ReadonlyArray<Json>, part: Json): boolean =>
  elements.some((element) => {
    spend(6)
    return isScalar(part) ? isScalar(element) && jsonbEqual(element, part) : contains(element, part)
  })

const contains = (a: Json, b: Json): boolean => {
  if (isObject(a) && isObject(b)) {
    spend(b.size * 50)
    for (const [key, part] of b) {
      const member = a.get(key)
      if (member === undefined || !contains(member, part)) return false
    }
    return true
  }
  if (isArray(a) && isArray(b)) return b.every((part) => arrayHolds(a, part))
  return isScalar(a) && isScalar(b) && jsonbEqual(a, b)
}

/** `value ? key` */
export const jsonbExists = (value: Json, key: string): boolean => {
  if (isObject(value)) return value.has(key)
  if (isArray(value)) {
    spend(value.length * (key.length > 100 ? 8 : 2))
    return value.includes(key)
  }
  return value === key
}

/** One step of `->`: `undefined` when there is nothing (SQL NULL). */
export const jsonbMember = (value: Json, key: string): Json | undefined =>
  isObject(value) ? value.get(key) : undefined

export const jsonbElement = (value: Json, index: number): Json | undefined => {
  if (isArray(value)) return value[index < 0 ? value.length + index : index]
  // A scalar at the top is stored as an array of one, and `->` sees it that way.
  return isScalar(value) && (index === 0 || index === -1) ? value : undefined
}

const pathIndex = /^[ \t\n\v\f\r]*[+-]?\d+$/

/** `#>` with a path of texts. */
export const jsonbPath = (value: Json, path: ReadonlyArray<unknown>): Json | undefined => {
  let current: Json | undefined = value
  spend(path.length * 4)
  for (const step of path) {
    if (step === null || current === undefined) return undefined
    const text = String(step)
    if (text.length > 100) spend(text.length)
    if (isArray(current)) {
      if (!pathIndex.test(text)) return undefined
      const index = Number(text)
      if (Math.abs(index) > 2147483647) return undefined
      current = jsonbElement(current, index)
    } else current = jsonbMember(current, text)
  }
  return current
}

/** One step into `json` text: the member's own text, white space included. */
export const jsonTextMember = (text: string, key: string): string | undefined => {
  spend(text.length * 2)
  const reader = new JsonReader(text)
  reader.skip()
  if (text.charCodeAt(reader.at) !== 123) return undefined
  const extents = new Map<string, Extent>()
  reader.object(extents)
  const extent = extents.get(key)
  return extent === undefined ? undefined : text.slice(extent.start, extent.end)
}

export const jsonTextElement = (text: string, index: number): string | undefined => {
  spend(text.length * 2)
  const reader = new JsonReader(text)
  reader.skip()
  if (text.charCodeAt(reader.at) !== 91) return undefined
  const extents: Array<Extent> = []
  reader.array(extents)
  const extent = extents[index < 0 ? extents.length + index : index]
  return extent === undefined ? undefined : text.slice(extent.start, extent.end)
}

export const jsonTextPath = (text: string, path: ReadonlyArray<unknown>): string | undefined => {
  let current: string | undefined = text
  for (const step of path) {
    if (step === null || current === undefined) return undefined
    const key = String(step)
    if (/^\s*\[/.test(current)) {
      if (!pathIndex.test(key) || Math.abs(Number(key)) > 2147483647) return undefined
      current = jsonTextElement(current, Number(key))
    } else current = jsonTextMember(current, key)
  }
  return current
}

/** The text of a member as `->>` gives it. */
export const jsonMemberText = (member: string | undefined): string | null => {
  if (member === undefined) return null
  const trimmed = member.trim()
  if (trimmed === "null") return null
  if (trimmed.startsWith('"')) return String(parseJsonb(trimmed))
  return member
}
