import { undecided } from "./Failure.ts"
import { findText, hasSurrogates, holdsAt, sameText } from "./Text.ts"
import { spend } from "./Work.ts"

/**
 * LIKE without regular expressions: the pattern is cut at `%` into pieces, each piece is found at the leftmost
 * place after the one before. Linear for plain pieces, at worst pattern times text for pieces with `_`, which is paid for.
 */
export type LikeMatcher = (text: string) => boolean

/** `_` among the code points of a piece. */
const anyCharacter = -1

/** What stands between two `%`: texts, between each two of which there is one `_`. */
type Piece = ReadonlyArray<string>

const isPlain = (piece: Piece): boolean => piece.length === 1
const isEmpty = (piece: Piece): boolean => piece.length === 1 && piece[0] === ""

/** Characters that mean something in a pattern. */
const special = /[%_\\]/g

/** Compiles a pattern with the escape character `\`. A pattern that ends in a lone `\` is left to Postgres. */
export const compileLike = (pattern: string): LikeMatcher => {
  spend(pattern.length)
  const pieces: Array<Piece> = []
  let piece: Array<string> = []
  let text = ""
  let from = 0
  special.lastIndex = 0
  for (let found = special.exec(pattern); found !== null; found = special.exec(pattern)) {
    spend(30)
    const at = found.index
    text += pattern.slice(from, at)
    from = at + 1
    if (found[0] === "\\") {
      if (from >= pattern.length) return () => undecided("a LIKE pattern that ends with its escape character")
      const length = (pattern.codePointAt(from) ?? 0) > 0xffff ? 2 : 1
      text += pattern.slice(from, from + length)
      from += length
      special.lastIndex = from
      continue
    }
    piece.push(text)
    text = ""
    if (found[0] === "_") continue
    pieces.push(piece)
    piece = []
  }
  piece.push(text + pattern.slice(from))
  pieces.push(piece)
  return matcherOf(pieces)
}

const matcherOf = (pieces: ReadonlyArray<Piece>): LikeMatcher => {
  const middle = pieces.slice(1, -1).filter((piece) => !isEmpty(piece))
  const first = pieces[0] ?? []
  const last = pieces[pieces.length - 1] ?? []
  if (!pieces.every(isPlain)) {
    const codes = [first, ...middle, last].map(codesOfPiece)
    return (text) => matchGeneral(pieces.length === 1, codes, codesOf(text))
  }
  const [head = ""] = first
  const [tail = ""] = last
  if (pieces.length === 1) return (text) => sameText(text, head)
  if (middle.length === 0 && tail === "") return (text) => holdsAt(text, head)
  if (middle.length === 0 && head === "") return (text) => endsWith(text, tail)
  const needles = middle.map(([needle = ""]) => needle)
  if (head === "" && tail === "" && needles.length === 1) {
    const [needle = ""] = needles
    return (text) => findText(text, needle) >= 0
  }
  return (text) => {
    if (text.length < head.length + tail.length || !holdsAt(text, head) || !endsWith(text, tail)) return false
    let at = head.length
    const end = text.length - tail.length
    for (const needle of needles) {
      spend(5)
      const found = findText(text, needle, at)
      if (found < 0 || found + needle.length > end) return false
      at = found + needle.length
    }
    return true
  }
}

const endsWith = (text: string, tail: string): boolean =>
  text.length >= tail.length && holdsAt(text, tail, text.length - tail.length)

const codesOfPiece = (piece: Piece): ReadonlyArray<number> => {
  const codes: Array<number> = []
  for (const [i, text] of piece.entries()) {
    if (i > 0) codes.push(anyCharacter)
    spend(text.length * 2 + 5)
    for (const character of text) codes.push(character.codePointAt(0) ?? 0)
  }
  return codes
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
      spend((i >> 2) + 2)
      return false
    }
  }
  spend(piece.length >> 2)
  return true
}

/** `pieces`: the first, those in the middle that are not empty, and the last. */
const matchGeneral = (
  whole: boolean,
  pieces: ReadonlyArray<ReadonlyArray<number>>,
  text: ArrayLike<number>
): boolean => {
  const head = pieces[0] ?? []
  const tail = pieces[pieces.length - 1] ?? []
  if (whole) return text.length === head.length && fits(head, text, 0)
  const end = text.length - tail.length
  if (head.length > end || !fits(head, text, 0) || !fits(tail, text, end)) return false
  let at = head.length
  for (let i = 1; i < pieces.length - 1; i++) {
    const piece = pieces[i] ?? []
    while (at + piece.length <= end && !fits(piece, text, at)) at++
    if (at + piece.length > end) return false
    at += piece.length
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
