import { assert, describe, it } from "@effect/vitest"
import { probesOf } from "../../../src/registry/moves/Probes.ts"
import type { Form, Plan, SubselectForm } from "../../../src/where/evaluate/Form.ts"

const inner: Plan = { columns: [{ name: "id", typeOid: 23, type: "int4" }], constants: [], root: { b: true } }
const any = (column: number): SubselectForm => ({
  sub: {
    table: { oid: 1, schema: "public", name: "projects" },
    plan: inner,
    group: [],
    select: [{ c: 0 }],
    keys: [{ type: "int4", collation: "c" }]
  },
  slot: 0,
  how: "any",
  group: [],
  probe: [{ c: column }]
})
const planOf = (root: Form, names: ReadonlyArray<string> = ["project"]): Plan => ({
  columns: names.map((name) => ({ name, typeOid: 23, type: "int4" })),
  constants: ["text", "int4"],
  root
})
const onlyOf = (root: Form) => probesOf(planOf(root), ["[]", "5"], undefined)[0]

describe("the places where a condition asks a sub-select", () => {
  const other: Form = { b: true }
  it.each<[string, Form, boolean]>([
    ["IN", any(0), false],
    ["AND, OR", { and: [other, { or: [any(0), other] }] }, false],
    ["IS TRUE", { is: "TRUE", a: any(0), not: false }, false],
    ["NOT (IS TRUE)", { not: { is: "TRUE", a: any(0), not: false } }, false],
    ["NOT IN", { not: any(0) }, true],
    ["NOT NOT", { not: { not: any(0) } }, false],
    ["IS FALSE", { is: "FALSE", a: any(0), not: true }, true],
    ["IS UNKNOWN", { is: "UNKNOWN", a: any(0), not: false }, true],
    ["a condition of CASE", { case: [[any(0), { not: other }]], else: other }, false],
    ["a result of CASE", { not: { case: [[other, any(0)]], else: other } }, true],
    ["coalesce", { coalesce: [any(0), other] }, true]
  ])("%s: whether NULL is another thing than false", (_name, root, nullable) => {
    assert.strictEqual(onlyOf(root)?.nullable, nullable)
  })

  it("are one for equal questions, wherever their columns and constants stand in a plan", () => {
    const one = probesOf(planOf({ or: [any(0), { and: [any(0), other] }] }), ["[]", "5"], undefined)
    assert.strictEqual(one.length, 1)
    const moved = probesOf(planOf(any(1), ["other", "project"]), ["[]", "5"], undefined)
    assert.strictEqual(moved[0]?.key, one[0]?.key)
    const constant = (text: string) =>
      probesOf(planOf({ ...any(0), probe: [{ k: 1 }] }), ["[]", text], undefined)[0]?.key
    assert.strictEqual(constant("5"), constant("5"))
    assert.notStrictEqual(constant("5"), constant("6"))
  })
})
