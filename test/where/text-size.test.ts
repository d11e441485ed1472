import { createRequire } from "node:module"
import { Effect } from "effect"
import { assert, beforeAll, describe, it } from "vitest"
import { standardLimits } from "../../src/config/Limits.ts"
import { loadParser, parseCondition, parseOrderBy, replacedParsers } from "../../src/where/parse/Parser.ts"
import { sizeOfText } from "../../src/where/parse/TextSize.ts"
import { Refusal } from "../../src/where/WhereError.ts"
import { Random } from "./support/random.ts"

const { parseSync, loadModule } = createRequire(import.meta.url)(
  "libpg-query"
) as typeof import("libpg-query")

beforeAll(async () => {
  await loadModule()
  await Effect.runPromise(loadParser)
})

/** How deep nodes stand inside each other. */
const depthOf = (value: unknown): number => {
  if (Array.isArray(value)) return Math.max(0, ...value.map(depthOf))
  if (typeof value !== "object" || value === null) return 0
  return Math.max(
    0,
    ...Object.entries(value).map(([key, member]) => depthOf(member) + (/^[A-Z]/.test(key) ? 1 : 0))
  )
}

const refusalOf = (run: () => unknown): string | undefined => {
  try {
    run()
    return undefined
  } catch (failure) {
    if (failure instanceof Refusal) return failure.error.message
    throw failure
  }
}

const rest = (text: string, count: number): string => text.repeat(count)

describe("the size of a text, before it is parsed", () => {
  it.for<readonly [string, { readonly tokens: number; readonly depth: number }]>([
    ["", { tokens: 0, depth: 0 }],
    ["id = 1", { tokens: 3, depth: 3 }],
    ["id = 1 AND title = 'x, (' OR \"and\" <> $$ ( , $$", { tokens: 11, depth: 4 }],
    ["id IN (1, 2, 3)", { tokens: 9, depth: 5 }],
    ["a BETWEEN 1 AND 2 AND b", { tokens: 7, depth: 6 }],
    ["((a))", { tokens: 5, depth: 3 }],
    ["CASE WHEN a THEN b ELSE c END", { tokens: 8, depth: 3 }],
    ["a -- , ( '\n = /* ' /* ( */ , */ E'\\'(' || t.case", { tokens: 7, depth: 7 }],
    ["a = $1 + - -1", { tokens: 7, depth: 7 }]
  ])("%s", ([text, { tokens, depth }]) => {
    const size = sizeOfText(text)
    assert.deepStrictEqual({ tokens: size.tokens, depth: size.depth }, { tokens, depth })
  })

  it("is never below what the parser makes of it", () => {
    const seed = Date.now() % 1_000_000
    const random = new Random(seed)
    const words = [
      ..."a 1 'x' ( ) [ ] , + - || -> :: = < AND OR NOT IS NULL BETWEEN IN LIKE CASE WHEN THEN ELSE END".split(
        " "
      ),
      ..."ARRAY[ int text lower( coalesce( ROW( COLLATE AT TIME ZONE . $1 E'\\'' \"and\" DISTINCT FROM".split(
        " "
      ),
      ..."SELECT UNION JOIN OPERATOR(pg_catalog.+) EXCEPT".split(" ")
    ]
    const operand = (left: number): string => {
      if (left <= 0) return random.pick(["a", "1", "'x'", "$1", '"and"', "true"])
      const inner = () => operand(left - 1 - random.below(3))
      return random.pick([
        () => `${inner()} + ${inner()}`,
        () => `${inner()} AND ${inner()}`,
        () => `${inner()} OR NOT ${inner()}`,
        () => `(${inner()})`,
        () => `${inner()}::int`,
        () => `a BETWEEN ${inner()} AND NOT ${inner()}`,
        () => `CASE WHEN ${inner()} THEN ${inner()} ELSE ${inner()} END`,
        () => `f(${inner()}, ${inner()})`,
        () => `(ARRAY[${inner()}, ${inner()}])[${inner()}]`,
        () => `${inner()} IS NULL`,
        () => `- ${inner()}`,
        () => `(SELECT 1, 2 UNION SELECT ${inner()}, 2 WHERE a AND b UNION SELECT 3, 4)`,
        () => `(SELECT 1 FROM a, b JOIN c ON a AND b JOIN d ON ${inner()} OR c) IS NULL`
      ])()
    }
    let parsed = 0
    for (let i = 0; i < 6000; i++) {
      const text =
        i % 2 === 0
          ? operand(1 + random.below(8))
          : Array.from({ length: 1 + random.below(12) }, () => random.pick(words)).join(
              random.pick(["", " "])
            )
      let tree: unknown
      try {
        tree = parseSync(`SELECT 1 WHERE ${text}`)
      } catch {
        continue
      }
      parsed++
      // SelectStmt, and what stands at the leaves (a constant, a name) inside a token's node.
      const depth = depthOf(tree)
      assert.isAtMost(depth, 2 * sizeOfText(text).depth + 4, `seed ${seed}: ${text}`)
    }
    assert.isAbove(parsed, 1000)
  })
})

