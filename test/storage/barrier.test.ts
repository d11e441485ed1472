import { assert, describe, it } from "@effect/vitest"
import { Barrier } from "../../src/storage/journal/Barrier.ts"
import { freshSeed, makeRandom } from "../../testing/Random.ts"

describe("what a writer may show before it counts", () => {
  it("ends at the first record that does not count and that the stream would not bring about once more", () => {
    const random = makeRandom(freshSeed())
    for (let round = 0; round < 200; round++) {
      const barrier = new Barrier(1)
      const records: Array<{ segment: number; from: number; to: number; marker: number; holds: boolean }> = []
      let [segment, position, marker, written, counted] = [1, 0, 0, 0, 0]
      for (let step = 0; step < 60; step++) {
        if (random.chance(0.5)) {
          if (random.chance(0.1)) [segment, position] = [segment + 1, 0]
          const bytes = random.int(1, 50)
          const holds = random.chance(0.3)
          marker += bytes
          records.push({ segment, from: position, to: position + bytes, marker, holds })
          if (holds) barrier.add(segment, position, marker)
          position += bytes
        } else if (random.chance(0.6) && written < records.length) {
          written = random.int(written + 1, records.length)
          const last = records[written - 1]
          if (last !== undefined) barrier.wrote(last.segment, last.to)
        } else if (counted < written) {
          counted = random.int(counted + 1, written)
          barrier.counts(records[counted - 1]?.marker ?? 0)
        }
        const inFile = records.slice(0, written)
        const holding = inFile.findIndex(({ holds }, i) => holds && i >= counted)
        const last = inFile.at(-1)
        const held = inFile[holding]
        const expected =
          held !== undefined
            ? { segment: held.segment, position: held.from }
            : { segment: last?.segment ?? 1, position: last?.to ?? 0 }
        assert.deepStrictEqual(barrier.showable, expected, `seed ${random.seed}, round ${round}`)
      }
    }
  })
})
