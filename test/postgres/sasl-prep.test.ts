import { assert, it } from "@effect/vitest"
import { saslPrep } from "../../src/postgres/connection/SaslPrep.ts"

// Source: RFC 4013, section 3, and what Postgres does with a password that is prohibited: it takes it as it is.
it.each([
  ["ordinary", "pass word~!", "pass word~!"],
  ["a soft hyphen", "I\u00adX", "IX"],
  ["another blank", "a\u00a0b\u3000c", "a b c"],
  ["compatible letters", "\u00aa\u2168", "aIX"],
  ["a composed letter", "e\u0301", "\u00e9"],
  ["nothing left", "\u00ad", "\u00ad"],
  ["a control character", "a\u0007\u00a0", "a\u0007\u00a0"],
  ["empty", "", ""]
])("a password with %s", (_, password, expected) => {
  assert.strictEqual(saslPrep(password), expected)
  assert.strictEqual(saslPrep(expected), expected)
})
