import { assert, describe, it } from "vitest"
import type { ShapeDefinition } from "../../src/shapes/ShapeDefinition.ts"
import { CreatedDecoder, CreatedEncoder } from "../../src/storage/records/CreatedRecords.ts"
import type { Notice } from "../../src/storage/records/Records.ts"
import { ShapeStore } from "../../src/storage/state/ShapeStore.ts"
import { Waiters } from "../../src/storage/state/Waiters.ts"
import { definitionOf } from "./support.ts"

const withClause = (tenant: number, changes: Partial<ShapeDefinition> = {}): ShapeDefinition => ({
  ...definitionOf("items"),
  whereColumns: ["tenant"],
  where: {
    sql: `tenant = ${tenant}`,
    expression: { version: 1, plan: '{"of":"tenant"}', constants: [String(tenant)], columns: ["tenant"] },
    classification: "indexed",
    reason: "by equality on tenant"
  },
  ...changes
})

const definitions: ReadonlyArray<ShapeDefinition> = [
  withClause(1),
  withClause(2),
  definitionOf("items"),
  withClause(3, { replica: "full" }),
  withClause(4),
  definitionOf("items"),
  // A clause that is only known by its text.
  { ...definitionOf("items"), where: { sql: "true", expression: {} } },
  definitionOf("others"),
  withClause(5, { replica: "full" })
]

const created = definitions.map((definition, i): Extract<Notice, { t: "created" }> => ({
  t: "created",
  id: i + 1,
  handle: `${i}-1`,
  definition,
  atMillis: 10 + i
}))

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const definitionIn = (notice: Notice): unknown =>
  notice.t === "created" ? json(notice.definition) : notice.t

describe("records of new shapes", () => {
  it("give back what was written, and hold what shapes have in common once for each segment", () => {
    const encoder = new CreatedEncoder()
    const decoder = new CreatedDecoder()
    for (const segment of [1, 2]) {
      decoder.beginSegment()
      const sizes = created.map((notice) => {
        const bytes = encoder.encode(notice, segment)
        const read = decoder.decode(bytes)
        assert.deepStrictEqual(definitionIn(read), json(notice.definition))
        if (read.t === "created")
          assert.deepStrictEqual(
            [read.id, read.handle, read.atMillis],
            [notice.id, notice.handle, notice.atMillis]
          )
        return bytes.length
      })
      for (const [first, later] of [
        [0, 1],
        [0, 4],
        [2, 5],
        [3, 8]
      ] as const)
        assert.isBelow((sizes[later] ?? Infinity) * 3, (sizes[first] ?? 0) * 2)
    }
  })

  it("refer to their own segment only: what comes after a damaged one is gone, and its number is not used again", () => {
    const encoder = new CreatedEncoder()
    const [first, second] = created.map((notice) => encoder.encode(notice, 1))
    const decoder = new CreatedDecoder()
    assert.strictEqual(decoder.decode(first ?? Buffer.alloc(0)).t, "created")
    decoder.beginSegment()
    const read = decoder.decode(second ?? Buffer.alloc(0))
    assert.deepStrictEqual(definitionIn(read), "dropped")
    const store = new ShapeStore({ waiters: new Waiters(), chunkBytesThreshold: 1 << 20 })
    store.apply(read)
    assert.strictEqual(store.nextId, 3)
  })
})
