import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import { currentTimers } from "../../../src/shared/Timers.ts"
import { isBefore } from "../../../src/storage/tail/Shown.ts"
import { tailPieceBytes } from "../../../src/storage/tail/TailFrames.ts"
import { TailSource } from "../../../src/storage/tail/TailSource.ts"
import { TailStream } from "../../../src/storage/tail/TailStream.ts"
import { heartbeatMillis, slowMirrorMillis } from "../../../src/storage/tail/TailTimings.ts"
import { FakeConnection, FakeWriter } from "./support.ts"

const sink = () => assert.fail("it answers")

const start = { epoch: 7, segment: 3, position: 0 }

const setUp = Effect.gen(function* () {
  const writer = new FakeWriter(start.epoch, start.segment)
  const complaints: Array<string> = []
  const source = new TailSource(writer, yield* currentTimers, (message) => complaints.push(message))
  yield* Effect.addFinalizer(() => Effect.sync(() => source.close()))
  const connect = (from = start) => {
    const connection = new FakeConnection(from)
    const stream = source.open(from, () => connection)
    assert.instanceOf(stream, TailStream)
    return { connection, stream: stream as TailStream }
  }
  return { writer, source, connect, complaints }
})

/** Lets what was begun with files in memory come to its end. */
const settle = Effect.promise(async () => {
  for (let i = 0; i < 200; i++) await Promise.resolve()
})

