import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import fc from "fast-check"
import type { Timers } from "../../src/shared/Timers.ts"
import { type Waiter, Waiters } from "../../src/storage/state/Waiters.ts"

/** Time that stands until it is moved. */
const manualTimers = () => {
  let now = 1000
  const pending = new Set<{ readonly at: number; readonly work: () => void }>()
  const timers: Timers = {
    nowMillis: () => now,
    epochMillis: () => now,
    after: (millis, work) => {
      const timer = { at: now + millis, work }
      pending.add(timer)
      return () => pending.delete(timer)
    },
    every: () => assert.fail("not used here")
  }
  const pass = (millis: number): void => {
    const end = now + millis
    for (;;) {
      const next = [...pending].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      pending.delete(next)
      now = next.at
      next.work()
    }
    now = end
  }
  return { timers, pass, pending }
}

const turns = async (count = 3): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe("waiters", () => {
  it("wakes those of one set, with the reason, and leaves the others waiting", async () => {
    const { pending, timers } = manualTimers()
    const waiters = new Waiters(timers)
    const [a, b] = [new Set<Waiter>(), new Set<Waiter>()]
    const first = Effect.runFork(waiters.wait(() => a, 20_000))
    const second = Effect.runFork(waiters.wait(() => a, 20_000))
    const other = Effect.runFork(waiters.wait(() => b, 20_000))
    await turns()
    assert.strictEqual(waiters.count, 3)
    waiters.wake(a, "changed")
    assert.strictEqual(await Effect.runPromise(Fiber.join(first)), "changed")
    assert.strictEqual(await Effect.runPromise(Fiber.join(second)), "changed")
    assert.isUndefined(other.pollUnsafe())
    assert.strictEqual(waiters.count, 1)
    waiters.wake(b, "dropped")
    assert.strictEqual(await Effect.runPromise(Fiber.join(other)), "dropped")
    assert.strictEqual(waiters.count, 0)
    assert.strictEqual(a.size + b.size, 0)
    assert.strictEqual(pending.size, 0, "a timer runs for nobody")
  })

  it("does not wait when there is a reason already, and looks at the moment at which it begins to wait", async () => {
    const waiters = new Waiters(manualTimers().timers)
    assert.strictEqual(await Effect.runPromise(waiters.wait(() => "dropped", 20_000)), "dropped")
    assert.strictEqual(waiters.count, 0)
  })

  it("lets go of everybody at the end of their time: not before, and not much later", async () => {
    const { pass, pending, timers } = manualTimers()
    const waiters = new Waiters(timers, 100)
    const set = new Set<Waiter>()
    const short = Effect.runFork(waiters.wait(() => set, 250))
    const long = Effect.runFork(waiters.wait(() => set, 20_000))
    await turns()
    pass(249)
    await turns()
    assert.isUndefined(short.pollUnsafe())
    pass(200)
    assert.strictEqual(await Effect.runPromise(Fiber.join(short)), "timeout")
    assert.isUndefined(long.pollUnsafe())
    assert.strictEqual(set.size, 1)
    pass(20_000)
    assert.strictEqual(await Effect.runPromise(Fiber.join(long)), "timeout")
    assert.strictEqual(set.size, 0)
    assert.strictEqual(pending.size, 0)
  })

  it("a request whose client has gone leaves nothing behind", async () => {
    const { pending, timers } = manualTimers()
    const waiters = new Waiters(timers)
    const set = new Set<Waiter>()
    const fibers = Array.from({ length: 10 }, () => Effect.runFork(waiters.wait(() => set, 20_000)))
    await turns()
    for (const fiber of fibers) await Effect.runPromise(Fiber.interrupt(fiber))
    assert.strictEqual(waiters.count, 0)
    assert.strictEqual(set.size, 0)
    assert.strictEqual(pending.size, 0)
    waiters.wake(set, "changed")
  })

  it("wakes thousands in several turns, and each of them once", async () => {
    const waiters = new Waiters(manualTimers().timers)
    const set = new Set<Waiter>()
    let woken = 0
    const wait = Effect.tap(
      waiters.wait(() => set, 20_000),
      () => Effect.sync(() => woken++)
    )
    const fibers = Array.from({ length: 1000 }, () => Effect.runFork(wait))
    await turns()
    waiters.wake(set, "changed")
    // Who is still to be woken is not waiting any more: a second change has nobody to wake twice.
    waiters.wake(set, "changed")
    assert.isBelow(woken, 1000)
    await Effect.runPromise(Fiber.joinAll(fibers))
    assert.strictEqual(woken, 1000)
  })

  it("wakes everybody everywhere, to look again", async () => {
    const waiters = new Waiters(manualTimers().timers)
    const sets = [new Set<Waiter>(), new Set<Waiter>()]
    const fibers = sets.map((set, i) => Effect.runFork(waiters.wait(() => set, 1000 * (i + 1))))
    await turns()
    waiters.wakeAll()
    for (const fiber of fibers) assert.strictEqual(await Effect.runPromise(Fiber.join(fiber)), "changed")
    assert.strictEqual(waiters.count, 0)
  })

  it("ends every wait exactly once, whatever comes together", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("wait" as const), set: fc.nat(2), millis: fc.constantFrom(50, 300, 2000) }),
      fc.record({ do: fc.constant("wake" as const), set: fc.nat(2) }),
      fc.record({ do: fc.constant("leave" as const), who: fc.nat(20) }),
      fc.record({ do: fc.constant("pass" as const), millis: fc.constantFrom(10, 120, 900) }),
      fc.record({ do: fc.constant("all" as const) })
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { pass, pending, timers } = manualTimers()
        const waiters = new Waiters(timers)
        const sets = [new Set<Waiter>(), new Set<Waiter>(), new Set<Waiter>()]
        const waits: Array<{ fiber: Fiber.Fiber<string>; ends: number; deadline: number }> = []
        for (const s of steps) {
          if (s.do === "wait") {
            const set = sets[s.set] ?? new Set()
            const entry = { ends: 0, deadline: timers.nowMillis() + s.millis }
            const fiber = Effect.runFork(
              Effect.onExit(
                waiters.wait(() => set, s.millis),
                () => Effect.sync(() => entry.ends++)
              )
            )
            waits.push(Object.assign(entry, { fiber }))
          } else if (s.do === "wake") waiters.wake(sets[s.set] ?? new Set(), "changed")
          else if (s.do === "leave") waits[s.who % Math.max(1, waits.length)]?.fiber.interruptUnsafe()
          else if (s.do === "pass") pass(s.millis)
          else waiters.wakeAll()
          await turns(2)
          const open = waits.filter(({ ends }) => ends === 0)
          assert.strictEqual(waiters.count, open.length)
          assert.strictEqual(
            sets.reduce((sum, set) => sum + set.size, 0),
            open.length
          )
          for (const { deadline } of open) assert.isAbove(deadline + 200, timers.nowMillis())
        }
        pass(5000)
        await turns(2)
        for (const { ends } of waits) assert.strictEqual(ends, 1)
        assert.strictEqual(pending.size, 0)
      }),
      { numRuns: 60 }
    )
  })
})
