import { assert, describe, it } from "vitest"
import { TypeCatalogue, type TypeEntry } from "../../src/where/catalogue/TypeCatalogue.ts"
import { oids } from "../../src/where/expression/Expression.ts"
import { canCoerceAll, resolvePolymorphic } from "../../src/where/resolve/Polymorphic.ts"

const ints = 1007
const bigints = 1016
const intRange = 3904
const bigintRange = 3926
const intMultirange = 4451
const mood = 90001
const moods = 90002
const age = 90003
const moodDomain = 90004

const type = (oid: number, name: string, over: Partial<TypeEntry> = {}): TypeEntry => ({
  oid,
  name,
  schema: "pg_catalog",
  kind: "b",
  category: "N",
  preferred: false,
  element: 0,
  array: 0,
  base: 0,
  baseTypmod: -1,
  collation: 0,
  delimiter: ",",
  constrained: false,
  hasModifier: false,
  labels: undefined,
  subtype: 0,
  subtypeCollation: 0,
  multirange: 0,
  canonical: false,
  fields: undefined,
  ...over
})

const catalogue = new TypeCatalogue({
  serverVersion: 180000,
  searchPath: ["pg_catalog"],
  defaultCollation: { provider: "c", locale: "C" },
  encoding: "UTF8",
  types: [
    type(oids.int4, "int4", { array: ints }),
    type(oids.int8, "int8", { array: bigints }),
    type(oids.text, "text", { category: "S", preferred: true }),
    type(ints, "_int4", { category: "A", element: oids.int4 }),
    type(bigints, "_int8", { category: "A", element: oids.int8 }),
    type(intRange, "int4range", {
      kind: "r",
      category: "R",
      subtype: oids.int4,
      multirange: intMultirange
    }),
    type(bigintRange, "int8range", { kind: "r", category: "R", subtype: oids.int8 }),
    type(intMultirange, "int4multirange", { kind: "m", category: "R", subtype: intRange }),
    type(mood, "mood", { kind: "e", category: "E", array: moods, labels: ["sad", "glad"] }),
    type(moods, "_mood", { category: "A", element: mood }),
    type(age, "age", { kind: "d", base: oids.int4 }),
    type(moodDomain, "mood_domain", { kind: "d", category: "E", base: mood })
  ],
  operators: [],
  functions: [],
  casts: [{ source: oids.int4, target: oids.int8, function: 481, context: "implicit", method: "function" }],
  collations: []
})

type Types = ReadonlyArray<number>
type Row = readonly [what: string, declared: Types, given: Types, result: number, found: Types | undefined]

