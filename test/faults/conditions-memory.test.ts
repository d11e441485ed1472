import { assert, describe, it } from "vitest"
import { patient } from "../../testing/Load.ts"
import { eventually } from "../../testing/Eventually.ts"
import { requestLog, ShapeLogReader } from "../../testing/readers/ShapeLog.ts"
import { databaseForTest, serviceForTest, storageForTest } from "./support/faults.ts"

const mostBytes = 300_000
/** Some tens of thousands of bytes each, by estimate, and true for every row here. */
const largeCondition = (n: number) => `id > -${n} OR title = '${"x".repeat(6000)}'`

describe("the memory of all conditions together", { timeout: patient(120_000) }, () => {
  it("is bounded: another large one is refused, what there is lives on, and room is made by deleting", async () => {
    const database = await databaseForTest()
    await database.query("CREATE TABLE m (id int PRIMARY KEY, title text); INSERT INTO m VALUES (1, 'one')")
    const storageDir = storageForTest()
    const env = {
      BATON_MAX_CONDITIONS_MEMORY: String(mostBytes),
      ELECTRIC_ENABLE_INTEGRATION_TESTING: "true"
    }
    let service = await serviceForTest({ database, storageDir, env })
    const make = (where: string | undefined) =>
      requestLog(service.url, { table: "m", ...(where === undefined ? {} : { where }) }, { offset: "-1" })
    const handles: Array<string> = []
    let refused = await make(largeCondition(1))
    for (let n = 1; refused.status === 200; refused = await make(largeCondition(++n))) {
      handles.push(refused.handle ?? "")
      assert.isBelow(n, 20, "nothing is refused")
    }
    const assertRefused = ({ body, headers, status }: Awaited<ReturnType<typeof make>>) => {
      assert.strictEqual(status, 503, body)
      assert.isNotNull(headers.get("retry-after"))
      const [, actual = "0"] =
        /The memory of the conditions of all shapes is (\d+) bytes, above the limit of 300000 bytes \(BATON_MAX_CONDITIONS_MEMORY\)/.exec(
          body
        ) ?? []
      assert.isAbove(Number(actual), mostBytes, body)
    }
    assertRefused(refused)
    assert.isAtLeast(handles.length, 2)

    // Small conditions, none, and the shapes that there are: all as if nothing had been.
    assert.strictEqual((await make("id = 1")).status, 200)
    assert.strictEqual((await make(undefined)).status, 200)
    const follow = new ShapeLogReader({ url: service.url, params: { table: "m", where: largeCondition(1) } })
    await follow.readToEnd()
    assert.strictEqual(follow.position.handle, handles[0])
    await database.query("INSERT INTO m VALUES (2, 'of all of them')")
    await follow.followUntil("the row", () => follow.rows.size === 2)

    // After a restart they are counted as before.
    await service.stop()
    service = await serviceForTest({ database, storageDir, env })
    assertRefused(await make(largeCondition(90)))
    const first = new URLSearchParams({ table: "m", where: largeCondition(1), handle: handles[0] ?? "" })
    const gone = await fetch(`${service.url}/v1/shape?${first}`, { method: "DELETE" })
    assert.isTrue(gone.ok, await gone.text())
    await eventually("room for another", async () => (await make(largeCondition(91))).status === 200)
    assertRefused(await make(largeCondition(92)))
  })
})
