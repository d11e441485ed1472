import { fail, undecided } from "./Failure.ts"
import type { Codec } from "./Codec.ts"
import { spend, spendElements, spendText } from "./Work.ts"

/**
 * An array value: elements in row-major order, the length and lower bound of each dimension.
 * An empty array has no dimensions.
 */
export interface ArrayValue {
  readonly lengths: ReadonlyArray<number>
  readonly lowerBounds: ReadonlyArray<number>
  readonly elements: ReadonlyArray<unknown>
}

export const emptyArray: ArrayValue = { lengths: [], lowerBounds: [], elements: [] }

export const vector = (elements: ReadonlyArray<unknown>): ArrayValue =>
  elements.length === 0 ? emptyArray : { lengths: [elements.length], lowerBounds: [1], elements }

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13)

/** Postgres' array input: bounds, nesting, quotes, NULL. What it would call malformed raises an error. */
export const parseArray = (text: string, codec: Codec, delimiter: string): ArrayValue => {
  spend(text.length * 2)
  let at = 0
  const malformed = (): never => fail(`malformed array literal: "${text}"`)
  const skip = (): void => {
    while (at < text.length && isSpace(text.charCodeAt(at))) at++
  }
  const lowerBounds: Array<number> = []
  const stated: Array<number> = []
  skip()
  while (text[at] === "[") {
    const bound = /^\[([+-]?\d+)(?::([+-]?\d+))?\]/.exec(text.slice(at))
    if (bound === null) return malformed()
    const low = bound[2] === undefined ? 1 : Number(bound[1])
    const high = Number(bound[2] ?? bound[1])
    if (high < low || Math.abs(low) > 2147483647 || high >= 2147483647)
      return fail("upper bound cannot be less than lower bound")
    lowerBounds.push(low)
    stated.push(high - low + 1)
    at += bound[0].length
  }
  if (stated.length > 0) {
    skip()
    if (text[at++] !== "=") return malformed()
    skip()
  }
  if (stated.length > 6) return fail("number of array dimensions exceeds the maximum allowed (6)")
  const lengths: Array<number> = []
  const elements: Array<unknown> = []
  const readElement = (): void => {
    if (text[at] === '"') {
      let value = ""
      at++
      for (;;) {
        const character = text[at++]
        if (character === undefined) return malformed()
        if (character === '"') break
        if (character === "\\") {
          const escaped = text[at++]
          if (escaped === undefined) return malformed()
          value += escaped
        } else value += character
      }
      elements.push(codec.read(value))
      return
    }
    let value = ""
    let solid = 0
    let quoted = false
    for (;;) {
      const character = text[at]
      if (character === undefined || character === '"' || character === "{") return malformed()
      if (character === delimiter || character === "}") break
      at++
      if (character === "\\") {
        const escaped = text[at++]
        if (escaped === undefined) return malformed()
        value += escaped
        solid = value.length
        quoted = true
      } else {
        value += character
        if (!isSpace(character.charCodeAt(0))) solid = value.length
      }
    }
    value = value.slice(0, solid)
    if (value === "") return malformed()
    elements.push(!quoted && value.toUpperCase() === "NULL" ? null : codec.read(value))
  }
  // Depth at which elements stand, once the first one has been seen.
  let leafDepth = -1
  const readLevel = (depth: number): void => {
    if (depth >= 6) return fail("number of array dimensions exceeds the maximum allowed (6)")
    at++
    let count = 0
    skip()
    if (text[at] === "}") {
      at++
      if (depth > 0 || leafDepth !== -1) return undecided("an array literal with empty sub-arrays")
      leafDepth = 0
      return
    }
    for (;;) {
      skip()
      if (text[at] === "{") {
        if (leafDepth !== -1 && depth + 1 > leafDepth) return malformed()
        readLevel(depth + 1)
      } else {
        if (leafDepth === -1) leafDepth = depth
        else if (leafDepth !== depth) return malformed()
        readElement()
      }
      count++
      skip()
      const character = text[at++]
      if (character === "}") break
      if (character !== delimiter) return malformed()
    }
    const known = lengths[depth]
    if (known === undefined) lengths[depth] = count
    else if (known !== count) return malformed()
  }
  if (text[at] !== "{") return malformed()
  readLevel(0)
  skip()
  if (at !== text.length) return malformed()
  if (elements.length === 0) return stated.length === 0 ? emptyArray : malformed()
  if (stated.length > 0) {
    if (stated.length !== lengths.length || stated.some((n, i) => n !== lengths[i])) return malformed()
    return { lengths, lowerBounds, elements }
  }
  return { lengths, lowerBounds: lengths.map(() => 1), elements }
}

