import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually } from "../../testing/Eventually.ts"
import {
  beforeAll as beforeAllOffset,
  formatOffset,
  type LogOffset,
  snapshotEnd
} from "../../src/shapes/LogOffset.ts"
import { piecesOf } from "../../testing/readers/Pieces.ts"
import { shapeIdentity } from "../../src/shapes/ShapeDefinition.ts"
import { makeShapeLogs } from "../../src/storage/ShapeLogsLive.ts"
import type { LogRead, LogSlice, ShapeHandle } from "../../src/storage/ShapeLogs.ts"
import type { WakeReason } from "../../src/storage/state/Waiters.ts"
import {
  changes,
  createShape,
  definitionOf,
  engineAt,
  memberDefinitionOf,
  readAll,
  temporaryDirectory,
  writeLateTransaction,
  writeTransaction
} from "./support.ts"

/** What is written by one engine, and the logs that are read: of that engine, or of one that follows it. */
const settingOf = async (follows: boolean) => {
  const directory = temporaryDirectory()
  const writer = engineAt(directory, { chunkBytesThreshold: 2000 })
  const reader = follows ? engineAt(directory, { chunkBytesThreshold: 2000 }) : writer
  await writer.takeOver()
  await reader.load()
  if (follows) reader.follow()
  const logs = makeShapeLogs(reader)
  const seen = async () => {
    assert.isTrue(await writer.writer?.durable())
    await reader.catchUp()
  }
  const shapeNamed = async (name: string, definition = definitionOf(name)): Promise<ShapeHandle> => {
    const { handle } = createShape(writer, name, undefined, definition)
    await seen()
    return logs.byHandle(handle) ?? assert.fail("not found")
  }
  const write = (lsn: bigint, shape: ShapeHandle, count = 1, padding = 0) =>
    writeTransaction(
      writer,
      lsn,
      Array.from({ length: count }, (_, op) => ({ op, ids: [shape.id], padding }))
    )
  const writeLate = (lsn: bigint, shape: ShapeHandle) =>
    writeLateTransaction(writer, lsn, [{ op: 0, ids: [shape.id] }], "commit")
  const behind = (lsn: bigint | undefined) =>
    writer.writing?.write({ t: "behind", lsn: lsn === undefined ? null : String(lsn) })
  const drop = (shape: ShapeHandle) => {
    writer.writing?.write({ t: "dropped", ids: [shape.id], reason: "test" })
    writer.writer?.flush()
  }
  const read = (shape: ShapeHandle, after: LogOffset) => Effect.runPromise(logs.read(shape, after))
  return { behind, drop, logs, read, reader, seen, shapeNamed, write, writeLate }
}

const sliceOf = (read: LogRead | undefined): LogSlice =>
  read?._tag === "Slice" ? read : assert.fail(`no slice: ${read?._tag}`)

const textOf = async ({ body }: LogSlice): Promise<string> => {
  if (body instanceof Uint8Array) return Buffer.from(body).toString()
  const whole = Buffer.concat(await piecesOf(body())).toString()
  assert.strictEqual(Buffer.concat(await piecesOf(body(Buffer.alloc(500)))).toString(), whole)
  return whole
}

