import * as arr from "../values/Arrays.ts"
import type { ArrayValue, Keyed } from "../values/Arrays.ts"
import { codecOf, rangeSubtype, sameKey } from "../values/Codecs.ts"
import { fail } from "../values/Failure.ts"
import * as rg from "../values/Ranges.ts"
import type { Range, RangeSubtype } from "../values/Ranges.ts"
import { isForeign, type TypeSpec } from "../values/TypeSpec.ts"
import { splitText } from "../values/Text.ts"
import { spend, spendElements, spendText } from "../values/Work.ts"
import { define, defineNullable, defineTyped, group, type Implementation, type Signature } from "./Native.ts"

group("arrays")

const elementOf = (spec: TypeSpec | undefined): TypeSpec | undefined =>
  spec !== undefined && typeof spec !== "string" && "array" in spec && !isForeign(spec)
    ? spec.array
    : undefined

const arrayElement = (signature: Signature): TypeSpec | undefined =>
  elementOf(signature.args[0]) ?? elementOf(signature.args[1])

/** Functions that compare elements: through the identity of their values. */
const withKeys =
  (build: (codec: Keyed) => Implementation) =>
  (signature: Signature): Implementation | undefined => {
    const element = arrayElement(signature)
    if (element === undefined || signature.collation === undefined) return undefined
    const codec = codecOf(element, signature.collation)
    return codec.key === undefined ? undefined : build({ ...codec, key: codec.key })
  }

const known =
  (build: () => Implementation) =>
  (signature: Signature): Implementation | undefined =>
    arrayElement(signature) === undefined ? undefined : build()

defineTyped(
  "arraycontains",
  withKeys((codec) => (a, b) => arr.containsAll(a as ArrayValue, b as ArrayValue, codec))
)
defineTyped(
  "arraycontained",
  withKeys((codec) => (a, b) => arr.containsAll(b as ArrayValue, a as ArrayValue, codec))
)
defineTyped(
  "arrayoverlap",
  withKeys((codec) => (a, b) => arr.overlaps(a as ArrayValue, b as ArrayValue, codec))
)
defineNullable(
  "array_cat",
  known(() => (a, b) => (a === null ? b : b === null ? a : arr.concatenate(a as ArrayValue, b as ArrayValue)))
)
defineNullable(
  "array_append",
  known(() => (a, b) => arr.appendElement(a as ArrayValue | null, b))
)
defineNullable(
  "array_prepend",
  known(() => (a, b) => arr.prependElement(a, b as ArrayValue | null))
)
define("array_ndims", (a: ArrayValue) => (a.lengths.length === 0 ? null : a.lengths.length))
define("array_length", (a: ArrayValue, dimension: number) => a.lengths[dimension - 1] ?? null)
define("array_lower", (a: ArrayValue, dimension: number) => a.lowerBounds[dimension - 1] ?? null)
define("array_upper", (a: ArrayValue, dimension: number) => {
  const low = a.lowerBounds[dimension - 1]
  return low === undefined ? null : low + (a.lengths[dimension - 1] ?? 0) - 1
})
define("array_cardinality", (a: ArrayValue) => a.elements.length)
defineNullable(
  "array_position",
  withKeys(({ key, keySteps }) => (a, wanted) => {
    if (a === null) return null
    const { lengths, lowerBounds, elements } = a as ArrayValue
    if (lengths.length > 1) return fail("searching for elements in multidimensional arrays is not supported")
    const target = wanted === null ? null : key(wanted)
    spend(elements.length * (2 + keySteps))
    const at = elements.findIndex((element) =>
      element === null || wanted === null ? element === wanted : sameKey(key(element), target)
    )
    return at < 0 ? null : at + (lowerBounds[0] ?? 1)
  })
)
defineNullable(
  "array_remove",
  withKeys(({ key, keySteps }) => (a, wanted) => {
    if (a === null) return null
    const array = a as ArrayValue
    if (array.lengths.length > 1)
      return fail("removing elements from multidimensional arrays is not supported")
    const target = wanted === null ? null : key(wanted)
    spendElements(array.elements.length)
    spend(array.elements.length * (2 + keySteps))
    const kept = array.elements.filter((element) =>
      element === null || wanted === null ? element !== wanted : !sameKey(key(element), target)
    )
    return kept.length === array.elements.length
      ? array
      : { ...arr.vector(kept), lowerBounds: kept.length === 0 ? [] : array.lowerBounds }
  })
)
defineTyped("array_to_text", (signature) => {
  const element = arrayElement(signature)
  if (element === undefined) return undefined
  const codec = codecOf(element, "c")
  return (array, separator) => {
    const between = String(separator)
    const { elements } = array as ArrayValue
    spend(elements.length * (4 + codec.textSteps))
    const texts: Array<string> = []
    for (const one of elements) {
      if (one === null) continue
      const text = codec.write(one)
      spendText(text.length + between.length)
      texts.push(text)
    }
    spendText(texts.reduce((length, text) => length + text.length + between.length, 0))
    return texts.join(between)
  }
})
defineNullable("text_to_array", () => (text, separator) => {
  if (text === null) return null
  if (text === "") return arr.emptyArray
  if (separator === null) {
    spendElements(String(text).length)
    spend(String(text).length)
    return arr.vector(Array.from(String(text)))
  }
  const pieces = separator === "" ? [text] : splitText(String(text), String(separator))
  spendElements(pieces.length)
  return arr.vector(pieces)
})

