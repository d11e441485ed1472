import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { DecisionBudget } from "../../../src/registry/routing/DecisionBudget.ts"
import { type Answer, settleConditions } from "../../../src/registry/deciding/SettleConditions.ts"
import { Random } from "../../where/support/random.ts"

interface World {
  /** What each condition takes, by the number of the condition. */
  readonly millis: ReadonlyArray<number>
  readonly failing: ReadonlySet<number>
}

/** Runs it against a Postgres that takes as long as it is told, on a clock that goes by nothing else. */
const settle = ({ failing, millis }: World, capacityMillis: number, overheadMillis = 1) => {
  let now = 0
  let statements = 0
  const budget = new DecisionBudget(capacityMillis, () => now)
  budget.begin(0)
  const outcome = new Map<number, string>()
  const note = (condition: number, what: string) => {
    assert.isFalse(outcome.has(condition), `${condition} is settled twice`)
    outcome.set(condition, what)
  }
  const ask = (conditions: ReadonlyArray<number>, limitMillis: number) =>
    Effect.sync((): Answer => {
      statements++
      const began = now
      const needed = conditions.reduce((sum, condition) => sum + (millis[condition] ?? 0), overheadMillis)
      const fails = conditions.some((condition) => failing.has(condition))
      now += Math.min(needed, limitMillis)
      budget.spend(began)
      if (needed > limitMillis) return { _tag: "TooSlow" }
      if (fails) return { _tag: "Failed", message: "it fails" }
      return { _tag: "Answered", isTrue: (_, nth) => conditions[nth] !== undefined }
    })
  Effect.runSync(
    settleConditions(millis.length, ask, capacityMillis / 4, () => budget.leftMillis(), {
      answered: (conditions) => conditions.forEach((condition) => note(condition, "answered")),
      failed: (condition) => note(condition, "failed"),
      tooSlow: (condition) => note(condition, "slow")
    })
  )
  assert.strictEqual(outcome.size, millis.length, "each is settled")
  return { outcome, statements, took: now }
}

const evenly = (count: number, each: number) => Array.from({ length: count }, () => each)
const none: ReadonlySet<number> = new Set()

describe("settling conditions", () => {
  it("takes one statement when nothing is wrong", () => {
    const { outcome, statements } = settle({ millis: evenly(300, 0.1), failing: none }, 400)
    assert.strictEqual(statements, 1)
    assert.isTrue([...outcome.values()].every((what) => what === "answered"))
  })

  it("finds the one that is slow among three hundred, and keeps the others", () => {
    for (const slow of [0, 1, 150, 298, 299]) {
      const { outcome, took } = settle({ millis: evenly(300, 0.01).with(slow, 1e6), failing: none }, 400)
      assert.isAtMost(took, 405)
      assert.strictEqual(outcome.get(slow), "slow")
      assert.strictEqual([...outcome.values()].filter((what) => what === "answered").length, 299, `${slow}`)
    }
  })

  it("finds those that fail, and keeps the others", () => {
    const failing = new Set([3, 77, 78, 255])
    const { outcome } = settle({ millis: evenly(256, 0.01), failing }, 400)
    for (const [condition, what] of outcome)
      assert.strictEqual(what, failing.has(condition) ? "failed" : "answered")
  })

  it("gives one alone all the time that there is", () => {
    assert.strictEqual(settle({ millis: [250], failing: none }, 400).outcome.get(0), "answered")
    const { outcome, took } = settle({ millis: [1e6], failing: none }, 400)
    assert.strictEqual(outcome.get(0), "slow")
    assert.isAtMost(took, 405)
  })

  it("never takes much longer than it may, and never settles one twice or not at all", () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const random = new Random(seed)
    for (let run = 0; run < 300; run++) {
      const count = random.below(1200)
      const millis = Array.from({ length: count }, () =>
        random.chance(0.02) ? random.below(3000) : random.next() * random.pick([0.01, 1, 10])
      )
      const failing = new Set(millis.flatMap((_, i) => (random.chance(0.01) ? [i] : [])))
      const { outcome, took } = settle({ millis, failing }, 400)
      assert.isAtMost(took, 410, `seed ${seed}`)
      for (const [condition, what] of outcome)
        if (failing.has(condition)) assert.notStrictEqual(what, "answered", `seed ${seed}`)
    }
  })
})

describe("the time that the stream may wait", () => {
  it("is the capacity for each transaction of a stream that keeps up", () => {
    let now = 0
    const budget = new DecisionBudget(400, () => now)
    for (let transaction = 0; transaction < 100; transaction++) {
      budget.begin(5000)
      assert.strictEqual(budget.leftMillis(), 400)
      now += 100
      budget.spend(now - 100)
    }
  })

  it("is a third of all time for one that falls behind", () => {
    let now = 0
    let waited = 0
    let lag = 0
    const budget = new DecisionBudget(400, () => now)
    for (let transaction = 0; transaction < 1000; transaction++) {
      budget.begin(lag)
      const wait = Math.min(300, budget.leftMillis())
      now += wait
      budget.spend(now - wait)
      waited += wait
      now += 100
      lag += wait + 100
    }
    assert.isBelow(waited / now, 0.36)
  })

  it("is longer for a transaction in which Postgres is slow at everything, and for no other one", () => {
    let now = 0
    const budget = new DecisionBudget(400, () => now)
    const left = (knownWorkMillis: number): number => {
      budget.begin(0)
      now += 400
      budget.spend(now - 400)
      budget.stretch(knownWorkMillis)
      return budget.leftMillis()
    }
    assert.strictEqual(left(2), 0)
    assert.strictEqual(left(15), 800)
    assert.strictEqual(left(5), 0)
    assert.strictEqual(left(60_000), 1600)
    budget.begin(0)
    assert.strictEqual(budget.leftMillis(), 400)
  })

  it("is not longer because of one statement that was slow", () => {
    let now = 0
    const budget = new DecisionBudget(400, () => now)
    budget.begin(0)
    const after = (knownWorkMillis: number): number => {
      now += 10
      budget.spend(now - 10)
      budget.stretch(knownWorkMillis)
      return budget.leftMillis()
    }
    assert.strictEqual(after(50), 1990)
    assert.strictEqual(after(2), 380)
    assert.strictEqual(after(50), 1970)
    assert.isTrue(budget.isSure)
    budget.begin(0)
    assert.isFalse(budget.isSure)
  })

  it("does not stay short when a clock is set", () => {
    let now = 0
    const budget = new DecisionBudget(400, () => now)
    budget.begin(10)
    budget.spend(now)
    let left = 0
    for (let second = 0; second < 180; second++) {
      now += 990
      budget.begin(3_600_000)
      left = budget.leftMillis()
      now += 10
      budget.spend(now - 10)
    }
    assert.strictEqual(left, 400)
  })
})
