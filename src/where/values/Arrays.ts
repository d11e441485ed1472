import { fail } from "./Failure.ts"
import type { Codec } from "./Codec.ts"
import { spend, spendElements } from "./Work.ts"

/**
 * An array value: elements in row-major order, the length and lower bound of each dimension.
 * An empty array has no dimensions.
 */
export interface ArrayValue {
  readonly lengths: ReadonlyArray<number>
  readonly lowerBounds: ReadonlyArray<number>
  readonly elements: ReadonlyArray<unknown>
}

/** A codec of elements that have an identity. */
export type Keyed = Codec & { readonly key: (value: unknown) => unknown }

export const emptyArray: ArrayValue = { lengths: [], lowerBounds: [], elements: [] }

export const vector = (elements: ReadonlyArray<unknown>): ArrayValue =>
  elements.length === 0 ? emptyArray : { lengths: [elements.length], lowerBounds: [1], elements }

export const sameShape = (a: ArrayValue, b: ArrayValue): boolean =>
  a.lengths.length === b.lengths.length &&
  a.lengths.every((length, i) => length === b.lengths[i]) &&
  a.lowerBounds.every((low, i) => low === b.lowerBounds[i])

export const arraysEqual = (
  a: ArrayValue,
  b: ArrayValue,
  equal: (x: unknown, y: unknown) => boolean,
  steps: number
): boolean => {
  if (!sameShape(a, b)) return false
  spend(a.elements.length * steps)
  for (let i = 0; i < a.elements.length; i++) {
    const left = a.elements[i]
    const right = b.elements[i]
    if (left === null || right === null) {
      if (left !== right) return false
    } else if (!equal(left, right)) return false
  }
  return true
}

/** Element by element, NULL above everything; then size, then shape. `steps` is what a comparison of elements takes. */
export const compareArrays = (
  a: ArrayValue,
  b: ArrayValue,
  compare: (x: unknown, y: unknown) => number,
  steps: number
): number => {
  const length = Math.min(a.elements.length, b.elements.length)
  spend(length * steps)
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

/** The key of an element for a set, which reads a long text once. */
const inSet = (key: (x: unknown) => unknown, element: unknown): unknown => {
  const id = key(element)
  if (typeof id === "string" && id.length > 30) spend(id.length >> 4)
  return id
}

/** Sets are made and asked at some 200 ns an element. */
const setSteps = 15

export const containsAll = (whole: ArrayValue, part: ArrayValue, codec: Keyed): boolean => {
  if (part.elements.length === 0) return true
  const { key, keySteps } = codec
  spend((whole.elements.length + part.elements.length) * (setSteps + keySteps))
  const keys = new Set<unknown>()
  for (const element of whole.elements) if (element !== null) keys.add(inSet(key, element))
  for (const element of part.elements) if (element === null || !keys.has(inSet(key, element))) return false
  return true
}

export const overlaps = (a: ArrayValue, b: ArrayValue, codec: Keyed): boolean => {
  const { key, keySteps } = codec
  spend((a.elements.length + b.elements.length) * (setSteps + keySteps))
  const keys = new Set<unknown>()
  for (const element of a.elements) if (element !== null) keys.add(inSet(key, element))
  for (const element of b.elements) if (element !== null && keys.has(inSet(key, element))) return true
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