/** The last column: the types of the arguments, and behind them that of the result. */
const table: ReadonlyArray<Row> = [
  ["types that are not polymorphic stay", [oids.int4], [oids.int8], oids.text, [oids.int4, oids.text]],
  ["one element", [oids.anyelement], [oids.int4], oids.anyarray, [oids.int4, ints]],
  ["two that agree", [oids.anyelement, oids.anyelement], [oids.int4, oids.int4], oids.bool, [23, 23, 16]],
  ["two that do not", [oids.anyelement, oids.anyelement], [oids.int4, oids.int8], oids.bool, undefined],
  ["a literal beside a value", [oids.anyelement, oids.anyelement], [705, oids.int8], oids.bool, [20, 20, 16]],
  ["literals alone", [oids.anyelement, oids.anyelement], [705, 705], oids.bool, [0, 0, 0]],
  [
    "an element and its array",
    [oids.anyarray, oids.anyelement],
    [ints, 705],
    oids.anyelement,
    [ints, 23, 23]
  ],
  ["an element of another array", [oids.anyarray, oids.anyelement], [ints, oids.int8], oids.bool, undefined],
  ["a domain and an array over its type", [oids.anyarray, oids.anyelement], [ints, age], 16, [ints, age, 16]],
  ["two arrays that do not agree", [oids.anyarray, oids.anyarray], [ints, bigints], oids.bool, undefined],
  ["no array where one is wanted", [oids.anyarray], [oids.int4], oids.bool, undefined],
  ["an array where none is wanted", [oids.anynonarray], [ints], oids.bool, undefined],
  ["an enum", [oids.anyenum], [mood], oids.anyarray, [mood, moods]],
  ["a domain over an enum", [oids.anyenum], [moodDomain], oids.bool, undefined],
  ["no enum", [oids.anyenum], [oids.int4], oids.bool, undefined],
  ["a range and its element", [oids.anyrange, oids.anyelement], [intRange, 705], oids.bool, [3904, 23, 16]],
  ["a range and another element", [oids.anyrange, oids.anyelement], [intRange, 20], oids.bool, undefined],
  ["two ranges that do not agree", [oids.anyrange, oids.anyrange], [intRange, bigintRange], 16, undefined],
  ["no range", [oids.anyrange], [intMultirange], oids.bool, undefined],
  ["the multirange of a range", [oids.anyrange], [intRange], oids.anymultirange, [intRange, intMultirange]],
  ["the range of a multirange", [oids.anymultirange], [intMultirange], oids.anyrange, [4451, intRange]],
  [
    "the element of a multirange",
    [oids.anymultirange, oids.anyelement],
    [intMultirange, 705],
    oids.bool,
    [4451, 23, 16]
  ],
  [
    "a multirange and another range",
    [oids.anymultirange, oids.anyrange],
    [intMultirange, bigintRange],
    oids.bool,
    undefined
  ],
  ["no multirange", [oids.anymultirange], [intRange], oids.bool, undefined],
  [
    "compatible elements",
    [oids.anycompatible, oids.anycompatible],
    [oids.int4, oids.int8],
    oids.anycompatible,
    [20, 20, 20]
  ],
  [
    "incompatible elements",
    [oids.anycompatible, oids.anycompatible],
    [oids.int4, oids.text],
    oids.bool,
    undefined
  ],
  ["compatible literals are text", [oids.anycompatible], [705], oids.anycompatible, [oids.text, oids.text]],
  [
    "a compatible array and element",
    [oids.anycompatiblearray, oids.anycompatible],
    [ints, oids.int8],
    oids.anycompatiblearray,
    [bigints, oids.int8, bigints]
  ],
  ["no compatible array", [oids.anycompatiblearray], [oids.int4], oids.bool, undefined],
  ["a compatible array where none is wanted", [oids.anycompatiblenonarray], [ints], oids.bool, undefined],
  [
    "a compatible range and element",
    [oids.anycompatiblerange, oids.anycompatible],
    [bigintRange, oids.int4],
    oids.anycompatible,
    [bigintRange, oids.int8, oids.int8]
  ],
  [
    "a range that would have to be another",
    [oids.anycompatiblerange, oids.anycompatible],
    [intRange, oids.int8],
    oids.bool,
    undefined
  ],
  ["no compatible range", [oids.anycompatiblerange], [oids.int4], oids.bool, undefined],
  [
    "a compatible multirange and its range",
    [oids.anycompatiblemultirange, oids.anycompatiblerange],
    [intMultirange, intRange],
    oids.anycompatiblemultirange,
    [intMultirange, intRange, intMultirange]
  ],
  [
    "a compatible multirange and another range",
    [oids.anycompatiblemultirange, oids.anycompatiblerange],
    [intMultirange, bigintRange],
    oids.bool,
    undefined
  ],
  ["no compatible multirange", [oids.anycompatiblemultirange], [intRange], oids.bool, undefined],
  [
    "both families",
    [oids.anyelement, oids.anycompatible, oids.anycompatible],
    [oids.text, oids.int4, oids.int8],
    oids.anyelement,
    [25, 20, 20, 25]
  ],
  ["an argument of a type that nobody knows", [oids.anyelement], [12345], oids.bool, undefined]
]

const accepts = (declared: Types, given: Types): boolean => canCoerceAll(catalogue, given, declared)

describe("polymorphic parameters", () => {
  it.each(table)("%s", (_what, declared, given, result, found) => {
    const resolved = resolvePolymorphic(catalogue, declared, given, result)
    assert.deepStrictEqual(resolved && [...resolved.args, resolved.result], found)
    if (declared.length > 1) {
      const turned = resolvePolymorphic(catalogue, declared.toReversed(), given.toReversed(), result)
      assert.deepStrictEqual(
        turned && [...turned.args.toReversed(), turned.result],
        found,
        "the order of the arguments does not matter"
      )
    }
  })

  it("accepts what Postgres would bring to the types of the parameters", () => {
    assert.isTrue(accepts([oids.int8, oids.anyelement], [oids.int4, mood]))
    assert.isFalse(accepts([oids.int4], [oids.int8]), "no implicit cast")
    assert.isFalse(accepts([oids.int8, oids.anyenum], [oids.int4, oids.int4]), "the parameter wants an enum")
    assert.isTrue(accepts([oids.anyelement], [oids.unknown]))
  })
})
