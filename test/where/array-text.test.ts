import { assert, describe, it } from "vitest"
import { parseArray, printArray } from "../../src/where/values/ArrayText.ts"
import type { Codec } from "../../src/where/values/Codec.ts"
import { EvaluationError, Undecided } from "../../src/where/values/Failure.ts"

const texts: Codec = {
  read: (text) => text,
  write: String,
  compare: undefined,
  key: undefined,
  textSteps: 1,
  keySteps: 1
}
const parse = (text: string, delimiter = ",") => parseArray(text, texts, delimiter)

const failure = (text: string): string => {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof EvaluationError) return error.message
    if (error instanceof Undecided) return `undecided: ${error.reason}`
    throw error
  }
  return assert.fail(`${text} is an array`)
}

/** Literal, what Postgres would print, elements, lengths, lower bounds. */
const table: ReadonlyArray<
  readonly [string, string, ReadonlyArray<string | null>, ReadonlyArray<number>, ReadonlyArray<number>]
> = [
  ["{}", "{}", [], [], []],
  [" \t{ } ", "{}", [], [], []],
  ["{1,2}", "{1,2}", ["1", "2"], [2], [1]],
  [" { a b , c } ", '{"a b",c}', ["a b", "c"], [2], [1]],
  ['{"a,b","",NULL,"NULL",null}', '{"a,b","",NULL,"NULL",NULL}', ["a,b", "", null, "NULL", null], [5], [1]],
  ['{"a\\"\\\\b"}', '{"a\\"\\\\b"}', ['a"\\b'], [1], [1]],
  ["{a\\ ,\\NULL}", '{"a ","NULL"}', ["a ", "NULL"], [2], [1]],
  ["{{1,2},{3,4}}", "{{1,2},{3,4}}", ["1", "2", "3", "4"], [2, 2], [1, 1]],
  ["{{{{{{1}}}}}}", "{{{{{{1}}}}}}", ["1"], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
  ["[0:1]={a,b}", "[0:1]={a,b}", ["a", "b"], [2], [0]],
  ["[2] = {a,b}", "{a,b}", ["a", "b"], [2], [1]],
  ["[-1:0][+2:2]={{a},{b}}", "[-1:0][2:2]={{a},{b}}", ["a", "b"], [2, 1], [-1, 2]]
]

const malformed = [
  "",
  "1,2",
  "{1,2",
  "{1,2}}",
  "{1,,2}",
  "{1,}",
  "{,1}",
  '{"a}',
  '{"a\\',
  "{a\\",
  '{a"b"}',
  "{a{b}}",
  '{"a"b}',
  "{1;2",
  "{1,{2}}",
  "{1,{}}",
  "{{1},2}",
  "{{1,2},{3}}",
  "[1:2]={1}",
  "[1:1]={{1}}",
  "[1:1]={}",
  "[1:1]{1}",
  "[a]={1}"
]

describe("the text form of arrays", () => {
  it.each(table)("%s", (text, printed, elements, lengths, lowerBounds) => {
    const found = parse(text)
    assert.deepStrictEqual(found, { lengths, lowerBounds, elements })
    assert.strictEqual(printArray(found, texts, ","), printed)
    assert.deepStrictEqual(parse(printed), found)
  })

  it.each(malformed)("is not: %s", (text) => {
    assert.strictEqual(failure(text), `malformed array literal: "${text}"`)
  })

  it("has as many dimensions as Postgres allows, and bounds that are in order", () => {
    const tooMany = "number of array dimensions exceeds the maximum allowed (6)"
    assert.strictEqual(failure("{{{{{{{1}}}}}}}"), tooMany)
    assert.strictEqual(failure(`${"[1:1]".repeat(7)}={1}`), tooMany)
    for (const bounds of ["[3:1]", "[1:2147483647]", "[-2147483648:1]"])
      assert.strictEqual(failure(`${bounds}={1}`), "upper bound cannot be less than lower bound")
  })

  it("is left to Postgres where sub-arrays are empty", () => {
    for (const text of ["{{},{}}", "{{}}", "{{},1}"])
      assert.strictEqual(failure(text), "undecided: an array literal with empty sub-arrays", text)
  })

  it("has the delimiter of its type", () => {
    assert.deepStrictEqual(parse("{(1,2);(3,4)}", ";").elements, ["(1,2)", "(3,4)"])
    assert.strictEqual(printArray(parse("{a;b}", ";"), texts, ";"), "{a;b}")
  })
})
