import { assert, describe, it } from "vitest"
import { standardLimits } from "../../src/config/Limits.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { Burst, RowCosts } from "../../src/where/index/Costs.ts"
import { natives, type Implementation, type Signature } from "../../src/where/native/index.ts"
import { vector } from "../../src/where/values/Arrays.ts"
import { codecOf } from "../../src/where/values/Codecs.ts"
import { compileLike } from "../../src/where/values/Like.ts"
import { compareCodePoints, findText, holdsAt, sameText } from "../../src/where/values/Text.ts"
import type { TypeSpec } from "../../src/where/values/TypeSpec.ts"
import { allow, ranOut, spend, stepsLeft, TooCostly, type TimeLimit } from "../../src/where/values/Work.ts"
import { Random } from "./support/random.ts"

/** As rows bring them: not put together from pieces. */
const flat = (text: string): string => Buffer.from(text, "utf8").toString("utf8")
const a = (count: number): string => flat("a".repeat(count))
const list = (count: number, one: (i: number) => unknown) =>
  vector(Array.from({ length: count }, (_, i) => one(i)))
const words = (count: number) => list(count, (i) => `t${i}`)
const read = (type: TypeSpec, text: string): unknown => codecOf(type, "c").read(text)
const digits = (count: number): unknown => read("numeric", "9".repeat(count))
const json = (count: number): unknown =>
  read("jsonb", `[${Array.from({ length: count }, (_, i) => `"k${i}"`).join(",")}]`)
const object = (count: number): unknown =>
  read("jsonb", `{${Array.from({ length: count }, (_, i) => `"k${i}":${i}`).join(",")}}`)
const jsonText = (count: number): string => `[${"1,".repeat(count)}1]`
const decimals = (count: number): unknown => read("numeric", `1.${"7".repeat(count)}`)
const nextTo = (text: string): string => `${text.slice(0, -1)}b`

/** Names, what is given for a size, and the least that must be paid for each unit of it. */
type Scan = readonly [
  names: string,
  given: (size: number) => ReadonlyArray<unknown>,
  least: number,
  types?: ReadonlyArray<TypeSpec>
]

const twoTexts: ReadonlyArray<TypeSpec> = ["text", "text"]
const arrays: ReadonlyArray<TypeSpec> = [{ array: "text" }, { array: "text" }]

