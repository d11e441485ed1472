import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { Effect } from "effect"
import { makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import {
  readServerInfo,
  readWalPosition,
  serverAdvice,
  type ServerInfo,
  serverProblem
} from "../../src/postgres/ServerInfo.ts"
import { databaseForFile } from "../../testing/postgres/Database.ts"
import { plainConfig, targetOf } from "./connection.ts"

const database = databaseForFile()

const good: ServerInfo = {
  versionNum: 180004,
  version: "18.4",
  walLevel: "logical",
  isInRecovery: false,
  role: "baton",
  isSuperuser: false,
  hasReplicationAttribute: true,
  walSenderTimeoutMillis: 60_000,
  maxReplicationSlots: 10,
  maxWalSenders: 10
}

describe("the server", () => {
  it.live("describes itself", () =>
    Effect.gen(function* () {
      const pool = yield* makeAdminPool(targetOf(database()), plainConfig, 4)
      const server = yield* readServerInfo(pool)
      assert.deepInclude(server, {
        walLevel: "logical",
        isInRecovery: false,
        role: "postgres",
        isSuperuser: true,
        hasReplicationAttribute: true,
        walSenderTimeoutMillis: 60_000,
        maxReplicationSlots: 64
      })
      assert.isAtLeast(server.versionNum, inject("pg").majorVersion * 10_000)
      assert.isTrue(server.version.startsWith(`${inject("pg").majorVersion}.`))
      assert.isUndefined(serverProblem(server))
    })
  )

  it.each([
    ["is good enough", {}, undefined],
    ["is too old", { versionNum: 130012, version: "13.12" }, "config_error fatal"],
    ["is a standby", { isInRecovery: true }, "read_only retry"],
    ["writes too little WAL", { walLevel: "replica" }, "wal_level_is_not_logical fatal"],
    [
      "has a role whose right to replicate only the server knows",
      { hasReplicationAttribute: false },
      undefined
    ]
  ] as const)("%s", (_, changes, expected) => {
    const problem = serverProblem({ ...good, ...changes })
    assert.strictEqual(problem && `${problem.kind} ${problem.recovery}`, expected)
  })

  it("is warned about when a newer minor release matters", () => {
    assert.deepStrictEqual(serverAdvice(good), [])
    assert.match(
      serverAdvice({ ...good, versionNum: 170004, version: "17.4" })[0] ?? "",
      /17\.4.*minor release/
    )
  })

  it.live("tells where the WAL is and how far a slot is behind", () =>
    Effect.gen(function* () {
      const pool = yield* makeAdminPool(targetOf(database()), plainConfig, 4)
      const { slotName } = database()
      const before = yield* readWalPosition(pool, slotName)
      assert.isUndefined(before.slot)
      assert.isTrue(before.currentLsn > 0n)
      yield* pool.query("SELECT 1 FROM pg_create_logical_replication_slot($1, 'pgoutput')", [slotName])
      yield* pool.query("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
      const after = yield* readWalPosition(pool, slotName)
      assert.deepInclude(after.slot, { isActive: false, walStatus: "reserved", safeWalBytes: undefined })
      assert.isTrue((after.slot?.confirmedFlushLagBytes ?? 0n) > 100_000n)
      assert.isTrue((after.slot?.retainedWalBytes ?? 0n) >= (after.slot?.confirmedFlushLagBytes ?? 0n))
      assert.isTrue(after.currentLsn > before.currentLsn)
    })
  )
})
