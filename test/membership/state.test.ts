import { assert, describe, it } from "@effect/vitest"
import { standardLimits } from "../../src/config/Limits.ts"
import { MembershipState } from "../../src/membership/MembershipState.ts"
import {
  codecOf,
  emptyLink,
  EvaluationError,
  type Form,
  linkKeyOf,
  subselectKind,
  Undecided
} from "../../src/where/index.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { column, columns, constant, equal, kindWith, subselectIn } from "./support/Kinds.ts"

const row = (...values: ReadonlyArray<number | null>) =>
  tupleOf(values.map((value) => (value === null ? null : String(value))))

/** `SELECT b FROM t1 WHERE a = $1` */
const ofUser = kindWith({
  table: 1,
  root: equal(column(0), constant(0)),
  constants: ["int4"],
  group: [],
  select: [column(1)]
})
const user = (id: number) => JSON.stringify([String(id)])

/** With the rows of its tables counted: what is subscribed is known. */
const load = (
  state: MembershipState,
  rows: Readonly<Record<number, ReadonlyArray<ReturnType<typeof row>>>>
) => {
  for (let depth = 0; depth <= state.maxDepth; depth++) {
    const due = Array.from(state.all()).filter((one) => one.of.depth === depth && !one.isKnown)
    const loading = state.load(due)
    for (const table of new Set(due.map((one) => one.kind.plan.table.oid))) {
      const target = loading.target(table, columns)
      for (const one of rows[table] ?? []) loading.add(target, one)
    }
    loading.finish()
  }
}

const thrown = (evaluate: () => unknown): unknown => {
  try {
    evaluate()
  } catch (failure) {
    return failure
  }
  return undefined
}

