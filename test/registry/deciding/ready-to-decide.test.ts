import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { ownPgError } from "../../../src/postgres/errors/PgError.ts"
import { readyToDecide } from "../../../src/registry/deciding/DecideInPostgres.ts"
import type { Classification } from "../../../src/where/index.ts"

/** What was prepared for shapes whose conditions are of these classes. */
const prepared = async (classes: ReadonlyArray<Classification | undefined>, isReachable = true) => {
  const done: Array<string> = []
  const step = (name: string) =>
    Effect.suspend(() => {
      done.push(name)
      return isReachable ? Effect.void : Effect.fail(ownPgError("connection_closed", "gone"))
    })
  await Effect.runPromise(
    readyToDecide({ catalogue: step("catalogue"), pool: { ready: step("pool") } }, classes)
  )
  return done.toSorted()
}

describe("before Postgres is asked for the first time", () => {
  it("everything is there that takes long, if some shape may need it", async () => {
    assert.deepStrictEqual(await prepared([undefined, "indexed", "postgres"]), ["catalogue", "pool"])
    assert.deepStrictEqual(await prepared([undefined, "indexed", "evaluated"]), [])
  })

  it("nothing fails when the database is gone: the next request finds out", async () => {
    assert.include(await prepared(["postgres"], false), "pool")
  })
})