describe("the source of the tail", () => {
  it.effect("sends in the same turn what may be shown, and nothing beyond", () =>
    Effect.gen(function* () {
      const { connect, writer } = yield* setUp
      const { connection } = connect()
      writer.write(100)
      writer.show({ segment: 3, position: 60 })
      assert.deepStrictEqual(connection.segments.get(3), writer.segments.get(3)?.subarray(0, 60))
      writer.write(50)
      writer.tellMoved()
      assert.strictEqual(connection.segments.get(3)?.length, 60)
      writer.show()
      assert.deepStrictEqual(connection.segments.get(3), writer.segments.get(3))
      assert.strictEqual(writer.reads, 0)
    })
  )

  it.effect(
    "gives every mirror the whole journal in order, whatever is in memory, and news of objects behind their bytes",
    () =>
      Effect.gen(function* () {
        const timers = yield* currentTimers
        const step = fc.oneof(
          {
            weight: 4,
            arbitrary: fc.record({ do: fc.constant("write" as const), bytes: fc.nat({ max: 900 }) })
          },
          {
            weight: 1,
            arbitrary: fc.record({ do: fc.constant("write" as const), bytes: fc.constant(600_000) })
          },
          {
            weight: 4,
            arbitrary: fc.record({ do: fc.constant("show" as const), back: fc.nat({ max: 300 }) })
          },
          fc.record({
            do: fc.constantFrom("rotate" as const, "forget" as const, "connect" as const, "created" as const)
          }),
          fc.record({ do: fc.constant("full" as const), room: fc.integer({ min: 1, max: 3 }) }),
          fc.record({ do: fc.constant("drained" as const) }),
          fc.record({ do: fc.constant("turn" as const) })
        )
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
              const writer = new FakeWriter(start.epoch, start.segment)
              const source = new TailSource(writer, timers, (message) => assert.fail(message))
              const mirrors: Array<{ connection: FakeConnection; stream: TailStream }> = []
              const connect = () => {
                const connection = new FakeConnection(start)
                mirrors.push({ connection, stream: source.open(start, () => connection) as TailStream })
              }
              const free = () => {
                for (const { connection, stream } of mirrors) {
                  connection.room = Number.POSITIVE_INFINITY
                  stream.drained()
                }
              }
              connect()
              let objects = 0
              for (const action of steps) {
                switch (action.do) {
                  case "write":
                    writer.write(action.bytes)
                    break
                  case "rotate":
                    // A segment begins with a record: none is empty.
                    if (writer.end.position > 0) writer.rotate()
                    break
                  case "show": {
                    const { position, segment } = writer.end
                    const place = { segment, position: Math.max(0, position - action.back) }
                    if (isBefore(writer.showable, place)) writer.show(place)
                    break
                  }
                  case "forget":
                    writer.inMemoryFrom = writer.end
                    break
                  case "created":
                    writer.create(objects++, writer.showable)
                    break
                  case "connect":
                    connect()
                    break
                  case "full":
                    for (const { connection } of mirrors) connection.room = action.room
                    break
                  case "drained":
                    free()
                    break
                  case "turn":
                    for (let i = 0; i < 20; i++) await Promise.resolve()
                }
              }
              writer.show()
              for (let i = 0; i < 300; i++) {
                free()
                await Promise.resolve()
              }
              for (const { connection } of mirrors) {
                for (const [segment, bytes] of writer.segments)
                  assert.isTrue(
                    bytes.equals(connection.segments.get(segment) ?? Buffer.alloc(0)),
                    `segment ${segment}`
                  )
                assert.strictEqual(connection.created.at(-1)?.n, objects === 0 ? undefined : objects - 1)
                for (const { had, n } of connection.created)
                  assert.isFalse(isBefore(had, start), `object ${n}`)
              }
              source.close()
            }),
            { numRuns: 40 }
          )
        )
      })
  )

  it.effect("tells of an object only when its bytes were sent", () =>
    Effect.gen(function* () {
      const { connect, writer } = yield* setUp
      const { connection, stream } = connect()
      writer.write(2 * tailPieceBytes)
      connection.room = 2
      writer.show()
      writer.create(0, writer.end)
      assert.deepStrictEqual(connection.created, [])
      connection.room = Number.POSITIVE_INFINITY
      stream.drained()
      yield* settle
      const all = { segment: 3, position: 2 * tailPieceBytes }
      assert.deepStrictEqual(connection.created, [{ n: 0, holds: all, had: all }])
      const late = connect().connection
      yield* settle
      assert.deepStrictEqual(late.created, connection.created)
    })
  )

  it.effect(
    "has one frame at most on its way to a mirror that does not read, and cuts it off after a while",
    () =>
      Effect.gen(function* () {
        const { connect, source, writer } = yield* setUp
        const slow = connect()
        const quick = connect()
        slow.connection.room = 1
        for (let i = 0; i < 50; i++) {
          writer.write(1000)
          writer.show()
        }
        assert.strictEqual(slow.connection.segments.get(3)?.length, 1000)
        assert.strictEqual(quick.connection.segments.get(3)?.length, 50_000)
        yield* TestClock.adjust(slowMirrorMillis - heartbeatMillis)
        assert.isFalse(slow.connection.isCut)
        yield* TestClock.adjust(2 * heartbeatMillis)
        assert.isTrue(slow.connection.isCut)
        assert.isFalse(quick.connection.isCut)
        assert.strictEqual(source.mirrors, 1)
      })
  )

  it.effect("says that it is there while there is nothing to say, and only then", () =>
    Effect.gen(function* () {
      const { connect, writer } = yield* setUp
      const { connection } = connect()
      yield* TestClock.adjust(heartbeatMillis)
      writer.write(10)
      writer.show()
      yield* TestClock.adjust(heartbeatMillis)
      assert.deepStrictEqual(connection.said, ["Hello", "Bytes"])
      yield* TestClock.adjust(heartbeatMillis)
      assert.deepStrictEqual(connection.said, ["Hello", "Bytes", "Heartbeat"])
    })
  )

  it.effect("ends well when the writer stops, with everything sent that may be shown", () =>
    Effect.gen(function* () {
      const { connect, source, writer } = yield* setUp
      const { connection } = connect()
      writer.write(10)
      writer.show()
      writer.create(0, writer.end)
      writer.isWriter = false
      writer.tellMoved()
      assert.isTrue(connection.isEnded)
      assert.strictEqual(connection.created.length, 1)
      assert.strictEqual(source.mirrors, 0)
      assert.deepStrictEqual(
        source.open(start, () => connection),
        { reason: "notWriter" }
      )
    })
  )

  it.effect("refuses places that it has not got", () =>
    Effect.gen(function* () {
      const { source, writer } = yield* setUp
      writer.write(10)
      const { epoch } = start
      assert.deepStrictEqual(source.open({ ...start, epoch: 6 }, sink), { reason: "otherEpoch", epoch })
      assert.deepStrictEqual(source.open({ ...start, segment: 2 }, sink), { reason: "gone", epoch })
      assert.deepStrictEqual(source.open({ ...start, position: 11 }, sink), { reason: "ahead", epoch })
    })
  )

  it.effect("cuts a mirror off when its bytes cannot be read, and says so", () =>
    Effect.gen(function* () {
      const { complaints, connect, source, writer } = yield* setUp
      writer.write(10)
      writer.show()
      writer.inMemoryFrom = writer.end
      writer.failsToRead = true
      const { connection } = connect()
      yield* settle
      assert.isTrue(connection.isCut)
      assert.strictEqual(source.mirrors, 0)
      assert.match(complaints.join(), /cannot be sent to another instance: Error: the disk is gone/)
    })
  )
})