/** Everything that looks through a text, an array, a document or a number of many digits. */
const scans: ReadonlyArray<Scan> = [
  [
    "texteq textne nameeq namene nameeqtext namenetext texteqname textnename",
    (n) => [a(n), nextTo(a(n))],
    1 / 64
  ],
  ["text_lt text_le text_gt text_ge namelt namele namegt namege", (n) => [a(n), nextTo(a(n))], 1 / 64],
  [
    "namelttext nameletext namegttext namegetext textltname textlename textgtname textgename",
    (n) => [a(n), nextTo(a(n))],
    1 / 64
  ],
  ["bpchareq bpcharne bpcharlt bpcharle bpchargt bpcharge", (n) => [a(10) + " ".repeat(n), a(9)], 1],
  ["textpos", (n) => [a(n), "aab"], 1 / 16],
  ["split_part", (n) => [a(n), "ab".repeat(100), 1], 1 / 16],
  ["textpos", (n) => [a(n), nextTo(a(1000))], 1 / 16],
  ["split_part", (n) => [a(n), "a", 2], 12],
  ["replace_text", (n) => [a(n), "aa", ""], 6],
  ["text_to_array", (n) => [a(n), "a"], 12],
  ["text_to_array", (n) => [a(n), null], 3],
  ["text_starts_with", (n) => [a(n), nextTo(a(n))], 1 / 64],
  ["textlike namelike textnlike namenlike", (n) => [a(n), "%aab%"], 1 / 16],
  ["textlike", (n) => [a(n), "%a_b%"], 1],
  ["textlike", (n) => [a(n), `${nextTo(a(n))}%`], 1 / 64],
  ["textlike", (n) => [a(n), `%${nextTo(a(n))}`], 1 / 64],
  ["textlike", (n) => ["a", "%_".repeat(n)], 30],
  ["texticlike nameiclike texticnlike nameicnlike", (n) => [a(n), "%aab%"], 1 / 16],
  ["like_escape", (n) => [a(n), "x"], 4],
  ["similar_to_escape_2", (n) => [a(n), "x"], 4],
  ["similar_to_escape_1", (n) => [a(n)], 4],
  ["textregexeq nameregexeq textregexne nameregexne", (n) => [a(n), "b$"], 1 / 2],
  ["texticregexeq nameicregexeq texticregexne nameicregexne", (n) => [a(n), "b$"], 1 / 2],
  ["lower upper", (n) => [a(n)], 1 / 2],
  ["initcap", (n) => [a(n)], 8],
  ["textcat byteacat", (n) => [a(n), a(n)], 1 / 2],
  ["textlen bpcharlen textoctetlen bpcharoctetlen", (n) => [a(n)], 1 / 8],
  ["text_substr", (n) => [a(n), 2, n >> 1], 1 / 8],
  ["text_substr_no_len", (n) => [a(n), n >> 1], 1 / 8],
  ["text_left text_right", (n) => [a(n), n >> 1], 1 / 8],
  ["text_reverse", (n) => [a(n)], 4],
  ["repeat", (n) => ["a", n], 1 / 4],
  ["md5_text", (n) => [a(n)], 1],
  ["translate", (n) => [a(n), "b", "c"], 8],
  ["translate", (n) => ["a", a(n), "c"], 8],
  ["btrim ltrim rtrim", (n) => [a(n), "b"], 5],
  ["btrim", (n) => ["a", a(n)], 5],
  ["btrim1 ltrim1", (n) => [a(n)], 5],
  ["rtrim1", (n) => [" ".repeat(n)], 1],
  ["lpad rpad", (n) => ["a", n, "ab"], 1 / 4],
  ["lpad(text,int4) rpad(text,int4)", (n) => ["a", n], 1 / 4],
  ["text_concat", (n) => [a(n), a(n)], 1 / 2],
  ["text_concat_ws", (n) => ["", a(n), a(n)], 1 / 2, ["text", "text", "text"]],
  ["textanycat(text,anynonarray) anytextcat(anynonarray,text)", (n) => [a(n), a(n)], 1 / 2],
  ["varchar", (n) => [a(n), (n >> 1) + 4, true], 1 / 8],
  ["bpchar", (n) => ["a", n + 4, true], 1 / 4],
  ["byteaeq byteane bytealt byteale byteagt byteage", (n) => [a(n), nextTo(a(n))], 1 / 64],
  ["arraycontains arraycontained", (n) => [words(n), words(n)], 30, arrays],
  ["arrayoverlap", (n) => [words(n), list(n, (i) => `x${i}`)], 30, arrays],
  ["array_cat", (n) => [words(n), words(n)], 6, arrays],
  ["array_append", (n) => [words(n), "x"], 3, [{ array: "text" }, "text"]],
  ["array_prepend", (n) => ["x", words(n)], 3, ["text", { array: "text" }]],
  ["array_position array_remove", (n) => [words(n), "x"], 5, [{ array: "text" }, "text"]],
  [
    "array_position array_remove",
    (n) => [list(n, () => digits(20)), digits(21)],
    35,
    [{ array: "numeric" }, "numeric"]
  ],
  ["array_to_text", (n) => [words(n), ","], 15, [{ array: "text" }, "text"]],
  ["array_to_text", (n) => [list(n, (i) => i + 0.1), ","], 80, [{ array: "float8" }, "text"]],
  ["array_eq array_ne array_lt array_le array_gt array_ge", (n) => [words(n), words(n)], 3, arrays],
  [
    "array_eq array_lt",
    (n) => [list(n, () => digits(20)), list(n, () => digits(20))],
    35,
    [{ array: "numeric" }, { array: "numeric" }]
  ],
  ["jsonb_eq jsonb_ne", (n) => [json(n), json(n)], 10],
  ["jsonb_contains", (n) => [json(n), read("jsonb", `["x"]`)], 6],
  ["jsonb_contains", (n) => [object(n), object(n)], 50],
  ["jsonb_contained", (n) => [object(n), object(n)], 50],
  ["jsonb_exists", (n) => [json(n), "x"], 2],
  ["jsonb_exists_any", (n) => [json(0), list(n, (i) => `x${i}`)], 6],
  ["jsonb_exists_all", (n) => [json(0), list(n, () => null)], 6],
  ["jsonb_extract_path jsonb_extract_path_text", (n) => [json(1), list(n, () => "0")], 4],
  ["jsonb_object_field_text", (n) => [new Map([["a", json(n)]]), "a"], 10],
  ["jsonb_array_element_text", (n) => [[json(n)], 0], 10],
  ["json_object_field json_object_field_text", (n) => [`{"a":${jsonText(n)}}`, "a"], 10],
  ["json_array_element json_array_element_text", (n) => [jsonText(n), 0], 10],
  ["json_extract_path json_extract_path_text", (n) => [jsonText(n), list(1, () => "0")], 10],
  ["json_typeof json_array_length", (n) => [jsonText(n)], 10],
  ["numeric_div numeric_mod", (n) => [digits(n), digits(n >> 1)], 2],
  [
    "numeric_add numeric_sub numeric_eq numeric_ne numeric_lt numeric_le numeric_gt numeric_ge",
    (n) => [digits(n), read("numeric", "0.1")],
    1 / 5
  ],
  ["numeric_mul", (n) => [digits(n >> 1), digits(n >> 1)], 2],
  ["numeric_round numeric_trunc", (n) => [decimals(n), 5], 2],
  ["round(numeric) trunc(numeric) numeric_ceil numeric_floor", (n) => [decimals(n)], 2],
  ["numeric_int2 numeric_int4 numeric_int8 numeric_float4 numeric_float8", (n) => [decimals(n)], 2],
  ["numeric", (n) => [decimals(n), (100 << 16) + 14], 2]
]

