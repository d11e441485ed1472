import { assert, describe, it } from "vitest"
import fc from "fast-check"
import { compileLike } from "../../src/where/values/Like.ts"

/** What LIKE means, one character at a time. */
const naive = (pattern: ReadonlyArray<string>, text: ReadonlyArray<string>): boolean => {
  const [first, ...rest] = pattern
  if (first === undefined) return text.length === 0
  if (first === "%") return naive(rest, text) || (text.length > 0 && naive(pattern, text.slice(1)))
  if (first === "\\") return text[0] === rest[0] && naive(rest.slice(1), text.slice(1))
  return text.length > 0 && (first === "_" || first === text[0]) && naive(rest, text.slice(1))
}

describe("LIKE", () => {
  it("does not let what a pattern begins and ends with overlap", () => {
    for (const [pattern, text, matches] of [
      ["ab%b", "ab", false],
      ["ab%b", "abb", true],
      ["aba%aba", "ababa", false],
      ["aba%aba", "abaaba", true],
      ["a_%_a", "aba", false],
      ["a_%_a", "abba", true],
      ["a%b%a", "aba", true],
      ["ab%b%b", "abb", false]
    ] as const)
      assert.strictEqual(compileLike(pattern)(text), matches, `${text} LIKE ${pattern}`)
  })

  it("is what one gets character by character", () => {
    const token = fc.constantFrom("a", "b", "é", "💡", "%", "_", "\\%", "\\_", "\\a")
    const character = fc.constantFrom("a", "b", "é", "💡", "%", "_")
    fc.assert(
      fc.property(
        fc.array(token, { maxLength: 7 }),
        fc.array(character, { maxLength: 8 }),
        (tokens, text) => {
          const pattern = tokens.join("")
          assert.strictEqual(compileLike(pattern)(text.join("")), naive(Array.from(pattern), text))
        }
      ),
      { numRuns: 5_000 }
    )
  })
})
