import { fail, undecided } from "./Failure.ts"
import type { Codec } from "./Codec.ts"
import { spend } from "./Work.ts"

/** A range value; `null` bounds are infinite. Discrete types are always in the form `[a,b)`. */
export interface Range {
  readonly empty: boolean
  readonly lower: unknown
  readonly upper: unknown
  readonly lowerInclusive: boolean
  readonly upperInclusive: boolean
}

export const emptyRange: Range = {
  empty: true,
  lower: null,
  upper: null,
  lowerInclusive: false,
  upperInclusive: false
}

/** What is known of the type below: its order, and the next value when it is discrete. */
export interface RangeSubtype {
  readonly codec: Codec
  readonly compare: (a: unknown, b: unknown) => number
  readonly next: ((value: unknown) => unknown) | undefined
}

/** A bound as a position: `side` is -1 just before the value, 1 just after it. */
interface Bound {
  readonly value: unknown
  readonly infinite: -1 | 0 | 1
  readonly side: -1 | 1
}

const lowerOf = (range: Range): Bound =>
  range.lower === null
    ? { value: null, infinite: -1, side: -1 }
    : { value: range.lower, infinite: 0, side: range.lowerInclusive ? -1 : 1 }

const upperOf = (range: Range): Bound =>
  range.upper === null
    ? { value: null, infinite: 1, side: 1 }
    : { value: range.upper, infinite: 0, side: range.upperInclusive ? 1 : -1 }

const compareBounds = (a: Bound, b: Bound, type: RangeSubtype): number => {
  if (a.infinite !== 0 || b.infinite !== 0) return a.infinite - b.infinite
  return type.compare(a.value, b.value) || a.side - b.side
}

export const makeRange = (
  lower: unknown,
  upper: unknown,
  lowerInclusive: boolean,
  upperInclusive: boolean,
  type: RangeSubtype
): Range => {
  let low = lower
  let high = upper
  let lowIn = lower !== null && lowerInclusive
  let highIn = upper !== null && upperInclusive
  if (low !== null && high !== null) {
    const order = type.compare(low, high)
    if (order > 0) return fail("range lower bound must be less than or equal to range upper bound")
    if (order === 0 && !(lowIn && highIn)) return emptyRange
  }
  if (type.next !== undefined) {
    if (low !== null && !lowIn) {
      low = type.next(low)
      lowIn = true
    }
    if (high !== null && highIn) {
      high = type.next(high)
      highIn = false
    }
    if (low !== null && high !== null && type.compare(low, high) >= 0) return emptyRange
  }
  return { empty: false, lower: low, upper: high, lowerInclusive: lowIn, upperInclusive: highIn }
}

export const parseRange = (text: string, type: RangeSubtype): Range => {
  const malformed = (): never => fail(`malformed range literal: "${text}"`)
  spend(text.length * 2)
  const trimmed = text.trim()
  if (trimmed.toLowerCase() === "empty") return emptyRange
  const open = trimmed[0]
  if (open !== "[" && open !== "(") return malformed()
  let at = 1
  const bound = (): unknown => {
    if (trimmed[at] === "," || trimmed[at] === ")" || trimmed[at] === "]") return null
    let value = ""
    let quoted = false
    for (;;) {
      const character = trimmed[at]
      if (character === undefined) return malformed()
      if (
        !quoted &&
        (character === "," ||
          character === ")" ||
          character === "]" ||
          character === "(" ||
          character === "[")
      )
        break
      at++
      if (character === "\\") {
        const escaped = trimmed[at++]
        if (escaped === undefined) return malformed()
        value += escaped
      } else if (character === '"') {
        if (quoted && trimmed[at] === '"') {
          value += '"'
          at++
        } else quoted = !quoted
      } else value += character
    }
    return type.codec.read(value)
  }
  const lower = bound()
  if (trimmed[at++] !== ",") return malformed()
  const upper = bound()
  const close = trimmed[at++]
  if ((close !== "]" && close !== ")") || at !== trimmed.length) return malformed()
  return makeRange(lower, upper, open === "[", close === "]", type)
}