/** Numbers are never longer than this, arrays and documents are not made longer here. */
const mostDigits = 4000
const sizeOf = (names: string): number =>
  names.startsWith("numeric") || names.startsWith("round") ? mostDigits : 5000

/** What takes the same time whatever it is given, or is given values that cannot be long. */
const bounded =
  /^(?:(?:int|oid|bool|date|time|uuid|float|interval|extract|make|network|range|elem|i[248]to|[df]to|d(?:ceil|floor|trunc|round|sign|sqrt)|mul_d).*|array_(?:ndims|length|lower|upper|cardinality)|enum_.*|numeric_(?:uplus|uminus|abs|sign)|ascii|name_text|text_name|bpchar_name|jsonb_(?:object_field|array_element|typeof|array_length|numeric|int2|int4|int8|bool)|byteaoctetlen)$/
/** Numbers inside documents, and fields of rows, pay as they do elsewhere. */
const madeOfOthers = /^(?:jsonb_float[48]|record_.*|numeric_div_trunc)$/

const call = (name: string, signature: Signature, given: ReadonlyArray<unknown>): unknown => {
  const native = natives.get(name)
  const implementation: Implementation | undefined = native?.make(signature)
  if (native === undefined || implementation === undefined) throw new Error(`${name} is not known`)
  if (native.prepare === undefined) return implementation(...given)
  return implementation(given[0], native.prepare(signature)(given[1]))
}

/** What it pays; `undefined` when there is too little for it. */
const paid = (steps: number, run: () => unknown): number | undefined => {
  allow(steps, 1e9)
  try {
    run()
    return steps - stepsLeft()
  } catch (failure) {
    if (failure instanceof TooCostly) return undefined
    // What is wrong, or left to Postgres, is found out by looking through it, too.
    return steps - stepsLeft()
  } finally {
    allow(Infinity, Infinity)
  }
}

describe("what looks through long values", () => {
  for (const [names, given, least, types = twoTexts] of scans)
    it.for(names.split(" "))(`%s pays for each of many, at least ${least.toFixed(2)} steps`, (name) => {
      const signature: Signature = { args: types, result: "text", collation: "c" }
      const size = sizeOf(names)
      const values = given(size)
      const most = paid(1e9, () => call(name, signature, values))
      assert.isAtLeast(most ?? 0, Math.floor(size * least))
      // With less it ends, before it has done it all.
      assert.isUndefined(paid(Math.floor(size * least) - 1, () => call(name, signature, values)))
    })

  it("is all there is: nothing else gets values that can be long", () => {
    const named = new Set(scans.flatMap(([names]) => names.split(" ")))
    const others = [...natives.keys()].filter((name) => !named.has(name) && !bounded.test(name))
    assert.deepStrictEqual(
      others.filter((name) => !madeOfOthers.test(name)),
      []
    )
  })

  it("values that are costly to read and write pay for each, in arrays", () => {
    for (const [type, text, least] of [
      ["inet", "::1", 500],
      ["interval", "1s", 250],
      ["timestamptz", "2024-01-01 00:00:00+00", 250],
      ["float4", "1.5", 200],
      ["numeric", "1.5", 60],
      ["text", "a", 15]
    ] as const) {
      const codec = codecOf({ array: type }, "c")
      const array = `{${Array.from({ length: 1000 }, () => text).join(",")}}`
      assert.isAtLeast(paid(1e9, () => codec.read(array)) ?? 0, 1000 * least, type)
      const value = codec.read(array)
      assert.isAtLeast(paid(1e9, () => codec.write(value)) ?? 0, 1000 * least, type)
    }
  })

  it("finds and compares what the language does, over the edges of what is looked at in one go", () => {
    const random = new Random(7)
    for (const length of [100, 1023, 1024, 1025, 16_383, 16_384, 16_385, 33_000])
      for (let round = 0; round < 60; round++) {
        const letters = random.pick(["ab", "aaaaaaaaab", "a", "aé😀"])
        const characters = Array.from(letters)
        const make = (count: number): string =>
          Array.from({ length: count }, () => random.pick(characters)).join("")
        const text = make(length)
        const at = random.below(text.length + 1)
        const taken = text.slice(at, at + random.pick([1, 2, 7, 50, 199, 200, 201, 1100, 3000]))
        const part = random.chance(0.5) ? taken : `${taken}b`
        const from = random.chance(0.5) ? 0 : random.below(text.length + 2)
        assert.strictEqual(findText(text, part, from), text.indexOf(part, from))
        assert.strictEqual(holdsAt(text, part, at), text.startsWith(part, at))
        const other = random.chance(0.5) ? text.slice(0, at) + make(3) : `${text}a`
        assert.strictEqual(sameText(text, other), text === other)
        const bytes = Buffer.compare(Buffer.from(text.toWellFormed()), Buffer.from(other.toWellFormed()))
        if (text.isWellFormed() && other.isWellFormed())
          assert.strictEqual(Math.sign(compareCodePoints(text, other)), bytes)
      }
  })
})