group("ranges")

const subtypeOf = (spec: TypeSpec | undefined, signature: Signature): RangeSubtype | undefined => {
  if (spec === undefined || typeof spec === "string" || !("range" in spec) || isForeign(spec))
    return undefined
  if (
    signature.collation !== "c" &&
    signature.collation !== "codepoint" &&
    /text|varchar/.test(JSON.stringify(spec))
  )
    return undefined
  return rangeSubtype(spec, signature.collation)
}

const onRanges = (key: string, test: (a: Range, b: Range, type: RangeSubtype) => unknown): void => {
  defineTyped(key, (signature) => {
    const type = subtypeOf(signature.args[0], signature)
    return type === undefined ? undefined : (a, b) => test(a as Range, b as Range, type)
  })
}
onRanges("range_contains", rg.rangeContains)
onRanges("range_contained_by", (a, b, type) => rg.rangeContains(b, a, type))
onRanges("range_overlaps", rg.rangesOverlap)
onRanges("range_before", rg.rangeBefore)
onRanges("range_after", (a, b, type) => rg.rangeBefore(b, a, type))
onRanges("range_overleft", rg.rangeNotRight)
onRanges("range_overright", rg.rangeNotLeft)
onRanges("range_adjacent", rg.rangesAdjacent)
onRanges("range_intersect", rg.rangeIntersection)
defineTyped("range_contains_elem", (signature) => {
  const type = subtypeOf(signature.args[0], signature)
  return type === undefined ? undefined : (range, value) => rg.rangeHolds(range as Range, value, type)
})
defineTyped("elem_contained_by_range", (signature) => {
  const type = subtypeOf(signature.args[1], signature)
  return type === undefined ? undefined : (value, range) => rg.rangeHolds(range as Range, value, type)
})
define("range_lower", (range: Range) => range.lower)
define("range_upper", (range: Range) => range.upper)
define("range_empty", (range: Range) => range.empty)
define("range_lower_inc", (range: Range) => range.lowerInclusive)
define("range_upper_inc", (range: Range) => range.upperInclusive)
define("range_lower_inf", (range: Range) => !range.empty && range.lower === null)
define("range_upper_inf", (range: Range) => !range.empty && range.upper === null)
for (const key of ["range_constructor2", "range_constructor3"]) {
  defineNullable(key, (signature) => {
    const type = subtypeOf(signature.result, signature)
    if (type === undefined) return undefined
    return (lower, upper, flags) => {
      if (flags === null) return fail("range constructor flags argument must not be null")
      const bounds = flags === undefined ? "[)" : String(flags)
      if (!/^[[(][\])]$/.test(bounds)) return fail("invalid range bound flags")
      return rg.makeRange(lower, upper, bounds.startsWith("["), bounds.endsWith("]"), type)
    }
  })
}
