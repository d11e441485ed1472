import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parseConfig } from "../../src/config/ParseConfig.ts"

const settingOf = <K extends "compaction" | "maxStorageBytes">(
  name: K,
  env: Readonly<Record<string, string>>
) => {
  const parsed = parseConfig({ DATABASE_URL: "postgres://a:b@c/d", ELECTRIC_INSECURE: "true", ...env })
  if (Result.isFailure(parsed)) return parsed.failure.problems.join("\n")
  return parsed.success._tag === "Complete" ? parsed.success.config[name] : "no database"
}

const maxStorageOf = (env: Readonly<Record<string, string>>) => settingOf("maxStorageBytes", env)

const compactionOf = (env: Readonly<Record<string, string>>) => settingOf("compaction", env)

describe("compaction", () => {
  it("is on unless it is turned off, and says when it is worth it and what is kept", () => {
    assert.deepStrictEqual(compactionOf({}), {
      garbagePercent: 100,
      leastBytes: 256 * 1024,
      retentionMillis: 7 * 24 * 3_600_000,
      retentionPercent: 200
    })
    assert.isUndefined(compactionOf({ BATON_COMPACTION: "false" }))
    assert.deepStrictEqual(
      compactionOf({
        BATON_COMPACTION_GARBAGE: "50",
        BATON_COMPACTION_MIN_SIZE: "1 MiB",
        BATON_LOG_RETENTION: "90min",
        BATON_LOG_RETENTION_SIZE: "0"
      }),
      { garbagePercent: 50, leastBytes: 1 << 20, retentionMillis: 5_400_000, retentionPercent: 0 }
    )
  })

  it("names what is wrong with its settings, also where it is off", () => {
    for (const [name, bad] of [
      ["BATON_COMPACTION_GARBAGE", "0"],
      ["BATON_COMPACTION_MIN_SIZE", "0"],
      ["BATON_LOG_RETENTION", "100"],
      ["BATON_LOG_RETENTION_SIZE", "-1"]
    ] as const)
      assert.include(String(compactionOf({ BATON_COMPACTION: "false", [name]: bad })), name)
  })
})

describe("what storage may take", () => {
  it("is a size that leaves room beside the journal", () => {
    assert.isUndefined(maxStorageOf({}))
    assert.strictEqual(maxStorageOf({ BATON_MAX_STORAGE: "2 GiB" }), 2 ** 31)
    assert.strictEqual(
      maxStorageOf({ BATON_MAX_STORAGE: "1 MB", BATON_JOURNAL_SEGMENT_BYTES: "100 KB" }),
      1_000_000
    )
    assert.match(String(maxStorageOf({ BATON_MAX_STORAGE: "0" })), /BATON_MAX_STORAGE/)
    assert.match(
      String(maxStorageOf({ BATON_MAX_STORAGE: "100 MB" })),
      /BATON_MAX_STORAGE is less than 10 times BATON_JOURNAL_SEGMENT_BYTES, which is 335544320 bytes/
    )
  })
})
