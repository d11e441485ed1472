import { it as effectIt } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { assert, it } from "vitest"
import { StatusSender } from "../../src/replication/stream/StatusSender.ts"
import { currentTimers, systemTimers } from "../../src/shared/Timers.ts"

/** Flushed position in a standby status update, behind the header of CopyData: the second of its three. */
const flushedIn = (frame: Buffer): bigint => frame.readBigUInt64BE(14)

it("what is reported as durable never goes back, whatever the journal says", () => {
  const frames: Array<Buffer> = []
  const positions = [5n, 9n, 7n, 0n, 9n, 12n]
  let durable = 0n
  const sender = new StatusSender(
    systemTimers,
    (frame) => frames.push(frame),
    () => durable,
    (error) => assert.fail(String(error))
  )
  for (const position of positions) {
    durable = position
    sender.send(false)
  }
  assert.deepStrictEqual(frames.map(flushedIn), [5n, 9n, 9n, 9n, 9n, 12n])
})

effectIt.effect("status updates go out by the clock, and news of one moment together", () =>
  Effect.gen(function* () {
    const frames: Array<Buffer> = []
    let durable = 0n
    const sender = new StatusSender(
      yield* currentTimers,
      (frame) => frames.push(frame),
      () => durable,
      (error) => assert.fail(String(error))
    )
    const sent = () => frames.splice(0).map((frame) => [flushedIn(frame), frame[38]])
    const news = (lsn: bigint) => {
      durable = lsn
      sender.notify()
    }
    news(1n)
    assert.deepStrictEqual(sent(), [], "not before it has begun")
    sender.start(1000)
    news(2n)
    assert.deepStrictEqual(sent(), [[2n, 0]])
    for (const lsn of [3n, 4n, 5n]) news(lsn)
    yield* TestClock.adjust(2)
    assert.deepStrictEqual(sent(), [])
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(sent(), [[5n, 0]])
    sender.notify()
    yield* TestClock.adjust(10)
    assert.deepStrictEqual(sent(), [], "no news")
    yield* TestClock.adjust(2000)
    assert.deepStrictEqual(sent(), [
      [5n, 1],
      [5n, 1]
    ])
    news(6n)
    sender.stop()
    sent()
    yield* TestClock.adjust(5000)
    assert.deepStrictEqual(sent(), [])
  })
)
