import { fail, undecided } from "./Failure.ts"
import { spend, spendText } from "./Work.ts"

/**
 * How a collation behaves as far as this evaluator can follow it exactly.
 *
 * `c`: bytewise order, only ASCII letters have case (`C`, `POSIX`).
 * `codepoint`: bytewise order, letters have case as in Unicode (`C.UTF-8`, builtin).
 * `language`: order known to Postgres only, letters have case as in Unicode.
 * `opaque`: neither order nor case can be followed (Turkic languages).
 * All four are deterministic: equality is bytewise. A non-deterministic collation has no kind; it is Postgres' own.
 */
export type CollationKind = "c" | "codepoint" | "language" | "opaque"

/** So many characters are compared at a time, by the language's own comparison, and paid for where there are more. */
const comparedAtOnce = 1024

/** Whether `part` stands at this place of the text. Long parts are paid for. */
export const holdsAt = (text: string, part: string, at = 0): boolean => {
  if (part.length <= comparedAtOnce) return at + part.length <= text.length && text.startsWith(part, at)
  spend(part.length >> 6)
  return text.slice(at, at + part.length) === part
}

/** Whether two texts are the same. Long ones are paid for. */
export const sameText = (a: string, b: string): boolean => {
  if (a.length > comparedAtOnce && a.length === b.length) spend(a.length >> 6)
  return a === b
}

/** Where two texts begin to differ, by and large: all before it is the same. */
const commonBlocks = (a: string, b: string, length: number): number => {
  let at = 0
  while (at + comparedAtOnce <= length) {
    spend(comparedAtOnce >> 6)
    if (a.slice(at, at + comparedAtOnce) !== b.slice(at, at + comparedAtOnce)) break
    at += comparedAtOnce
  }
  return at
}

/** Order of the UTF-8 bytes, computed on UTF-16: surrogates stand for the highest code points. */
export const compareCodePoints = (a: string, b: string): number => {
  if (sameText(a, b)) return 0
  const length = Math.min(a.length, b.length)
  for (let i = length < comparedAtOnce ? 0 : commonBlocks(a, b, length); i < length; i++) {
    let left = a.charCodeAt(i)
    let right = b.charCodeAt(i)
    if (left === right) continue
    if (left >= 0xd800 && right >= 0xd800) {
      left = left >= 0xe000 ? left - 0x800 : left + 0x2000
      right = right >= 0xe000 ? right - 0x800 : right + 0x2000
    }
    return left - right
  }
  return a.length - b.length
}

const surrogate = /[\ud800-\udfff]/
const nonAscii = /[^\0-\x7f]/ // oxlint-disable-line no-control-regex -- the range is the point

export const hasSurrogates = (text: string): boolean => surrogate.test(text)
export const isAscii = (text: string): boolean => !nonAscii.test(text)

/** Number of characters, which are code points. */
export const characterCount = (text: string): number => {
  spend(text.length >> 3)
  if (!surrogate.test(text)) return text.length
  spend(text.length)
  let count = 0
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) count++
  return count
}

/** UTF-16 index of character `n` (zero-based); the length of the text when there are fewer. */
const characterIndex = (text: string, n: number): number => {
  if (n >= text.length) return text.length
  spend(text.length >> 3)
  if (!surrogate.test(text)) return n
  spend(Math.min(n, text.length))
  let i = 0
  for (let seen = 0; seen < n && i < text.length; seen++)
    i += (text.charCodeAt(i) & 0xfc00) === 0xd800 ? 2 : 1
  return i
}

/** Characters from `from` (zero-based) up to, not including, `to`. */
export const sliceCharacters = (text: string, from: number, to: number): string =>
  text.slice(characterIndex(text, Math.max(0, from)), characterIndex(text, Math.max(0, to)))

/**
 * Letters whose two cases are the same pair in every edition of Unicode and every C library: Latin-1,
 * Latin Extended-A, Greek and Cyrillic without the ones that have special rules.
 */
const isSafeLetter = (code: number): boolean =>
  (code >= 0xc0 && code <= 0xff && code !== 0xdf) ||
  (code >= 0x100 && code <= 0x17e && code !== 0x130 && code !== 0x131 && code !== 0x138 && code !== 0x149) ||
  (code >= 0x386 &&
    code <= 0x3ce &&
    code !== 0x390 &&
    code !== 0x3b0 &&
    code !== 0x3a3 &&
    code !== 0x3c2 &&
    code !== 0x3c3) ||
  (code >= 0x400 && code <= 0x481)

