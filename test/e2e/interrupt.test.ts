import { assert, it } from "vitest"
import { ask, databaseForTest, serviceForTest } from "../faults/support/faults.ts"

it("one Ctrl-C that arrives twice, through the terminal and through npm, drains: held requests are answered", async () => {
  const database = await databaseForTest()
  await database.query("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)")
  const service = await serviceForTest({
    database,
    env: { ELECTRIC_LONG_POLL_TIMEOUT: "2000", BATON_SHUTDOWN_GRACE: "4s" }
  })
  const first = await ask(service.url, { table: "items" })
  const live = { table: "items", offset: "0_inf", handle: first.handle ?? "", live: "true" }
  const held = ask(service.url, live)
  // This one tells that it has begun, and so has the one before it.
  const events = await fetch(`${service.url}/v1/shape?${new URLSearchParams({ ...live, live_sse: "true" })}`)
  assert.strictEqual(events.status, 200)
  service.signal("SIGINT")
  service.signal("SIGINT")
  assert.strictEqual((await held).status, 200)
  await events.body?.cancel()
  assert.deepStrictEqual(await service.ended, { code: 0, signal: null })
})
