import { Effect } from "effect"
import fc from "fast-check"
import { assert, beforeAll, describe, it } from "vitest"
import { loadParser } from "../../src/where/index.ts"
import { patternOf } from "../../src/where/parse/Literals.ts"
import { standardLimits } from "../../src/config/Limits.ts"
import { parseCondition, parseLikeBefore } from "../../src/where/parse/Parser.ts"

beforeAll(() => Effect.runPromise(loadParser))

type Make = (n: number, s: string, m: number) => string

/** Clauses that differ in their literals only, those in which that is hard to see among them. */
const clauses: ReadonlyArray<Make> = [
  (n) => `tenant = ${n}`,
  (n, s) => `tenant = ${n} AND status = '${s}'`,
  (n, s, m) => `id IN (${n}, ${m}, 7) OR title ILIKE '%${s}' OR title LIKE 'a${s}' ESCAPE '!'`,
  (n, s, m) => `a BETWEEN ${n} AND ${m} AND NOT b[${n}] = '${s}'::text`,
  (n) => `a = -${n} OR a - -${n} > - ${n}`,
  (n, _, m) => `a1 = ${n}.${m} OR a = ${n}e2 OR "b1" = ${n} OR "x'2" = 'x'`,
  (n, s) => `meta ->> '${s}' = '${s}' AND (meta -> ${n}) IS NOT NULL`,
  (n, s) => `at > date '2024-01-01' + interval '${n} days' AND kind = E'${s}'`,
  (n, s) => `a = $1 AND b = $2 AND c = ${n} -- ${s}`,
  (n, s) => `a = ${n} /* ${s} */ AND b = 2`,
  (n, s) => `title = '${s}''${s}' AND n = ${n}`,
  (n, s) => `title = '${s}'\n'x' AND n = ${n}`,
  (n, s) => `title = $tag$${s}$tag$ AND n = ${n}`,
  (n, s) => `title = U&'${s}' OR bits = B'101' OR bits = X'1F' OR n = ${n}`,
  (n, s, m) => `n::numeric(9, 2) = ${n} AND t::timestamp(3) > '${s}' AND f::float(${(m % 50) + 1}) = 0`,
  (n, s, m) => `n = ANY (ARRAY[${n}, ${m}]) AND t = ANY ('{${s}}') AND coalesce(x, ${n}) = 0${m}`,
  (n) => `a = 1_${n % 9} OR b = 0x${n % 9} OR c=${n}AND d`,
  (n, s, m) => `CASE WHEN a = ${n} THEN '${s}' ELSE '' END = '' AND (a, b) < (${n}, ${m})`,
  (n, s) => `größe = ${n} AND "Größe" = '${s}' AND extract(year FROM at) = ${n}`
]

const withoutPlaces = (node: unknown): unknown =>
  JSON.parse(
    JSON.stringify(node, (key, value: unknown) =>
      key === "location" || key.endsWith("list_start") || key.endsWith("list_end") ? undefined : value
    )
  )

const outcomeOf = (parse: typeof parseCondition, text: string): unknown => {
  try {
    return withoutPlaces(parse(text, standardLimits).node)
  } catch (failure) {
    return String((failure as { readonly name?: string }).name)
  }
}

const number = fc.oneof(fc.constantFrom(0, 1, 999_999_999, 1_000_000_000, 2_147_483_648), fc.nat(100_000))
const text = fc
  .string({ unit: "binary", maxLength: 6 })
  .filter((s) => !s.includes("'") && !s.includes("\0") && s.isWellFormed())

const formOf = (sql: string) => patternOf(sql)?.form

describe("a clause whose like was parsed before", () => {
  it("is parsed as if it were the first", () => {
    const clause = fc.tuple(fc.constantFrom(...clauses), number, text, number)
    fc.assert(
      fc.property(fc.array(clause, { minLength: 1, maxLength: 20 }), (all) => {
        for (const [make, n, s, m] of all) {
          const sql = make(n, s, m)
          assert.deepStrictEqual(outcomeOf(parseLikeBefore, sql), outcomeOf(parseCondition, sql), sql)
        }
      }),
      { numRuns: 300 }
    )
  })

  it("keeps the sign of a number, also after a zero", () => {
    for (const sql of ["sign_of = -0 OR 2 > - 0", "sign_of = -7 OR 2 > - 7", "sign_of = -0 OR 2 > - 0"])
      assert.deepStrictEqual(outcomeOf(parseLikeBefore, sql), outcomeOf(parseCondition, sql), sql)
  })

  it("is known by the text around its literals", () => {
    assert.strictEqual(formOf("a = 1 AND b = 'x'"), formOf("a = 23 AND b = ''"))
    for (const other of [
      "a = 1 AND c = 'x'",
      "a1 = 1 AND b = 'x'",
      "a = '1' AND b = 'x'",
      "a = 1.5 AND b = 'x'"
    ])
      assert.notStrictEqual(formOf("a = 1 AND b = 'x'"), formOf(other))
    for (const unclear of ["a = E'x'", "a = 1 -- b", "a = $x$1$x$", "a = 'x''y'", "a = 'x\\'"])
      assert.isUndefined(formOf(unclear), unclear)
  })
})
