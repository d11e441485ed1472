import { assert, describe, it } from "@effect/vitest"
import { sharedDirectory } from "../../../src/storage/durability/SharedDirectory.ts"
import type { Shipped, StartShipping } from "../../../src/storage/journal/Shipping.ts"
import { systemTimers } from "../../../src/shared/Timers.ts"
import { engineShowing } from "../../../src/storage/tail/EngineShowing.ts"
import { TailSource } from "../../../src/storage/tail/TailSource.ts"
import { TailStream } from "../../../src/storage/tail/TailStream.ts"
import { eventually } from "../../../testing/Eventually.ts"
import { createShape, engineAt, temporaryDirectory, writeTransaction } from "../support.ts"
import { FakeConnection } from "./support.ts"

/** A bucket that takes what is written when the test says so. */
class HeldShipping {
  private options: Parameters<StartShipping>[0] | undefined
  private written = { segment: 0, position: 0, marker: 0 }
  private n = 0

  readonly start: StartShipping = (options) => {
    this.options = options
    return {
      wrote: ({ length, marker, position, segment }) => {
        this.written = { segment, position: position + length, marker }
      },
      hurry: () => {},
      close: () => Promise.resolve()
    }
  }

  get marker(): number {
    return this.written.marker
  }

  ship(): void {
    const { marker, position, segment } = this.written
    const object: Shipped = { n: this.n++, previousCrc: 0, crc: 1, segment, position, holdsMore: false }
    this.options?.counts(marker)
    this.options?.shipped(object)
  }
}

const textOf = (connection: FakeConnection): string =>
  Buffer.concat([...connection.segments.values()]).toString("latin1")

const setUp = async (segmentBytes = 32 << 20) => {
  const shipping = new HeldShipping()
  const engine = engineAt(temporaryDirectory(), {
    segmentBytes,
    durability: (paths) => ({ ...sharedDirectory(paths, false), ship: shipping.start })
  })
  await engine.load()
  await engine.takeOver()
  const source = new TailSource(engineShowing(engine), systemTimers, (message) => assert.fail(message))
  const written = (): Promise<unknown> => {
    const marker = engine.writer?.marker
    engine.writer?.flush()
    return eventually("everything in its file", () => shipping.marker === marker)
  }
  await written()
  const connect = (segment = engine.at.segment) => {
    const at = { epoch: engine.at.epoch, segment, position: 0 }
    const connection = new FakeConnection(at)
    assert.instanceOf(
      source.open(at, () => connection),
      TailStream
    )
    return connection
  }
  return { connect, engine, shipping, source, written }
}

describe("the tail of an engine that writes for a bucket", () => {
  it("shows changes before they count, and a shape, with all that follows, when it does", async () => {
    const { connect, engine, shipping, written } = await setUp()
    const shape = createShape(engine, "first")
    await written()
    shipping.ship()
    const connection = connect()
    writeTransaction(engine, 100n, [{ op: 0, ids: [shape.id], padding: 40 }])
    await written()
    await eventually("the change", () => textOf(connection).includes(`"lsn":"100"`))

    const later = createShape(engine, "later")
    writeTransaction(engine, 200n, [{ op: 0, ids: [shape.id], padding: 40 }])
    await written()
    assert.notInclude(textOf(connection), later.handle)
    assert.notInclude(textOf(connection), `"lsn":"200"`)
    const objectsBefore = connection.created.length
    shipping.ship()
    await eventually("the shape", () => textOf(connection).includes(`"lsn":"200"`))
    assert.include(textOf(connection), later.handle)
    assert.strictEqual(connection.created.length, objectsBefore + 1)
  })

  it("goes on through segments, for a mirror that comes late as well", async () => {
    const { connect, engine, shipping, written } = await setUp(20_000)
    const { segment } = engine.at
    const shape = createShape(engine, "items")
    const early = connect()
    for (let i = 1n; i <= 50n; i++) {
      writeTransaction(engine, i * 100n, [{ op: 0, ids: [shape.id], padding: 2000 }])
      await written()
      shipping.ship()
    }
    assert.isAbove(engine.at.segment, segment + 2)
    const late = connect(segment)
    for (const mirror of [early, late])
      await eventually("the last change", () => textOf(mirror).includes(`"lsn":"5000"`))
    assert.deepStrictEqual(late.segments, early.segments)
  })

  it("ends with the role of the writer, after the last of what it wrote", async () => {
    const { connect, engine, shipping, source, written } = await setUp()
    const shape = createShape(engine, "items")
    await written()
    shipping.ship()
    const connection = connect()
    writeTransaction(engine, 100n, [{ op: 0, ids: [shape.id] }])
    const released = engine.release(5000)
    await eventually("the last group", () => shipping.marker === engine.lastWriter?.marker)
    shipping.ship()
    await released
    await eventually("the end", () => connection.isEnded)
    assert.include(textOf(connection), `"lsn":"100"`)
    assert.strictEqual(source.mirrors, 0)
  })
})