/** A processor that needs so long between two looks. */
const slow = (millis: number): TimeLimit & { readonly looks: () => number } => {
  let looks = 0
  return { mostMillis: 15, now: () => looks++ * millis, looks: () => looks }
}
const untilOver = (limit: TimeLimit): number => {
  allow(10_000_000, 1_000_000, undefined, limit)
  let spent = 0
  try {
    for (; spent < 10_000_000; spent += 100) spend(100)
  } catch (failure) {
    assert.instanceOf(failure, TooCostly)
    assert.isTrue(ranOut())
    assert.strictEqual(stepsLeft(), 0, "nothing more is to be done for it")
  } finally {
    allow(Infinity, Infinity)
  }
  return spent
}

describe("the time of an evaluation", () => {
  it("ends it when its steps take longer than they should, however many are left", () => {
    const spent = untilOver(slow(0.16))
    assert.isAbove(spent, 1_500_000)
    assert.isBelow(spent, 1_600_000)
    assert.isBelow(untilOver(slow(2)), 200_000)
    assert.strictEqual(untilOver(slow(0.01)), 10_000_000)
  })

  it("is not asked for by what costs little, nor where there is no limit", () => {
    const limit = slow(1000)
    allow(500_000, 1_000_000, undefined, limit)
    for (let i = 0; i < 160; i++) spend(100)
    assert.strictEqual(limit.looks(), 0)
    allow(10_000_000, 1_000_000)
    for (let i = 0; i < 1000; i++) spend(5000)
    allow(Infinity, Infinity)
    spend(1e12)
    assert.strictEqual(limit.looks(), 0)
  })

  it("of all conditions for one row ends as well, each of which costs little, and begins anew with the next", () => {
    let now = 0
    const costs = new RowCosts(standardLimits, new Burst(standardLimits, () => 0), {
      mostMillis: 15,
      now: () => now
    })
    const row = tupleOf(["x".repeat(100)])
    const decided = (millisEach: number): number => {
      costs.begin(row)
      let count = 0
      for (; count < 2000; count++) {
        try {
          spend(900)
        } catch {
          break
        }
        now += millisEach
        costs.settle(count)
      }
      costs.end()
      return count
    }
    assert.strictEqual(decided(0.009), 2000)
    const few = decided(0.3)
    assert.isAbove(few, 80)
    assert.isBelow(few, 250)
    assert.strictEqual(decided(0.009), 2000)
  })
})

describe("a pattern of LIKE", () => {
  it("is read piece by piece: escapes, nothing between two signs, signs at the ends", () => {
    for (const [pattern, yes, no] of [
      ["a\\%b", "a%b", "aab"],
      ["a\\_b%", "a_bc", "aab"],
      ["%%", "", undefined],
      ["_%_", "ab", "a"],
      ["\\😀%", "😀x", "x"],
      ["a%%b", "ab", "a"],
      ["%a_b%", "xaxbx", "ab"],
      ["", "", "a"],
      ["ab", "ab", "abc"],
      ["%bc", "abc", "bca"]
    ] as const) {
      assert.isTrue(compileLike(pattern)(yes), pattern)
      if (no !== undefined) assert.isFalse(compileLike(pattern)(no), pattern)
    }
    assert.throws(() => compileLike("a\\")("a"))
  })
})
