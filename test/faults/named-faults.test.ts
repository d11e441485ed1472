import { assert, describe, inject, it } from "vitest"
import type { FaultCluster } from "../../testing/faults/FaultScene.ts"
import { askShape, FaultScene } from "../../testing/faults/FaultScene.ts"
import { injections } from "../../testing/faults/Injections.ts"
import { observeFault, problemWith } from "../../testing/faults/ObserveFault.ts"
import { patient } from "../../testing/Load.ts"

/** The cluster that all tests share. */
const shared = (): FaultCluster => {
  const { host, password, port, user } = inject("pg")
  return { port, url: (database) => `postgresql://${user}:${password}@${host}:${port}/${database}` }
}

describe("a fault is named by a line of the log, by a metric and by doctor", () => {
  // The others are for `scripts/inject-faults.ts`: each takes a service, and some a Postgres of their own.
  for (const { code, inject: bringAbout, isQuick, name } of injections)
    if (isQuick === true)
      it.concurrent(`${name}: ${code}`, { timeout: patient(90_000) }, async () => {
        const scene = new FaultScene(shared())
        try {
          const watched = await bringAbout(scene)
          const problem = problemWith(await observeFault(watched, { code }))
          assert.isUndefined(problem, watched.service.logs().slice(-3000))
        } finally {
          await scene.end()
        }
      })

  it(
    "the log that no terminal shows is JSON, and has a line for each request when it is to",
    { timeout: patient(60_000) },
    async () => {
      const scene = new FaultScene(shared())
      try {
        await scene.query("CREATE TABLE t (id int PRIMARY KEY)")
        const env = { BATON_LOG_FORMAT: undefined, BATON_ACCESS_LOG: "true", ELECTRIC_SECRET: "hidden" }
        const watched = await scene.start({ env: { ...env, ELECTRIC_INSECURE: undefined } })
        const { status } = await askShape(watched, { table: "t", secret: "hidden" })
        assert.strictEqual(status, 200)
        await watched.service.untilLogged(/v1\/shape\?.* answered with 200 after \d+ ms/)
        const lines = watched.service.logs().trim().split("\n")
        for (const line of lines) assert.isObject(JSON.parse(line), line)
        assert.notInclude(watched.service.logs(), "hidden")
      } finally {
        await scene.end()
      }
    }
  )

  it("has faults for each area of the table", () => {
    const areas = new Set(injections.map(({ code }) => code.split("-")[1]))
    for (const area of [
      "DB",
      "SLOT",
      "PUBLICATION",
      "TABLE",
      "LOCK",
      "STORAGE",
      "BUCKET",
      "SHAPE",
      "REQUEST"
    ])
      assert.isTrue(areas.has(area), area)
    assert.isAtLeast(injections.length, 40)
  })
})
