import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ownPgError } from "../../src/postgres/errors/PgError.ts"
import { sharedUpTo } from "../../src/replication/connection/TimelineHistory.ts"
import { parseLsn } from "../../src/shared/Lsn.ts"

const history = "1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tbefore 2026-01-01 00:00:00+00\n"

describe("the history of a later timeline", () => {
  const rows: ReadonlyArray<readonly [string, number, string | undefined]> = [
    ["the one before it", 2, "1/A0"],
    ["an earlier one", 1, "0/3000148"],
    ["one that is none of its ancestors", 3, undefined]
  ]
  for (const [name, before, expected] of rows)
    it.effect(`is shared with ${name} up to ${expected ?? "nowhere"}`, () =>
      Effect.gen(function* () {
        for (const content of [history, `\\x${Buffer.from(history).toString("hex")}`]) {
          const asked: Array<string> = []
          const query = (sql: string) => Effect.sync(() => (asked.push(sql), [{ content }]))
          const found = yield* sharedUpTo(query, 4, before)
          assert.strictEqual(found, parseLsn(expected ?? ""))
          assert.deepStrictEqual(asked, ["TIMELINE_HISTORY 4"])
        }
      })
    )

  it.effect(
    "is not known where the server does not have the file, and asked for again where it cannot be reached",
    () =>
      Effect.gen(function* () {
        const unknown = ownPgError("undefined_object", "could not open file")
        assert.isUndefined(yield* sharedUpTo(() => Effect.fail(unknown), 2, 1))
        const lost = ownPgError("connection_closed", "closed")
        assert.strictEqual(yield* Effect.flip(sharedUpTo(() => Effect.fail(lost), 2, 1)), lost)
      })
  )
})
