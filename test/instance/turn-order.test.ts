import { assert, describe, it } from "vitest"
import { duties } from "../../src/health/Duties.ts"
import { turnOrder } from "../../src/instance/TurnOrder.ts"
import { designPage } from "../../testing/DesignPage.ts"

const steps = Object.values(turnOrder)

describe("the table of a turn", () => {
  it("is in the description of the design, in its order", () => {
    const design = designPage()
    const rows = steps.map(
      ({ actor, death, duties: beside, starts, stops }) =>
        `| \`${actor}\` | ${starts} | ${stops} | ${death} | ${beside.map((name) => duties[name].what).join("; ") || "none"} |\n`
    )
    assert.include(design, rows.join(""))
  })

  it("names each duty once, and a step for every duty that ends a turn", () => {
    const named = steps.flatMap(({ duties: beside }) => [...beside])
    assert.strictEqual(new Set(named).size, named.length)
    for (const [name, { after }] of Object.entries(duties))
      if (after === "endTurn") assert.include(named, name)
  })
})
