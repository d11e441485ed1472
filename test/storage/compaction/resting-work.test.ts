import { assert, describe, it } from "vitest"
import { Abandoned, RestingWork } from "../../../src/storage/compaction/RestingWork.ts"
import { systemTimers, type Timers } from "../../../src/shared/Timers.ts"

/** Time that passes with work and with rests, and with nothing else. */
class OwnTime implements Pick<Timers, "after" | "nowMillis"> {
  now = 0
  /** Of each slice, so much is processor time. */
  cpuShare = 1
  readonly rests: Array<number> = []
  lateMillis = 0
  readonly nowMillis = () => this.now
  readonly after = (millis: number, work: () => void) => {
    this.rests.push(millis)
    this.now += millis + this.lateMillis
    queueMicrotask(work)
    return () => {}
  }
  get timers(): Timers {
    return { ...systemTimers, nowMillis: this.nowMillis, after: this.after }
  }
}

/** Rests behind slices of 5 ms. */
const restsOf = async (time: OwnTime, slices: number, share: number, busy: () => number) => {
  let cpu = 0
  const work = new RestingWork(
    time.timers,
    share,
    () => false,
    () => busy,
    () => cpu
  )
  for (let i = 0; i < slices; i++) {
    time.now += 5
    cpu += 5 * time.cpuShare
    await work.rest()
  }
  return time.rests
}

describe("work with rests", () => {
  it("takes its share of the time where nobody else wants it", async () => {
    assert.deepStrictEqual(await restsOf(new OwnTime(), 4, 0.25, () => 0.3), [15, 15, 15, 15])
    assert.deepStrictEqual(await restsOf(new OwnTime(), 4, 1, () => 1), [])
  })

  it("takes a quarter of that while the event loop works through its rests, and all of it again afterwards", async () => {
    let share = 0.9
    const time = new OwnTime()
    let rests = 0
    const rested = await restsOf(time, 9, 0.25, () => {
      if (++rests === 5) share = 0.1
      return share
    })
    assert.deepStrictEqual(rested, [15, 30, 60, 60, 60, 30, 15, 15, 15])
  })

  it("does the same where rests end late", async () => {
    const time = new OwnTime()
    time.lateMillis = 11
    assert.deepStrictEqual(await restsOf(time, 4, 0.25, () => 0), [15, 30, 60, 60])
  })

  it("makes up for what it had of the processor, not for waiting for it", async () => {
    const time = new OwnTime()
    time.cpuShare = 0.2
    // What is not late waits for the disk.
    assert.deepStrictEqual(await restsOf(time, 2, 0.25, () => 0), [15, 15])
    time.lateMillis = 11
    time.rests.length = 0
    assert.deepStrictEqual(await restsOf(time, 4, 0.25, () => 0), [15, 6, 12, 12])
  })

  it("rests together, whoever works at the same time", async () => {
    const time = new OwnTime()
    const work = new RestingWork(
      time.timers,
      0.25,
      () => false,
      () => () => 0,
      () => 0
    )
    let rested = 0
    for (let turn = 1; turn <= 3; turn++) {
      time.now += 8
      await Promise.all(Array.from({ length: 5 }, () => work.rest().then(() => rested++)))
      assert.deepStrictEqual([time.rests.length, rested], [turn, 5 * turn])
    }
    assert.deepStrictEqual(time.rests, [24, 24, 24])
  })

  it("looks at the event loop itself where nothing else is said", async () => {
    const time = new OwnTime()
    const { after } = time
    const work = new RestingWork(
      { ...time.timers, after: (millis, done) => after(millis, () => void busyFor(30, done)) },
      0.25,
      () => false
    )
    for (let i = 0; i < 3; i++) {
      time.now += 5
      await work.rest()
    }
    assert.deepStrictEqual(time.rests, [15, 30, 60])
  })

  it("ends when nobody wants it any more", async () => {
    const time = new OwnTime()
    const work = new RestingWork(time.timers, 0.25, () => true)
    await work.rest()
    time.now += 5
    const ended = await work.rest().catch((error: unknown) => error)
    assert.instanceOf(ended, Abandoned)
  })
})

/** Keeps the event loop at work for so long, in a turn of its own, and goes on in the next one. */
const busyFor = (millis: number, done: () => void): void => {
  setImmediate(() => {
    const end = performance.now() + millis
    while (performance.now() < end);
    setImmediate(done)
  })
}
