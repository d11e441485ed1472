import { assert, describe, it, onTestFinished } from "vitest"
import { mkdirSync, renameSync, rmSync } from "node:fs"
import { Complaints } from "../../src/storage/Complaints.ts"
import { eventually } from "../../testing/Eventually.ts"
import { createShape, engineAt, temporaryDirectory, writeTransaction } from "./support.ts"

const setting = async () => {
  const directory = temporaryDirectory()
  const writer = engineAt(directory)
  const follower = engineAt(directory)
  await writer.takeOver()
  const shape = createShape(writer, "a")
  await writer.writer?.durable()
  await follower.load()
  follower.follow()
  return { directory, follower, shape, writer }
}

const ways: Readonly<Record<string, (directory: string, journal: string) => void>> = {
  removed: (directory) => rmSync(directory, { recursive: true }),
  "removed, and made again empty": (directory) => {
    rmSync(directory, { recursive: true })
    mkdirSync(directory)
  },
  "renamed away": (directory) => renameSync(directory, `${directory}-elsewhere`),
  "without its journal": (_, journal) => rmSync(journal, { recursive: true })
}

describe("a storage directory that is removed while it is written to", () => {
  for (const [what, remove] of Object.entries(ways)) {
    it(`${what}: nothing counts any more, followers let go of it, and everything is made anew`, async () => {
      const { directory, follower, shape, writer } = await setting()
      onTestFinished(() => rmSync(`${directory}-elsewhere`, { recursive: true, force: true }))
      assert.isTrue(await writer.settled())
      remove(directory, writer.paths.journal)
      writeTransaction(writer, 1000n, [{ op: 0, ids: [shape.id] }])
      await writer.writing?.checkPlace()
      assert.isFalse(await writer.settled(), "what is written to removed files is not safe")
      assert.isTrue(await writer.isFenced())
      assert.isTrue(writer.writing?.isGone)
      await writer.release(1000)
      for (const engine of [writer, follower])
        await eventually("nothing to be left of the shape", () => engine.live(shape) === undefined)
      const { epoch } = writer.at
      // What is missing is made by an attempt that fails.
      assert.isDefined(await writer.takeOver().catch(() => writer.takeOver()))
      assert.isAbove(writer.writer?.epoch ?? 0, epoch)
      const next = createShape(writer, "b")
      assert.isTrue(await writer.settled())
      await eventually(
        "the follower to see the new one",
        () => follower.store.byHandle(next.handle) !== undefined
      )
    })
  }
})

describe("complaints", () => {
  it("are made at once, and then from time to time, with their number", () => {
    const said: Array<string> = []
    let nowMillis = 0
    const complaints = new Complaints({ nowMillis: () => nowMillis }, (message) => said.push(message))
    for (; nowMillis < 25_000; nowMillis += 20) complaints.about("writing", `full at ${nowMillis}`)
    complaints.about("segment", "something else")
    assert.deepStrictEqual(said, [
      "full at 0",
      "full at 10000 (and 499 times more since this was last said)",
      "full at 20000 (and 499 times more since this was last said)",
      "something else"
    ])
  })
})