describe("MembershipState", () => {
  it("tells of what is loaded only", () => {
    const state = new MembershipState()
    state.subscribe(ofUser, user(1))
    assert.isFalse(state.isKnown(ofUser, user(1)))
    assert.instanceOf(
      thrown(() => state.any(ofUser, user(1), emptyLink, [7])),
      Undecided
    )
    load(state, { 1: [row(1, 7), row(2, 8), row(1, null)] })
    assert.isTrue(state.isKnown(ofUser, user(1)))
    assert.isTrue(state.any(ofUser, user(1), emptyLink, [7]))
    assert.isNull(state.any(ofUser, user(1), emptyLink, [8]))
    assert.deepStrictEqual(Array.from(state.having(ofUser, linkKeyOf([7]))), [user(1)])
    state.unsubscribe(ofUser, user(1))
    assert.isFalse(state.isKnown(ofUser, user(1)))
    assert.strictEqual(state.size, 0)
  })

  it("says what a transaction changes, before and after, and forgets it when it is discarded", () => {
    const state = new MembershipState()
    for (const id of [1, 2]) state.subscribe(ofUser, user(id))
    load(state, { 1: [row(1, 7), row(1, 7), row(2, 7)] })
    const target = state.target(1, columns)
    state.begin()
    state.change(target, row(1, 7), undefined)
    assert.deepStrictEqual(Array.from(state.flips()), [])
    state.change(target, row(2, 7), row(2, 9))
    const flips = [
      { kind: ofUser, asked: "set", constants: user(2), how: "left", link: 7 },
      { kind: ofUser, asked: "set", constants: user(2), how: "entered", link: 9 }
    ]
    assert.deepStrictEqual<unknown>(Array.from(state.flips()), flips)
    state.useAfter()
    assert.isFalse(state.any(ofUser, user(2), emptyLink, [7]))
    assert.deepStrictEqual(Array.from(state.having(ofUser, 7)), [user(1)])
    assert.deepStrictEqual(Array.from(state.having(ofUser, 9)), [user(2)])
    state.useBefore()
    assert.isTrue(state.any(ofUser, user(2), emptyLink, [7]))
    assert.deepStrictEqual(Array.from(state.having(ofUser, 9)), [])
    state.discard()
    assert.isTrue(state.any(ofUser, user(2), emptyLink, [7]))
  })

  it("finds what flips above another sub-select when the rows that may move are shown", () => {
    const nested = {
      table: 1,
      root: equal(column(0), constant(0)),
      constants: ["int4" as const],
      group: [],
      select: [column(1)]
    }
    // SELECT b FROM t2 WHERE a IN (SELECT b FROM t1 WHERE a = $1)
    const upper = kindWith({
      table: 2,
      root: subselectIn(nested, { slot: 0, how: "any", group: [], probe: [column(0)] }),
      constants: ["text"],
      group: [],
      select: [column(1)]
    })
    const constants = JSON.stringify([user(1)])
    const state = new MembershipState()
    assert.deepStrictEqual(
      state.subscribe(upper, constants).map((one) => [one.of.depth, one.constants]),
      [
        [0, user(1)],
        [1, constants]
      ]
    )
    const folders = [row(7, 70), row(8, 80)]
    load(state, { 1: [row(1, 7)], 2: folders })
    assert.isTrue(state.any(upper, constants, emptyLink, [70]))
    const [t1, t2] = [state.target(1, columns), state.target(2, columns)]
    state.begin()
    state.change(t1, row(1, 7), row(1, 8))
    for (const one of folders) state.move(t2, one, 1)
    assert.deepStrictEqual<unknown>(
      Array.from(state.flips(1), (flip) => [flip.how, "link" in flip && flip.link]).toSorted(),
      [
        ["entered", 80],
        ["left", 70]
      ]
    )
    state.apply()
    assert.isTrue(state.any(upper, constants, emptyLink, [80]))
    assert.isFalse(state.any(upper, constants, emptyLink, [70]))
    state.unsubscribe(upper, constants)
    assert.deepStrictEqual(Array.from(state.all()), [])
  })

  it("has no value where there are several rows", () => {
    const state = new MembershipState()
    state.subscribe(ofUser, user(1), "value")
    load(state, { 1: [row(1, 7)] })
    const target = state.target(1, columns)
    assert.strictEqual(state.value(ofUser, user(1), emptyLink), 7)
    state.begin()
    state.change(target, undefined, row(1, 7))
    state.useAfter()
    assert.instanceOf(
      thrown(() => state.value(ofUser, user(1), emptyLink)),
      EvaluationError
    )
    assert.deepStrictEqual(
      Array.from(state.flips(), ({ how }) => how),
      ["whole"]
    )
    state.apply()
    state.begin()
    state.truncate(1)
    state.apply()
    assert.isNull(state.value(ofUser, user(1), emptyLink))
  })

  it("gives up the largest of those that grow above the limit", () => {
    const state = new MembershipState({ limits: { ...standardLimits, subselectValues: 3 } })
    for (const id of [1, 2]) state.subscribe(ofUser, user(id))
    load(state, { 1: [row(1, 7), row(2, 7), row(2, 8)] })
    assert.deepStrictEqual(state.takeFailures(), [])
    const target = state.target(1, columns)
    state.begin()
    state.change(target, undefined, row(2, 9))
    state.apply()
    const [failure] = state.takeFailures()
    assert.strictEqual(failure?.subscription.constants, user(2))
    assert.match(failure?.message ?? "", /is 4, above the limit of 3 \(BATON_MAX_SUBSELECT_VALUES\)/)
    assert.isFalse(state.isKnown(ofUser, user(2)))
    assert.isTrue(state.isKnown(ofUser, user(1)))
  })

  it("counts long values by their length, and while it loads gives up the largest, which is loaded when there is room", () => {
    const texts = [
      { name: "a", typeOid: 23 },
      { name: "b", typeOid: 25 }
    ]
    const kind = subselectKind({
      table: { oid: 1, schema: "public", name: "t1" },
      plan: {
        columns: texts.map((one, i) => ({ ...one, type: i === 0 ? "int4" : "text" })),
        constants: ["int4"],
        root: equal(column(0), constant(0))
      },
      group: [],
      select: [column(1)],
      keys: [{ type: "text", collation: "c" }]
    })
    const state = new MembershipState({ limits: { ...standardLimits, subselectValues: 10 } })
    const subscriptions = [1, 2].flatMap((id) => state.subscribe(kind, user(id)))
    const count = (rows: ReadonlyArray<readonly [number, string]>) => {
      const loading = state.load(subscriptions.filter((one) => !one.isKnown))
      const target = loading.target(1, texts)
      for (const [id, text] of rows) loading.add(target, tupleOf([String(id), text]))
      loading.finish()
    }
    count([
      [1, "short"],
      [2, "x".repeat(640)],
      [2, "y"]
    ])
    assert.deepStrictEqual(
      state.takeFailures().map(({ subscription }) => subscription.constants),
      [user(2)]
    )
    assert.isTrue(state.isKnown(kind, user(1)))
    assert.strictEqual(state.size, 1)
    count([[2, "y"]])
    assert.deepStrictEqual(state.takeFailures(), [])
    assert.isTrue(state.any(kind, user(2), emptyLink, ["y"]))
    assert.strictEqual(state.size, 2)
  })

  it("does not know any more what a sub-select gives whose condition or selected value fails for a row", () => {
    const divided: Form = { f: "int4div", a: [column(1), column(2)] }
    const failing = kindWith({
      table: 1,
      root: { and: [equal(column(0), constant(0)), equal(divided, column(3))] },
      constants: ["int4"],
      group: [],
      select: [column(1)]
    })
    const selecting = kindWith({
      table: 1,
      root: equal(column(0), constant(0)),
      constants: ["int4"],
      group: [],
      select: [divided]
    })
    for (const kind of [failing, selecting]) {
      const state = new MembershipState()
      for (const id of [1, 2]) state.subscribe(kind, user(id))
      load(state, { 1: [row(1, 4, 2, 2), row(2, 4, 2, 2)] })
      const target = state.target(1, columns)
      state.begin()
      state.change(target, undefined, row(1, 4, 0, 2))
      state.change(target, undefined, row(2, 6, 3, 2))
      state.apply()
      assert.deepStrictEqual(
        state.takeFailures().map(({ message, subscription }) => [message, subscription.constants]),
        [["division by zero", user(1)]]
      )
      assert.isFalse(state.isKnown(kind, user(1)))
      assert.isTrue(state.isKnown(kind, user(2)))
      assert.deepStrictEqual(Array.from(state.having(kind, 2)), kind === failing ? [] : [user(2)])
    }
  })

  it("has one of the values that are equal where it is DISTINCT, and not where they differ", () => {
    const numerics = [{ name: "b", typeOid: 1700 }]
    const kind = subselectKind({
      table: { oid: 1, schema: "public", name: "t1" },
      plan: { columns: [{ ...numerics[0]!, type: "numeric" }], constants: [], root: { b: true } },
      group: [],
      select: [column(0)],
      keys: [{ type: "numeric", collation: "c" }],
      distinct: true
    })
    const write = codecOf("numeric", undefined).write
    for (const order of [
      ["1.50", "1.5"],
      ["1.5", "1.50"]
    ]) {
      const state = new MembershipState()
      const loading = state.load(state.subscribe(kind, "[]", "value"))
      const from = loading.target(1, numerics)
      for (const text of order) loading.add(from, tupleOf([text]))
      loading.finish()
      assert.strictEqual(write(state.value(kind, "[]", emptyLink)), "1.5")
      state.begin()
      state.change(state.target(1, numerics), undefined, tupleOf(["2"]))
      state.useAfter()
      assert.instanceOf(
        thrown(() => state.value(kind, "[]", emptyLink)),
        EvaluationError
      )
      state.discard()
    }
  })

  it("says which sub-selects cannot be told from rows like these", () => {
    const state = new MembershipState()
    const [subscription] = state.subscribe(ofUser, user(1))
    const without = columns.slice(1)
    const target = state.target(1, without)
    assert.deepStrictEqual(Array.from(target.misfits), [subscription])
    state.load([subscription!]).target(1, without)
    assert.deepStrictEqual(
      state.takeFailures().map(({ message }) => message),
      ["the definition of table public.t1 has changed"]
    )
    state.unsubscribe(ofUser, user(1))
    assert.deepStrictEqual(Array.from(target.misfits), [])
  })
})
