import { assert, describe, it } from "@effect/vitest"
import { snapshotEnd } from "../../src/shapes/LogOffset.ts"
import { makeShapeLogs } from "../../src/storage/ShapeLogsLive.ts"
import { createShape, writeTransaction, writingEngine } from "./support.ts"

const setting = async () => {
  const engine = await writingEngine()
  const shape = createShape(engine, "a")
  const woken: Array<string> = []
  const watch = () =>
    makeShapeLogs(engine).watch(shape, snapshotEnd, 20_000, { woken: (reason) => woken.push(reason) })
  return { engine, shape, woken, watch }
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe("a reader that watches a log", () => {
  it("hears of what comes right after the look, with nothing in between", async () => {
    const { engine, shape, watch, woken } = await setting()
    assert.isObject(watch())
    writeTransaction(engine, 100n, [{ op: 0, ids: [shape.id] }])
    await turns()
    assert.deepStrictEqual(woken, ["changed"])
    assert.strictEqual(engine.waiters.count, 0)
    // What is there already is said at once.
    assert.strictEqual(watch(), "changed")
  })

  it("waits on when it is woken for nothing, and hears of what comes right after that", async () => {
    const { engine, shape, watch, woken } = await setting()
    assert.isObject(watch())
    const state = engine.live(shape)
    if (state === undefined) return assert.fail("the shape is gone")
    for (let n = 0; n < 3; n++) {
      engine.store.wake(state)
      await turns()
      assert.deepStrictEqual(woken, [])
      assert.strictEqual(engine.waiters.count, 1)
    }
    engine.store.wake(state)
    writeTransaction(engine, 100n, [{ op: 0, ids: [shape.id] }])
    await turns()
    assert.deepStrictEqual(woken, ["changed"])
  })

  it("hears nothing after it has stopped", async () => {
    const { engine, shape, watch, woken } = await setting()
    const made = watch()
    if (typeof made === "string") return assert.fail(made)
    made.stop()
    writeTransaction(engine, 100n, [{ op: 0, ids: [shape.id] }])
    await turns()
    assert.deepStrictEqual(woken, [])
  })
})