const checkCase = (text: string): void => {
  spend(text.length * 4)
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    if (code < 0x80 || isSafeLetter(code)) continue
    spend(20)
    if (character.toLowerCase() === character && character.toUpperCase() === character) continue
    undecided(`upper and lower case of "${character}" depend on the database's libraries`)
  }
}

const asciiUpper = /[A-Z]+/g
const asciiLower = /[a-z]+/g

export const lowerText = (text: string, kind: CollationKind): string => {
  if (kind === "opaque") return undecided("upper and lower case of this language")
  spend(text.length >> 1)
  if (isAscii(text)) return text.toLowerCase()
  if (kind === "c") return text.replace(asciiUpper, (run) => run.toLowerCase())
  checkCase(text)
  return text.toLowerCase()
}

export const upperText = (text: string, kind: CollationKind): string => {
  if (kind === "opaque") return undecided("upper and lower case of this language")
  spend(text.length >> 1)
  if (isAscii(text)) return text.toUpperCase()
  if (kind === "c") return text.replace(asciiLower, (run) => run.toUpperCase())
  checkCase(text)
  return text.toUpperCase()
}

export const initcapText = (text: string, kind: CollationKind): string => {
  spend(text.length >> 3)
  if (kind === "opaque" || !isAscii(text)) return undecided("initcap of letters beyond ASCII")
  spend(text.length * 8)
  return text.toLowerCase().replace(/[a-z0-9]+/g, (word) => word.slice(0, 1).toUpperCase() + word.slice(1))
}

/** The value of a `char(n)` as comparisons see it. */
export const trimBlanks = (text: string): string => {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 32) end--
  if (text.length - end > 64) spend(text.length - end)
  return end === text.length ? text : text.slice(0, end)
}

/** `varchar(n)` and `char(n)`: an explicit cast cuts silently. `typmod` is the limit plus 4. */
export const cutVarchar = (text: string, typmod: number): string =>
  typmod < 4 ? text : sliceCharacters(text, 0, typmod - 4)

export const padBpchar = (text: string, typmod: number): string => {
  if (typmod < 4) return text
  const limit = typmod - 4
  const count = characterCount(text)
  if (limit > count) spendText(limit)
  return count >= limit ? sliceCharacters(text, 0, limit) : text + " ".repeat(limit - count)
}

/** A limit exceeded outside an explicit cast is an error unless only blanks are lost. */
export const assignVarchar = (text: string, typmod: number): string => {
  const cut = cutVarchar(text, typmod)
  if (cut.length !== text.length && /[^ ]/.test(text.slice(cut.length))) {
    return fail(`value too long for type character varying(${typmod - 4})`)
  }
  return cut
}

/** Up to here the search of the language is linear, whatever the part looks like: 0.3 to 8 ns for each character. */
const shortPart = 200
/** So much of a text is searched at a time; then it is paid for. At worst that takes a tenth of a millisecond. */
const searchedAtOnce = 16_384

/** Where `part`, which is short, begins in `text` from `from` on; -1 if nowhere. */
const findShort = (text: string, part: string, from: number): number => {
  for (let at = from; ; at += searchedAtOnce) {
    const isLast = text.length - at <= searchedAtOnce + part.length
    const found = isLast
      ? text.indexOf(part, at)
      : text.slice(at, at + searchedAtOnce + part.length - 1).indexOf(part)
    const searched = found < 0 ? Math.min(searchedAtOnce, text.length - at) : isLast ? found - at : found
    spend(Math.max(0, searched) >> 4)
    if (found >= 0) return isLast ? found : at + found
    if (isLast) return -1
  }
}

/** Where `part` begins in `text`, from `from` on; -1 if nowhere. Linear, or paid for. */
export const findText = (text: string, part: string, from = 0): number => {
  if (part.length <= shortPart) return findShort(text, part, from)
  const head = part.slice(0, shortPart)
  for (let at = findShort(text, head, from); at >= 0; at = findShort(text, head, at + 1)) {
    spend((part.length >> 6) + 30)
    if (text.slice(at, at + part.length) === part) return at
  }
  return -1
}

/** The pieces of `text` between occurrences of `separator`, which is not empty. */
export const splitText = (text: string, separator: string): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  let from = 0
  for (let at = findText(text, separator); at >= 0; at = findText(text, separator, from)) {
    spend(12)
    pieces.push(text.slice(from, at))
    from = at + separator.length
  }
  pieces.push(text.slice(from))
  return pieces
}
