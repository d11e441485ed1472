import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { Effect } from "effect"
import { makeAdminPool } from "../../src/postgres/connection/Pools.ts"
import {
  readServerInfo,
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
  database: "shop"
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
        database: database().name
      })
      assert.isAtLeast(server.versionNum, inject("pg").majorVersion * 10_000)
      assert.isTrue(server.version.startsWith(`${inject("pg").majorVersion}.`))
      assert.isUndefined(serverProblem(server, { createsNothing: false }))
    })
  )

  it.each([
    ["is good enough", {}, false, undefined],
    ["is too old", { versionNum: 130012, version: "13.12" }, true, "config_error fatal"],
    ["is a standby", { isInRecovery: true }, false, "read_only retry"],
    ["is a standby of a server where somebody else publishes", { isInRecovery: true }, true, undefined],
    ["writes too little WAL", { walLevel: "replica" }, true, "wal_level_is_not_logical fatal"]
  ] as const)("%s", (_, changes, createsNothing, expected) => {
    const problem = serverProblem({ ...good, ...changes }, { createsNothing })
    assert.strictEqual(problem && `${problem.kind} ${problem.recovery}`, expected)
  })

  it("is warned about when a newer minor release matters", () => {
    assert.deepStrictEqual(serverAdvice(good), [])
    assert.match(
      serverAdvice({ ...good, versionNum: 170004, version: "17.4" })[0] ?? "",
      /17\.4.*minor release/
    )
  })
})