describe("texts that the parser could not bear", () => {
  const heavy: ReadonlyArray<readonly [string, string, RegExp]> = [
    [
      "concatenations",
      `title = 'a'${rest("||'a'", 9998)}`,
      /inside each other is 19999, above .*BATON_MAX_CLAUSE_DEPTH/
    ],
    ["members", `doc${rest("->'a'", 9998)} = '1'`, /BATON_MAX_CLAUSE_DEPTH/],
    ["sums", `id = 1${rest("+1", 9998)}`, /BATON_MAX_CLAUSE_DEPTH/],
    ["casts", `id = 1${rest("::int", 6000)}`, /BATON_MAX_CLAUSE_DEPTH/],
    ["unions", `(SELECT 1,2${rest(" UNION SELECT 1,2", 3000)}) = 1`, /BATON_MAX_CLAUSE_DEPTH/],
    ["BETWEEN", `${rest("id BETWEEN 1 AND NOT ", 2500)}true`, /BATON_MAX_CLAUSE_DEPTH/],
    ["nested comments", `${rest("/*", 14_000)}${rest("*/", 14_000)} true`, /too many signs/],
    ["comments in a row", `${rest("/**/", 14_000)} true`, /too many signs/],
    ["signs", `id ${rest("+-", 30_000)} 1`, /BATON_MAX_CLAUSE_TOKENS|too many signs/],
    ["a list", `id IN (1${rest(",1", 20_000)})`, /BATON_MAX_CLAUSE_TOKENS/],
    [
      "a long text",
      `title = '${rest("x", 70_000)}'`,
      /is 70010 bytes, above the limit of 65536 bytes \(BATON_MAX_CLAUSE\)/
    ]
  ]

  it.for(heavy)("%s", ([, text, message]) => {
    const before = replacedParsers()
    for (let i = 0; i < 30; i++) {
      assert.match(refusalOf(() => parseCondition(text, standardLimits)) ?? "", message)
      assert.match(refusalOf(() => parseOrderBy(text, standardLimits)) ?? "", message)
    }
    // Nothing of it reached the parser, which goes on with forms that it has never seen.
    assert.strictEqual(replacedParsers(), before)
    assert.isDefined(parseCondition(`id = 1 AND title LIKE 'never${text.length}%'`, standardLimits).node)
    assert.strictEqual(parseOrderBy("id DESC", standardLimits).items.length, 1)
  })

  it("a parser that has failed is replaced: the next one parses as before", async () => {
    const unlimited = { ...standardLimits, clauseTokens: 1e9, clauseDepth: 1e9 }
    const [, text] = heavy[0] ?? ["", ""]
    const before = replacedParsers()
    for (let i = 0; i < 8; i++) {
      assert.match(refusalOf(() => parseCondition(text ?? "", unlimited)) ?? "", /nested too deep/)
      await Effect.runPromise(loadParser)
    }
    assert.isAbove(replacedParsers(), before)
    assert.isDefined(parseCondition("id = 7 OR title ~* 'a form of its own'", standardLimits).node)
    assert.strictEqual(
      refusalOf(() => parseCondition("id = ", standardLimits)),
      "At location 20: syntax error at end of input"
    )
  })
})
