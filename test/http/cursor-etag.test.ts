import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { nextCursor } from "../../src/http/reply/Cursor.ts"
import { logEtag, matchesEtag } from "../../src/http/reply/Etag.ts"

const at = (iso: string) => Date.parse(iso)

describe("electric-cursor", () => {
  it("is the end of the present interval", () => {
    assert.strictEqual(nextCursor(at("2026-11-23T10:33:37Z"), 20, "", 0), 66_998_020)
    assert.strictEqual(nextCursor(at("2026-11-23T10:33:40Z"), 20, undefined, 0), 66_998_020)
    assert.strictEqual(nextCursor(at("2026-11-23T10:33:40.001Z"), 20, undefined, 0), 66_998_040)
  })

  it("moves on from a cursor that is the end of the present interval already", () => {
    const now = at("2026-11-23T10:33:37Z")
    assert.strictEqual(nextCursor(now, 20, "66998020", 0), 66_998_021)
    assert.strictEqual(nextCursor(now, 20, "66998020", 0.9999), 67_001_620)
    assert.strictEqual(nextCursor(now, 20, "66998019", 0), 66_998_020)
  })

  it("is 0 without a long-poll interval", () => {
    assert.strictEqual(nextCursor(at("2026-11-23T10:33:37Z"), 0, "17", 0.5), 0)
  })

  it("always differs from the request's and never goes back", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_728_432_000_000, max: 4_000_000_000_000 }),
        fc.integer({ min: 1, max: 3600 }),
        fc.oneof(
          fc.integer({ min: 0, max: 2_000_000_000 }).map(String),
          fc.constantFrom("", "x", "-5", "1e3", " 12", "99999999999999999999")
        ),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (now, interval, previous, random) => {
          const cursor = nextCursor(now, interval, previous, random)
          assert.isTrue(Number.isSafeInteger(cursor) && cursor >= 0)
          assert.notStrictEqual(String(cursor), previous)
          if (/^[0-9]{1,15}$/.test(previous)) assert.isAbove(cursor, Number(previous))
        }
      )
    )
  })

  it("clients in one interval without a cursor all get the same one", () => {
    const cursors = [0, 5_000, 19_999].map((ms) =>
      nextCursor(at("2026-11-23T10:33:20.001Z") + ms, 20, "", 0.3)
    )
    assert.strictEqual(new Set(cursors).size, 1)
  })
})

describe("If-None-Match", () => {
  const etag = logEtag("1-2", "0_0", "0_inf")
  const table: ReadonlyArray<readonly [string, boolean]> = [
    ['"1-2:0_0:0_inf"', true],
    ["1-2:0_0:0_inf", true],
    ['"other", "1-2:0_0:0_inf"', true],
    ['  "1-2:0_0:0_inf"  ,"x"', true],
    ['""1-2:0_0:0_inf""', true],
    ['W/"1-2:0_0:0_inf"', false],
    ["*", false],
    ["", false],
    ['"1-2:0_0:0_inf:7"', false],
    ['"1-2:0_0"', false]
  ]
  it.each(table)("%s", (line, matches) => assert.strictEqual(matchesEtag(line, etag), matches))

  it("the suffix of an answer without news is part of the tag", () => {
    assert.isFalse(matchesEtag(etag, logEtag("1-2", "0_0", "0_inf", "7")))
  })
})
