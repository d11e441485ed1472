import { assert, it } from "vitest"
import { StatusSender } from "../../src/replication/stream/StatusSender.ts"
import { systemTimers } from "../../src/shared/Timers.ts"

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