const needsQuotes = (text: string, delimiter: string): boolean =>
  text === "" || text.toUpperCase() === "NULL" || /[{}"\\\s]/.test(text) || text.includes(delimiter)

const quoted = (text: string): string => {
  spend(40 + text.length)
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`
}

export const printArray = (value: ArrayValue, codec: Codec, delimiter: string): string => {
  if (value.elements.length === 0) return "{}"
  spend(value.elements.length * 10)
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

export const sameShape = (a: ArrayValue, b: ArrayValue): boolean =>
  a.lengths.length === b.lengths.length &&
  a.lengths.every((length, i) => length === b.lengths[i]) &&
  a.lowerBounds.every((low, i) => low === b.lowerBounds[i])

export const arraysEqual = (
  a: ArrayValue,
  b: ArrayValue,
  equal: (x: unknown, y: unknown) => boolean
): boolean => {
  if (!sameShape(a, b)) return false
  spend(a.elements.length)
  for (let i = 0; i < a.elements.length; i++) {
    const left = a.elements[i]
    const right = b.elements[i]
    if (left === null || right === null) {
      if (left !== right) return false
    } else if (!equal(left, right)) return false
  }
  return true
}

/** Element by element, NULL above everything; then size, then shape. */
export const compareArrays = (
  a: ArrayValue,
  b: ArrayValue,
  compare: (x: unknown, y: unknown) => number
): number => {
  const length = Math.min(a.elements.length, b.elements.length)
  spend(length)
  for (let i = 0; i < length; i++) {
    const left = a.elements[i]
    const right = b.elements[i]
    if (left === null || right === null) {
      if (left !== right) return left === null ? 1 : -1
      continue
    }
    const order = compare(left, right)
    if (order !== 0) return order
  }
  if (a.elements.length !== b.elements.length) return a.elements.length - b.elements.length
  if (a.lengths.length !== b.lengths.length) return a.lengths.length - b.lengths.length
  for (let i = 0; i < a.lengths.length; i++) {
    const difference = (a.lengths[i] ?? 0) - (b.lengths[i] ?? 0)
    if (difference !== 0) return difference
  }
  for (let i = 0; i < a.lengths.length; i++) {
    const difference = (a.lowerBounds[i] ?? 0) - (b.lowerBounds[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

export const containsAll = (whole: ArrayValue, part: ArrayValue, key: (x: unknown) => unknown): boolean => {
  if (part.elements.length === 0) return true
  spend((whole.elements.length + part.elements.length) * 4)
  const keys = new Set<unknown>()
  for (const element of whole.elements) if (element !== null) keys.add(key(element))
  for (const element of part.elements) if (element === null || !keys.has(key(element))) return false
  return true
}

export const overlaps = (a: ArrayValue, b: ArrayValue, key: (x: unknown) => unknown): boolean => {
  spend((a.elements.length + b.elements.length) * 4)
  const keys = new Set<unknown>()
  for (const element of a.elements) if (element !== null) keys.add(key(element))
  for (const element of b.elements) if (element !== null && keys.has(key(element))) return true
  return false
}

/** `array[i][j]`: NULL when out of range or when the number of subscripts is not that of dimensions. */
export const elementAt = (array: ArrayValue, subscripts: ReadonlyArray<number>): unknown => {
  if (subscripts.length !== array.lengths.length || subscripts.length === 0) return null
  let offset = 0
  for (let i = 0; i < subscripts.length; i++) {
    const length = array.lengths[i] ?? 0
    const index = (subscripts[i] ?? 0) - (array.lowerBounds[i] ?? 1)
    if (index < 0 || index >= length) return null
    offset = offset * length + index
  }
  return array.elements[offset]
}

/** `array[a:b]`; an omitted bound is `undefined`. The result's lower bounds are 1. */
export const sliceArray = (
  array: ArrayValue,
  bounds: ReadonlyArray<readonly [number | undefined, number | undefined]>
): ArrayValue => {
  const dimensions = array.lengths.length
  if (dimensions === 0 || bounds.length > dimensions) return emptyArray
  const from: Array<number> = []
  const lengths: Array<number> = []
  for (let i = 0; i < dimensions; i++) {
    const low = array.lowerBounds[i] ?? 1
    const high = low + (array.lengths[i] ?? 0) - 1
    const [a, b] = bounds[i] ?? [undefined, undefined]
    const start = Math.max(a ?? low, low)
    const end = Math.min(b ?? high, high)
    if (start > end) return emptyArray
    from.push(start - low)
    lengths.push(end - start + 1)
  }
  spendElements(lengths.reduce((product, length) => product * length, 1) * 2)
  const elements: Array<unknown> = []
  const walk = (depth: number, offset: number): void => {
    if (depth === dimensions) {
      elements.push(array.elements[offset])
      return
    }
    for (let i = 0; i < (lengths[depth] ?? 0); i++) {
      walk(depth + 1, offset * (array.lengths[depth] ?? 0) + (from[depth] ?? 0) + i)
    }
  }
  walk(0, 0)
  return { lengths, lowerBounds: lengths.map(() => 1), elements }
}

const inner = (x: ArrayValue, skip: number): string => x.lengths.slice(skip).join(",")
const incompatible = (): never => fail("cannot concatenate incompatible arrays")

export const concatenate = (a: ArrayValue, b: ArrayValue): ArrayValue => {
  if (a.lengths.length === 0) return b
  if (b.lengths.length === 0) return a
  spendElements(a.elements.length + b.elements.length)
  const elements = [...a.elements, ...b.elements]
  if (a.lengths.length === b.lengths.length) {
    if (inner(a, 1) !== inner(b, 1) || a.lowerBounds.slice(1).join() !== b.lowerBounds.slice(1).join()) {
      return incompatible()
    }
    return {
      lengths: [(a.lengths[0] ?? 0) + (b.lengths[0] ?? 0), ...a.lengths.slice(1)],
      lowerBounds: a.lowerBounds,
      elements
    }
  }
  const [outer, member] = a.lengths.length > b.lengths.length ? [a, b] : [b, a]
  if (outer.lengths.length !== member.lengths.length + 1 || inner(outer, 1) !== inner(member, 0))
    return incompatible()
  if (outer.lowerBounds.slice(1).join() !== member.lowerBounds.join()) return incompatible()
  return {
    lengths: [(outer.lengths[0] ?? 0) + 1, ...outer.lengths.slice(1)],
    lowerBounds: outer.lowerBounds,
    elements
  }
}

export const appendElement = (array: ArrayValue | null, element: unknown): ArrayValue => {
  if (array === null || array.lengths.length === 0) return vector([element])
  if (array.lengths.length !== 1) return fail("argument must be empty or one-dimensional array")
  spendElements(array.elements.length + 1)
  return { ...array, lengths: [(array.lengths[0] ?? 0) + 1], elements: [...array.elements, element] }
}

export const prependElement = (element: unknown, array: ArrayValue | null): ArrayValue => {
  if (array === null || array.lengths.length === 0) return vector([element])
  if (array.lengths.length !== 1) return fail("argument must be empty or one-dimensional array")
  spendElements(array.elements.length + 1)
  return { ...array, lengths: [(array.lengths[0] ?? 0) + 1], elements: [element, ...array.elements] }
}

/** `ARRAY[…]` over arrays: sub-arrays must have one shape; NULL ones count as empty. */
export const nestArrays = (parts: ReadonlyArray<ArrayValue | null>): ArrayValue => {
  const first = parts.find((part) => part !== null && part.elements.length > 0)
  if (first === null || first === undefined) return emptyArray
  for (const part of parts) {
    if (part === null || !sameShape(part, first)) {
      return fail("multidimensional arrays must have array expressions with matching dimensions")
    }
  }
  spendElements(parts.length * first.elements.length)
  return {
    lengths: [parts.length, ...first.lengths],
    lowerBounds: [1, ...first.lowerBounds],
    elements: parts.flatMap((part) => part?.elements ?? [])
  }
}