for (const [who, follows] of [
  ["the instance that writes", false],
  ["an instance that follows", true]
] as const) {
  describe(`the logs of ${who}`, () => {
    it("find live shapes by handle and identity, and no others", async () => {
      const { drop, logs, seen, shapeNamed } = await settingOf(follows)
      const shape = await shapeNamed("a")
      assert.strictEqual(logs.byIdentity(shapeIdentity(definitionOf("a"))), shape)
      assert.isUndefined(logs.byIdentity(shapeIdentity(definitionOf("b"))))
      assert.isUndefined(logs.byHandle("1-1"))
      assert.strictEqual(logs.count(), 1)
      assert.isTrue(logs.isReadable(shape))
      assert.strictEqual(formatOffset(logs.lastOffset(shape)), formatOffset(snapshotEnd))
      drop(shape)
      await seen()
      assert.deepStrictEqual([logs.byHandle(shape.handle), logs.count()], [undefined, 0])
      assert.isFalse(logs.isReadable(shape))
    })

    it("give the snapshot first, then every entry once, up to the end", async () => {
      const { logs, read, reader, seen, shapeNamed, write } = await settingOf(follows)
      const shape = await shapeNamed("a")
      const first = sliceOf(await read(shape, beforeAllOffset))
      assert.deepStrictEqual([formatOffset(first.next), first.upToDate], ["0_0", false])
      assert.strictEqual(await textOf(first), `{"headers":{"control":"snapshot-end"}}`)
      assert.strictEqual(first.finishedBytes, Buffer.byteLength(await textOf(first)))
      for (let t = 1n; t <= 30n; t++) write(t * 100n, shape, 3, 200)
      await seen()
      const all = await readAll(reader, shape, beforeAllOffset)
      const expected = Array.from({ length: 30 }, (_, t) =>
        [0, 1, 2].map((op) => `${(t + 1) * 100}_${op}${op === 2 ? "!" : ""}`)
      )
      assert.deepStrictEqual(changes(all), expected.flat())
      assert.isAbove(all.offsets.length, 5, "in chunks")
      assert.strictEqual(all.offsets.at(-1), formatOffset(logs.lastOffset(shape)))
      assert.strictEqual(logs.lastSeenLsn(shape) >= 3000n, true)
    })

    it("say of a slice that was its end whether it still is", async () => {
      const { read, seen, shapeNamed, write } = await settingOf(follows)
      const shape = await shapeNamed("a")
      // A whole chunk.
      write(100n, shape, 1, 3000)
      await seen()
      const end = sliceOf(await read(shape, snapshotEnd))
      assert.isTrue(end.upToDate)
      write(200n, shape)
      await seen()
      const before = sliceOf(await read(shape, snapshotEnd))
      assert.deepStrictEqual([formatOffset(before.next), before.upToDate], [formatOffset(end.next), false])
      assert.isTrue(sliceOf(await read(shape, before.next)).upToDate)
    })

    it("have seen less of a shape with sub-selects while these are behind, and tell who waits when that is over", async () => {
      const { behind, logs, read, seen, shapeNamed, write, writeLate } = await settingOf(follows)
      const plain = await shapeNamed("a")
      const late = await shapeNamed("b", memberDefinitionOf("b"))
      const positions = () => [plain, late].map((shape) => logs.lastSeenLsn(shape))
      write(100n, plain)
      await seen()
      assert.deepStrictEqual(positions(), [108n, 108n])
      assert.isUndefined(logs.caughtUp(late, 1000))
      behind(108n)
      write(200n, plain)
      write(300n, plain)
      await seen()
      assert.deepStrictEqual(positions(), [308n, 108n])
      assert.isUndefined(logs.caughtUp(plain, 1000))
      let isOver = false
      const waiting = Effect.runPromise(logs.caughtUp(late, 60_000) ?? assert.fail("nothing is late")).then(
        () => (isOver = true)
      )
      writeLate(200n, late)
      behind(208n)
      await seen()
      assert.deepStrictEqual(positions(), [308n, 208n])
      assert.isFalse(isOver)
      // What comes after it has asked is not waited for.
      write(400n, plain)
      writeLate(300n, late)
      behind(308n)
      await seen()
      await waiting
      assert.deepStrictEqual(positions(), [408n, 308n])
      assert.strictEqual(formatOffset(sliceOf(await read(late, snapshotEnd)).next), "300_0")
      await Effect.runPromise(logs.caughtUp(late, 20) ?? assert.fail("nothing is late"))
      assert.deepStrictEqual(positions(), [408n, 308n], "its time was over")
      behind(undefined)
      await seen()
      assert.deepStrictEqual(positions(), [408n, 408n])
    })

    it("say at once the same that they say to those who wait, or nothing", async () => {
      const { logs, read, seen, shapeNamed, write } = await settingOf(follows)
      const shape = await shapeNamed("a")
      for (let t = 1n; t <= 10n; t++) write(t * 100n, shape, 2, 300)
      await seen()
      let known = 0
      for (let after: LogOffset = beforeAllOffset; ;) {
        const slice = sliceOf(await read(shape, after))
        const now = logs.readNow(shape, after)
        if (now !== undefined) {
          known++
          assert.strictEqual(await textOf(sliceOf(now)), await textOf(slice))
          assert.deepStrictEqual([sliceOf(now).next, sliceOf(now).upToDate], [slice.next, slice.upToDate])
        }
        if (slice.upToDate) break
        after = slice.next
      }
      assert.isAbove(known, 0)
    })

    it("give more to who asks again as soon as there is more", async () => {
      const { logs, seen, shapeNamed, write } = await settingOf(follows)
      const shape = await shapeNamed("a")
      const after = { tx: 50n, op: 0 }
      for (let t = 1n; t <= 3n; t++) {
        write(t * 100n, shape)
        await seen()
        const { next } = sliceOf(logs.readNow(shape, after))
        assert.strictEqual(formatOffset(next), `${t * 100n}_0`)
        assert.strictEqual(logs.readNow(shape, after), logs.readNow(shape, after))
      }
    })

    it("tell apart what lies beyond the end, and what is gone", async () => {
      const { drop, logs, read, seen, shapeNamed, write } = await settingOf(follows)
      const shape = await shapeNamed("a")
      write(100n, shape)
      await seen()
      const beyond = { tx: 200n, op: 0 }
      assert.strictEqual((await read(shape, beyond))._tag, "Ahead")
      assert.strictEqual(logs.readNow(shape, beyond)?._tag, "Ahead")
      drop(shape)
      await seen()
      assert.strictEqual((await read(shape, beforeAllOffset))._tag, "Dropped")
      assert.strictEqual(logs.readNow(shape, snapshotEnd)?._tag, "Dropped")
    })

    it("wake a waiting reader when there is more, when the shape is gone, and when the time is over", async () => {
      const { drop, logs, reader, shapeNamed, write } = await settingOf(follows)
      const shape = await shapeNamed("a")
      const reasons: Array<WakeReason> = []
      const watch = (after: LogOffset, millis = 60_000) =>
        logs.watch(shape, after, millis, { woken: (reason) => reasons.push(reason) })
      const hears = async (...expected: ReadonlyArray<WakeReason>) => {
        await eventually(expected.join(), () => reasons.length >= expected.length)
        assert.deepStrictEqual(reasons.splice(0), expected)
      }
      // What comes in the same turn of the event loop is not missed.
      assert.notTypeOf(watch(snapshotEnd), "string")
      write(100n, shape)
      await hears("changed")
      assert.strictEqual(watch(snapshotEnd), "changed")
      const end = logs.lastOffset(shape)
      const stopped = watch(end)
      if (typeof stopped !== "string") stopped.stop()
      watch(end, 1)
      await hears("timeout")
      watch(end)
      drop(shape)
      await hears("dropped")
      assert.strictEqual(watch(end), "dropped")
      assert.strictEqual(reader.waiters.count, 0)
    })

    it("let go of a reader that is gone", async () => {
      const { logs, reader, shapeNamed, write } = await settingOf(follows)
      const shape = await shapeNamed("a")
      const woken: Array<string> = []
      const watch = (name: string) =>
        logs.watch(shape, snapshotEnd, 60_000, { woken: (reason) => woken.push(`${name} ${reason}`) })
      watch("waiting")
      const gone = watch("gone")
      assert.strictEqual(reader.waiters.count, 2)
      if (typeof gone !== "string") gone.stop()
      assert.strictEqual(reader.waiters.count, 1)
      write(100n, shape)
      await eventually("news", () => woken.length > 0)
      assert.deepStrictEqual(woken, ["waiting changed"])
      assert.strictEqual(reader.waiters.count, 0)
    })
  })
}
