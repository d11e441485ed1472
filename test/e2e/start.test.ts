import { assert, describe, it } from "vitest"
import { commandFromSource } from "../../testing/services/CommandOfTests.ts"
import { startService } from "../../testing/services/Service.ts"

/** From start to end, with what Node says about its compile cache. It needs no database to become healthy. */
const run = async (): Promise<string> => {
  await using service = await startService({
    entry: commandFromSource,
    env: {
      DATABASE_URL: "postgresql://nobody:nothing@127.0.0.1:1/none",
      NODE_DEBUG_NATIVE: "COMPILE_CACHE"
    },
    until: "waiting"
  })
  assert.deepStrictEqual(await service.stop(), { code: 0, signal: null })
  return service.logs()
}

describe("a start", () => {
  it("uses what the one before has compiled", async () => {
    await run()
    const log = await run()
    assert.isAbove(log.match(/was accepted/g)?.length ?? 0, 300)
    // What does not fit, because it was compiled with other flags of V8 for example, is compiled and written again.
    assert.isBelow(log.match(/rejected/g)?.length ?? 0, 10)
  })
})