const quoteBound = (text: string): string =>
  text === "" || /[()[\],"\\\s]/.test(text) ? `"${text.replaceAll(/["\\]/g, "$&$&")}"` : text

export const printRange = (range: Range, codec: Codec): string => {
  if (range.empty) return "empty"
  const lower = range.lower === null ? "" : quoteBound(codec.write(range.lower))
  const upper = range.upper === null ? "" : quoteBound(codec.write(range.upper))
  return `${range.lowerInclusive ? "[" : "("}${lower},${upper}${range.upperInclusive ? "]" : ")"}`
}

export const compareRanges = (a: Range, b: Range, type: RangeSubtype): number => {
  if (a.empty || b.empty) return Number(b.empty) - Number(a.empty)
  return compareBounds(lowerOf(a), lowerOf(b), type) || compareBounds(upperOf(a), upperOf(b), type)
}

export const rangeContains = (a: Range, b: Range, type: RangeSubtype): boolean => {
  if (b.empty) return true
  if (a.empty) return false
  return compareBounds(lowerOf(a), lowerOf(b), type) <= 0 && compareBounds(upperOf(a), upperOf(b), type) >= 0
}

export const rangeHolds = (range: Range, value: unknown, type: RangeSubtype): boolean => {
  if (range.empty) return false
  if (range.lower !== null) {
    const order = type.compare(range.lower, value)
    if (order > 0 || (order === 0 && !range.lowerInclusive)) return false
  }
  if (range.upper !== null) {
    const order = type.compare(range.upper, value)
    if (order < 0 || (order === 0 && !range.upperInclusive)) return false
  }
  return true
}

export const rangesOverlap = (a: Range, b: Range, type: RangeSubtype): boolean => {
  if (a.empty || b.empty) return false
  return compareBounds(lowerOf(a), upperOf(b), type) < 0 && compareBounds(lowerOf(b), upperOf(a), type) < 0
}

/** `a << b` */
export const rangeBefore = (a: Range, b: Range, type: RangeSubtype): boolean =>
  !a.empty && !b.empty && compareBounds(upperOf(a), lowerOf(b), type) <= 0

/** `a &< b` */
export const rangeNotRight = (a: Range, b: Range, type: RangeSubtype): boolean =>
  !a.empty && !b.empty && compareBounds(upperOf(a), upperOf(b), type) <= 0

/** `a &> b` */
export const rangeNotLeft = (a: Range, b: Range, type: RangeSubtype): boolean =>
  !a.empty && !b.empty && compareBounds(lowerOf(a), lowerOf(b), type) >= 0

/** `a -|- b`: nothing between them, nothing shared. */
export const rangesAdjacent = (a: Range, b: Range, type: RangeSubtype): boolean => {
  if (a.empty || b.empty) return false
  return meets(a, b, type) || meets(b, a, type)
}

const meets = (a: Range, b: Range, type: RangeSubtype): boolean => {
  const end = upperOf(a)
  const start = lowerOf(b)
  if (end.infinite !== 0 || start.infinite !== 0) return false
  if (type.compare(end.value, start.value) !== 0) return false
  return end.side === start.side
}

export const rangeIntersection = (a: Range, b: Range, type: RangeSubtype): Range => {
  if (!rangesOverlap(a, b, type)) return emptyRange
  const low = compareBounds(lowerOf(a), lowerOf(b), type) >= 0 ? a : b
  const high = compareBounds(upperOf(a), upperOf(b), type) <= 0 ? a : b
  return makeRange(low.lower, high.upper, low.lowerInclusive, high.upperInclusive, type)
}

/** Splits the text of a multirange into ranges; `undecided` where the text is unusual. */
export const parseMultirange = (text: string, type: RangeSubtype): ReadonlyArray<Range> => {
  spend(text.length * 2)
  const trimmed = text.trim()
  if (!trimmed.startsWith("{") || !trimmed.endsWith("}"))
    return fail(`malformed multirange literal: "${text}"`)
  const inner = trimmed.slice(1, -1).trim()
  if (inner === "") return []
  const parts = inner.match(
    /(?:empty|[[(][^[\](),"]*,[^[\](),"]*[\])]|[[(](?:"[^"\\]*"|[^[\](),"]*),(?:"[^"\\]*"|[^[\](),"]*)[\])])/g
  )
  if (parts === null || parts.join(",") !== inner.replaceAll(/\s*,\s*(?=[[(e])/g, ",")) {
    return undecided("a multirange literal in an unusual form")
  }
  return parts.map((part) => parseRange(part, type)).filter((range) => !range.empty)
}
