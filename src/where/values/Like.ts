import { undecided } from "./Failure.ts"
import { findText, hasSurrogates } from "./Text.ts"
import { spend } from "./Work.ts"

/**
 * LIKE without regular expressions: the pattern is cut at `%` into pieces, each piece is found at the leftmost
 * place after the one before. Linear for plain pieces, at worst pattern times text for pieces with `_`, which is paid for.
 */
export type LikeMatcher = (text: string) => boolean

/** One character of a piece: a code point, or `anyCharacter` for `_`. */
const anyCharacter = -1

interface Piece {
  readonly codes: ReadonlyArray<number>
  /** The piece as text when it has no `_`. */
  readonly literal: string | undefined
}

/** Compiles a pattern with the escape character `\`. A pattern that ends in a lone `\` is left to Postgres. */
export const compileLike = (pattern: string): LikeMatcher => {
  spend(pattern.length * 4)
  const pieces: Array<Piece> = []
  let codes: Array<number> = []
  let literal = ""
  let wild = false
  const finish = (): void => {
    pieces.push({ codes, literal: wild ? undefined : literal })
    codes = []
    literal = ""
    wild = false
  }
  for (let i = 0; i < pattern.length;) {
    let code = pattern.codePointAt(i) ?? 0
    i += code > 0xffff ? 2 : 1
    if (code === 37) {
      finish()
      continue
    }
    if (code === 95) {
      wild = true
      codes.push(anyCharacter)
      continue
    }
    if (code === 92) {
      if (i >= pattern.length) return () => undecided("a LIKE pattern that ends with its escape character")
      code = pattern.codePointAt(i) ?? 0
      i += code > 0xffff ? 2 : 1
    }
    codes.push(code)
    literal += String.fromCodePoint(code)
  }
  finish()
  return matcherOf(pieces)
}

const matcherOf = (pieces: ReadonlyArray<Piece>): LikeMatcher => {
  const first = pieces[0]
  const last = pieces[pieces.length - 1]
  if (first === undefined || last === undefined) return (text) => text === ""
  const middle = pieces.slice(1, -1).filter((piece) => piece.codes.length > 0)
  if (pieces.every((piece) => piece.literal !== undefined)) {
    const head = first.literal ?? ""
    const tail = last.literal ?? ""
    if (pieces.length === 1) return (text) => text === head
    if (middle.length === 0 && tail === "") return (text) => text.startsWith(head)
    if (middle.length === 0 && head === "") return (text) => text.endsWith(tail)
    const needles = middle.map((piece) => piece.literal ?? "")
    if (head === "" && tail === "" && needles.length === 1) {
      const needle = needles[0] ?? ""
      return (text) => findText(text, needle) >= 0
    }
    return (text) => {
      if (text.length < head.length + tail.length || !text.startsWith(head) || !text.endsWith(tail))
        return false
      let at = head.length
      const end = text.length - tail.length
      for (const needle of needles) {
        const found = findText(text, needle, at)
        if (found < 0 || found + needle.length > end) return false
        at = found + needle.length
      }
      return true
    }
  }
  return (text) => matchGeneral(pieces.length === 1, first.codes, middle, last.codes, codesOf(text))
}

const codesOf = (text: string): ArrayLike<number> => {
  spend(text.length)
  if (hasSurrogates(text)) return Array.from(text, (character) => character.codePointAt(0) ?? 0)
  const codes = new Uint16Array(text.length)
  for (let i = 0; i < text.length; i++) codes[i] = text.charCodeAt(i)
  return codes
}

const fits = (piece: ReadonlyArray<number>, text: ArrayLike<number>, at: number): boolean => {
  for (let i = 0; i < piece.length; i++) {
    const code = piece[i]
    if (code !== anyCharacter && code !== text[at + i]) {
      spend((i >> 3) + 1)
      return false
    }
  }
  spend(piece.length >> 3)
  return true
}

const matchGeneral = (
  whole: boolean,
  head: ReadonlyArray<number>,
  middle: ReadonlyArray<Piece>,
  tail: ReadonlyArray<number>,
  text: ArrayLike<number>
): boolean => {
  if (whole) return text.length === head.length && fits(head, text, 0)
  const end = text.length - tail.length
  if (head.length > end || !fits(head, text, 0) || !fits(tail, text, end)) return false
  let at = head.length
  for (const { codes } of middle) {
    while (at + codes.length <= end && !fits(codes, text, at)) at++
    if (at + codes.length > end) return false
    at += codes.length
  }
  return true
}

/** Rewrites a pattern with another escape character (`ESCAPE 'x'`) into one that uses `\`. */
export const likeEscape = (pattern: string, escape: string): string => {
  spend(pattern.length * 4 + escape.length)
  const characters = Array.from(escape)
  if (characters.length > 1) return undecided("an escape string of several characters")
  let out = ""
  if (characters.length === 0) return pattern.replaceAll("\\", "\\\\")
  if (escape === "\\") return pattern
  let afterEscape = false
  for (const character of pattern) {
    if (character === escape && !afterEscape) {
      out += "\\"
      afterEscape = true
    } else if (character === "\\") {
      out += "\\"
      if (!afterEscape) out += "\\"
      afterEscape = false
    } else {
      out += character
      afterEscape = false
    }
  }
  return out
}
